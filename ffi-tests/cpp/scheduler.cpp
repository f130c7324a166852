// Schedulers of docache.hpp: calls that come later, loop caches on them, who owns what, and
// schedulers that are destroyed inside their own callables. Run it under AddressSanitizer.
#include "check.hpp"

#include <docache.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using check::gate;
using docache::loop_cache;
using docache::loop_options;
using docache::scheduled;
using docache::scheduler;
using docache::scheduler_options;

/// Counts when the callable that has it is destroyed.
std::shared_ptr<void> witness(std::atomic<unsigned>& gone) {
  return std::shared_ptr<void>(nullptr, [&gone](void*) { ++gone; });
}

void await(const std::atomic<unsigned>& counter, unsigned wanted) {
  const auto deadline = std::chrono::steady_clock::now() + check::patience;
  while (counter < wanted && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  CHECK_EQUAL(counter.load(), wanted);
}

loop_options every(docache::duration interval, const scheduler& on) {
  loop_options options;
  options.interval = interval;
  options.scheduler = &on;
  return options;
}

void calls() {
  std::atomic<unsigned> gone{0}, called{0};
  scheduler upkeep;
  CHECK_EQUAL(upkeep.stats().workers, 0u);
  const auto start = std::chrono::steady_clock::now();
  auto soon = upkeep.call_after(5ms, [&, seen = witness(gone)] {
    CHECK(std::chrono::steady_clock::now() - start >= 5ms);
    ++called;
  });
  auto later = upkeep.call_after(1h, [&, seen = witness(gone)] { ++called; });
  await(gone, 1);
  CHECK(!soon.cancel() && !soon.is_waiting());
  CHECK(later.is_waiting());
  auto moved = std::move(later);
  CHECK(moved.cancel());
  CHECK_EQUAL(gone.load(), 2u);
  CHECK(!moved.cancel());
  CHECK(!scheduled().cancel());
  // Nobody is told of what a call throws, and a handle that goes leaves it scheduled.
  upkeep.call_after(0s, [&, seen = witness(gone)] { throw std::runtime_error("ignored"); });
  await(gone, 3);
  CHECK_EQUAL(called.load(), 1u);
  CHECK_EQUAL(CHECK_THROWS(docache::error, upkeep.call_after(-1s, [] {})).status(),
              DOCACHE_INVALID_ARGUMENT);
  check::passed("calls that come and calls that are taken back");
}

void callables_that_only_move() {
  std::atomic<unsigned> gone{0};
  scheduler upkeep;
  auto owned = std::make_unique<int>(7);
  upkeep.call_after(0s, [owned = std::move(owned), seen = witness(gone)]() mutable {
    CHECK_EQUAL(*owned, 7);
    owned.reset();
  });
  await(gone, 1);
  check::passed("callables that only move");
}

void options() {
  scheduler_options of;
  of.name = "upkeep";
  of.workers = 1;
  of.max_workers = 2;
  of.grace = 1ms;
  scheduler upkeep(of);
  gate begun, stays;
  std::atomic<unsigned> gone{0};
  for (int i = 0; i < 2; ++i) {
    upkeep.call_after(0s, [&, seen = witness(gone)] {
      begun.open();
      stays.pass();
    });
    begun.pass();
  }
  const auto stats = upkeep.stats();
  CHECK(stats.workers == 2 && stats.busy == 2 && stats.grown == 1 && stats.stuck == 1);
  CHECK(stats.max_lateness >= 1ms);
  stays.open(2);
  await(gone, 2);
  of.max_workers = 0;
  of.name.assign("a\0b", 3);
  const auto refused = CHECK_THROWS(docache::error, scheduler{of});
  CHECK(std::string(refused.what()).find("options.name") != std::string::npos);
  check::passed("settings, and workers that are stuck");
}

void loops() {
  std::atomic<unsigned> gone{0};
  std::optional<scheduler> upkeep(std::in_place);
  std::vector<loop_cache<int>> caches;
  for (int i = 0; i < 50; ++i) {
    caches.emplace_back(every(1ms, *upkeep), [i, seen = witness(gone)] { return i; });
    caches.back().start();
  }
  for (int i = 0; i < 50; ++i) {
    CHECK_EQUAL(**caches[static_cast<std::size_t>(i)].wait_first(check::patience), i);
  }
  CHECK_EQUAL(upkeep->stats().scheduled, 50u);
  upkeep.reset();
  CHECK(caches.front().refresh(check::patience).has_value());
  caches.clear();
  CHECK_EQUAL(gone.load(), 50u);
  check::passed("loop caches on a scheduler, which outlive it");
}

void shutdowns() {
  std::atomic<unsigned> gone{0};
  gate begun, stays;
  scheduler upkeep;
  loop_cache cache(every(1h, upkeep), [] { return 7; });
  cache.start();
  CHECK(cache.wait_first(check::patience).has_value());
  upkeep.call_after(1h, [seen = witness(gone)] { CHECK(false); });
  upkeep.call_after(0s, [&, seen = witness(gone)] {
    begun.open();
    stays.pass();
  });
  begun.pass();
  CHECK(!upkeep.shutdown_for(1ms));
  CHECK_EQUAL(gone.load(), 1u);
  stays.open();
  upkeep.shutdown();
  CHECK_EQUAL(gone.load(), 2u);
  CHECK(!cache.is_running());
  const auto closed = [&] { upkeep.call_after(0s, [seen = witness(gone)] {}); };
  CHECK_EQUAL(CHECK_THROWS(docache::error, closed()).status(), DOCACHE_CLOSED);
  CHECK_EQUAL(gone.load(), 3u);
  CHECK_EQUAL(CHECK_THROWS(docache::error, cache.start()).status(), DOCACHE_CLOSED);
  check::passed("a shutdown ends calls and loop caches");
}

void destroyed_inside() {
  for (int round = 0; round < 20; ++round) {
    std::atomic<unsigned> gone{0};
    gate go;
    auto own = std::make_unique<scheduler>();
    own->call_after(1h, [seen = witness(gone)] { CHECK(false); });
    own->call_after(0s, [&, seen = witness(gone)] {
      go.pass();
      own.reset();
      CHECK_EQUAL(gone.load(), 0u);
    });
    go.open();
    await(gone, 2);
  }
  for (int round = 0; round < 20; ++round) {
    std::atomic<unsigned> gone{0};
    std::unique_ptr<scheduler> both[2] = {std::make_unique<scheduler>(),
                                          std::make_unique<scheduler>()};
    gate here, go;
    for (int i = 0; i < 2; ++i) {
      both[i]->call_after(0s, [&, i, seen = witness(gone)] {
        here.open();
        go.pass();
        both[1 - i].reset();
      });
    }
    here.pass();
    here.pass();
    go.open(2);
    await(gone, 2);
  }
  // What a callable owns may be the last of a loop cache on the same scheduler.
  std::atomic<unsigned> gone{0};
  scheduler upkeep;
  auto cache = std::make_shared<loop_cache<int>>(every(1ms, upkeep),
                                                 [seen = witness(gone)] { return 7; });
  cache->start();
  CHECK(cache->wait_first(check::patience).has_value());
  upkeep.call_after(0s, [cache = std::move(cache)]() mutable { cache.reset(); });
  await(gone, 1);
  check::passed("schedulers that are destroyed inside calls, their own and each other's");
}

}  // namespace

int main() {
  calls();
  callables_that_only_move();
  options();
  loops();
  shutdowns();
  destroyed_inside();
  CHECK(docache::shutdown());
  return check::all_passed("scheduler.cpp");
}
