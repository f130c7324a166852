// Objects of docache.hpp that are destroyed inside callbacks, their own and each other's, and
// listeners that hold references to what lives no longer than their cache. Run it under
// AddressSanitizer.
#include "../threads.h"
#include "check.hpp"

#include <docache.hpp>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using check::gate;

/// Says when it is destroyed; copies do not count.
class witness {
 public:
  explicit witness(std::atomic<unsigned>& gone)
      : gone_(&gone, [](std::atomic<unsigned>* counter) { ++*counter; }) {}

 private:
  std::shared_ptr<std::atomic<unsigned>> gone_;
};

void await(const std::atomic<unsigned>& counter) {
  const auto deadline = std::chrono::steady_clock::now() + check::patience;
  while (counter == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  CHECK_EQUAL(counter.load(), 1u);
}

/// What a listener refers to may go as soon as the cache is gone.
void a_listener_that_refers_to_the_frame() {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> gone;
    docache::cache_options options;
    options.time_to_live = 1ms;
    options.sweep_interval = 1ms;
    options.on_evict = [&gone](std::string_view key, const docache::value&, docache::cause) {
      gone.emplace_back(key);
    };
    docache::cache cache(std::move(options));
    for (int i = 0; i < 2000; ++i) cache.set(std::to_string(i), "v");
    std::this_thread::sleep_for(2ms);
  }
  check::passed("a listener that refers to the frame of its cache");
}

void caches() {
  std::atomic<unsigned> gone{0};
  std::unique_ptr<docache::cache> cache;
  docache::cache_options options;
  unsigned told = 0;
  options.on_evict = [&, seen = witness(gone)](std::string_view, const docache::value&,
                                               docache::cause) {
    ++told;
    cache.reset();
    CHECK_EQUAL(gone.load(), 0u);
  };
  cache = std::make_unique<docache::cache>(std::move(options));
  cache->set_many({{"a", "1"}, {"b", "2"}});
  docache::cache& alive = *cache;
  alive.clear();
  CHECK_EQUAL(told, 1u);
  CHECK_EQUAL(gone.load(), 1u);

  cache = std::make_unique<docache::cache>();
  const docache::value fetched = cache->fetch("a", [&] {
    cache.reset();
    return std::string("fetched");
  });
  CHECK(fetched.view() == "fetched");

  cache = std::make_unique<docache::cache>();
  cache->set("a", "1");
  cache->for_each([&](std::string_view key, const docache::value& value) {
    cache.reset();
    CHECK(key == "a" && value.view() == "1");
  });
  check::passed("a cache that is destroyed by its listener, the work of its fetch and a visit");
}

void groups() {
  auto group = std::make_unique<docache::group<std::string>>();
  const auto shared = group->run("key", [&] {
    group.reset();
    return std::string("run");
  });
  CHECK(*shared == "run");
  check::passed("a group that is destroyed by its own work");
}

void loops() {
  for (const bool own_thread : {false, true}) {
    std::atomic<unsigned> gone{0};
    std::unique_ptr<docache::loop_cache<int>> loop;
    gate made;
    loop = std::make_unique<docache::loop_cache<int>>(1ms, [&, seen = witness(gone)] {
      made.pass();
      loop.reset();
      CHECK_EQUAL(gone.load(), 0u);
      return 1;
    });
    auto& running = *loop;
    if (own_thread) {
      running.start();
      made.open();
      await(gone);
    } else {
      made.open();
      running.run();
      CHECK_EQUAL(gone.load(), 1u);
    }
  }
  check::passed("a loop cache that is destroyed by its Doer");
}

/// Two caches whose listeners, on the threads of the sweep, destroy each other.
void each_other() {
  std::unique_ptr<docache::cache> caches[2];
  std::atomic<unsigned> gone[2] = {};
  gate here;
  gate go;
  for (int i = 0; i < 2; ++i) {
    docache::cache_options options;
    options.sweep_interval = 1ms;
    options.on_evict = [&, i, seen = witness(gone[i])](std::string_view, const docache::value&,
                                                       docache::cause) {
      here.open();
      go.pass();
      caches[1 - i].reset();
    };
    caches[i] = std::make_unique<docache::cache>(std::move(options));
  }
  for (auto& cache : caches) cache->set("key", "value", 1ns);
  for (int i = 0; i < 2; ++i) here.pass();
  go.open(2);
  for (auto& counter : gone) await(counter);
  check::passed("caches that destroy each other");
}

/// A listener that owns another cache: that one's sweep is over as well.
void a_listener_that_owns_a_cache() {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> seen;
    docache::cache_options inner;
    inner.time_to_live = 1ms;
    inner.sweep_interval = 1ms;
    inner.on_evict = [&seen](std::string_view key, const docache::value&, docache::cause) {
      seen.emplace_back(key);
    };
    docache::cache_options outer;
    outer.on_evict = [owned = std::make_shared<docache::cache>(std::move(inner))](
                         std::string_view key, const docache::value& value, docache::cause) {
      owned->set(key, value);
    };
    docache::cache cache(std::move(outer));
    for (int i = 0; i < 500; ++i) cache.set(std::to_string(i), "v");
    cache.clear();
    std::this_thread::sleep_for(1ms);
  }
  check::passed("a listener that owns a cache");
}

}  // namespace

int main() {
  // The threads that the library keeps begin before others have used their stacks: leak checkers
  // tell them by where they began.
  docache::cache();
  a_listener_that_refers_to_the_frame();
  caches();
  groups();
  loops();
  each_other();
  a_listener_that_owns_a_cache();
  CHECK(await_end_of_threads());
  CHECK(docache_shutdown() == DOCACHE_OK);
  return check::all_passed("free_inside.cpp");
}
