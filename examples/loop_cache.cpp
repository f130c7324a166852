// A thread asks the system for its load average every 100 ms; readers get the latest answer without
// ever waiting for it.
//
//     cargo build --release -p docache-capi
//     c++ -std=c++17 -Wall -Wextra -Iinclude examples/loop_cache.cpp target/release/libdocache.a
//         -lpthread -ldl -lm -o loop_cache
//     ./loop_cache
#include <array>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "docache.hpp"

using namespace std::chrono_literals;

// The Doer: does the expensive work and returns the result. What it throws is recorded, and the
// loop goes on.
std::array<double, 3> read_load() {
  std::array<double, 3> load{};
  if (getloadavg(load.data(), 3) != 3) throw std::runtime_error("the system has no load average");
  return load;
}

int main() try {
  docache::loop_options options;
  options.interval = 100ms;
  options.capacity = 16;
  docache::loop_cache cache(options, read_load);
  cache.start();
  if (!cache.wait_first(1s)) throw std::runtime_error("no load average within a second");

  // Read as fast as possible until there have been ten results: about a second.
  unsigned long reads = 0;
  double sum = 0;
  auto reader = cache.make_reader();  // one per thread: a read is one atomic load
  while (cache.version() < 10) {
    const auto* load = reader.latest();
    if (load != nullptr) sum += (**load)[0];
    ++reads;
  }
  cache.stop();

  for (const auto& entry : cache.snapshot()) {
    std::printf("#%-3llu %5.1f s ago, %s\n", static_cast<unsigned long long>(entry.sequence()),
                std::chrono::duration<double>(entry.age()).count(),
                entry ? "ok" : entry.error()->what());
  }
  std::printf("load %.2f on average; %lu reads, %llu calls of the system\n",
              sum / static_cast<double>(reads), reads,
              static_cast<unsigned long long>(cache.version()));
  return 0;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "docache: %s\n", failure.what());
  return 1;
}
