// Eight threads want the same slow answer at once: it is worked out once, and all of them get it.
//
//     cargo build --release -p docache-capi
//     c++ -std=c++17 -Wall -Wextra -Iinclude examples/group.cpp target/release/libdocache.a
//         -lpthread -ldl -lm -o group
//     ./group
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "docache.hpp"

using namespace std::chrono_literals;

struct mailbox {
  std::string owner;
  int messages;
};

int main() try {
  std::atomic<int> queries{0};
  const docache::group<mailbox> mailboxes;

  // The work: asks a slow backend. What it throws reaches every caller that shares the run.
  const auto query = [&queries] {
    std::this_thread::sleep_for(200ms);
    return mailbox{"ada", 40 + queries++};
  };

  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto box = mailboxes.run("ada", query);  // all callers hold the same object
      std::printf("%s has %d messages (%s)\n", box->owner.c_str(), box->messages,
                  box.led() ? "led" : "joined");
    });
  }
  for (auto& thread : threads) thread.join();
  std::printf("%zu callers, %d queries\n", threads.size(), queries.load());

  // Waiting can be limited; a call that finds no run under way runs the work itself, however short
  // the limit is.
  const auto box = mailboxes.run_for(10ms, "ada", query);
  std::printf("%s\n", box ? "a new run" : "still running");
  return 0;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "docache: %s\n", failure.what());
  return 1;
}
