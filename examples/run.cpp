// A loop that counts and a client that retries until it likes the count, as the parts of one group:
// it ends when the client is content, or by Ctrl-C, and then nothing runs any more.
//
//     cargo build --release -p docache-capi
//     c++ -std=c++17 -Wall -Wextra -Iinclude examples/run.cpp target/release/libdocache.a
//         -lpthread -ldl -lm -o run
//     ./run
#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "docache.hpp"

using namespace std::chrono_literals;

int main() try {
  std::atomic<int> counter{0};

  docache::run_loop loop;
  loop.add(docache::loop_actor("counter", [&] { ++counter; }).pause(50ms));

  docache::run_group_options options;
  options.stop_on = docache::stop_on::any_return;
  options.deadline = 5s;  // who has not stopped by then is named
  docache::run_group group(options);
  group.add("loop", std::move(loop));
  group.add(docache::actor("client", [&](const docache::stop_token& stop) {
    docache::retry_options policy;
    policy.backoff = docache::backoff::exponential(20ms).capped(1s);
    policy.budget = 10s;
    policy.stop = &stop;  // a Ctrl-C ends its waits at once
    const int counted = docache::retry(policy, [&](docache::retrier& r) {
      std::printf("attempt %d: %d\n", static_cast<int>(r.iteration()), counter.load());
      if (counter < 3) throw std::runtime_error("not yet");
      return counter.load();
    });
    std::printf("counted to %d\n", counted);
  }));
  group.add_signals();

  const auto report = group.run();  // throws what the client throws
  std::printf("%s\n", report.cause.message.c_str());
  return 0;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "docache: %s\n", failure.what());
  return 1;
}
