// Echo caches as a C++ program uses them that must not block a thread: calls that are begun and
// finished, and refreshes that the program performs itself.
#include "docache.hpp"

#include "check.hpp"
#include "map_store.hpp"

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

using namespace std::chrono_literals;
using check::gate;
using check::map_store;
using docache::call_state;
using docache::echo_cache;
using docache::echo_call;
using docache::fetch_status;
using docache::hosted_echo_cache;
using docache::lazy_echo_options;

namespace {

void begins() {
  const echo_cache cache(docache::memory_store());
  echo_call leader = cache.begin("key");
  CHECK(leader.state() == call_state::leads && leader.key() == "key");
  echo_call waiter = cache.begin("key");
  CHECK(waiter.state() == call_state::pending);
  int told = 0;
  CHECK(waiter.on_ready([&] { told += 100; }));
  const auto second = CHECK_THROWS(docache::error, waiter.on_ready([] {}));
  CHECK_EQUAL(second.status(), DOCACHE_INVALID_ARGUMENT);
  CHECK(waiter.cancel());
  CHECK_THROWS(docache::error, waiter.on_ready(nullptr));
  CHECK(waiter.on_ready([&] {
    ++told;
    throw 7;  // is ignored
  }));
  CHECK(!leader.on_ready([&] { told += 100; }));
  CHECK_EQUAL(CHECK_THROWS(docache::error, waiter.get()).status(), DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, leader.get()).status(), DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, waiter.finish("no")).status(),
              DOCACHE_INVALID_ARGUMENT);
  echo_call moved = std::move(leader);
  CHECK(moved.finish("value"));
  CHECK_EQUAL(told, 1);
  CHECK(!waiter.cancel());
  CHECK(moved.get().status == fetch_status::loaded && moved.get().value.view() == "value");
  CHECK(waiter.get().status == fetch_status::coalesced && waiter.get().value.view() == "value");
  CHECK_THROWS(docache::error, moved.finish("again"));
  const echo_call there = cache.begin("key");
  CHECK(there.state() == call_state::over && there.handle() == nullptr && there.key().empty());
  CHECK(there.get().status == fetch_status::fresh && there.get().value.view() == "value");
  check::passed("a call leads, waits, or has its value at once, and blocks no thread");
}

void fails() {
  const echo_cache cache(docache::memory_store());
  echo_call leader = cache.begin("key");
  const echo_call waiter = cache.begin("key");
  CHECK(leader.fail(docache::error("as told", 42)));
  for (const auto* call : {&std::as_const(leader), &waiter}) {
    const auto failure = CHECK_THROWS(docache::error, call->get());
    CHECK(failure.status() == DOCACHE_DOER_FAILED && failure.code() == 42);
    CHECK_EQUAL(std::string(failure.what()), std::string("as told"));
  }
  echo_call throws = cache.begin("key");
  CHECK(throws.perform([]() -> std::string { throw std::runtime_error("no luck"); }));
  const auto thrown = CHECK_THROWS(docache::error, throws.get());
  CHECK_EQUAL(std::string(thrown.what()), std::string("no luck"));
  echo_call works = cache.begin("key");
  CHECK(works.perform([](std::string_view key) { return std::string(key) + "!"; }));
  CHECK_EQUAL(works.get().value.view(), "key!");
  check::passed("what the work of a call throws reaches all who wait for it");
}

void given_up() {
  const echo_cache cache(docache::memory_store());
  std::optional<echo_call> leader = cache.begin("key");
  echo_call heir = cache.begin("key");
  bool told = false;
  CHECK(heir.on_ready([&] { told = true; }));
  leader.reset();
  CHECK(told && heir.state() == call_state::leads);
  heir = cache.begin("other");
  CHECK(heir.key() == "other");
  CHECK(cache.begin("key").state() == call_state::leads);
  check::passed("a lead that is given up is handed on");
}

void outlives() {
  std::optional<echo_cache> cache(docache::memory_store());
  echo_call leader = cache->begin("key");
  std::optional<echo_call> waiter = cache->begin("key");
  cache.reset();
  bool told = false;
  CHECK(waiter->on_ready([&, keep = std::string(100, 'x')] {
    waiter.reset();
    told = keep.size() == 100;
  }));
  CHECK(leader.finish("late"));
  CHECK(told && !waiter);
  CHECK_EQUAL(leader.get().value.view(), "late");
  check::passed("a call outlives its cache, and may be destroyed in its own notification");
}

lazy_echo_options stale_at_once() {
  lazy_echo_options options;
  options.refresh_after = 1ns;
  options.expires = 1h;
  return options;
}

void refreshes() {
  const auto own = std::make_shared<map_store>();
  int warnings = 0;
  auto options = stale_at_once();
  options.on_warning = [&](const docache::echo_warning& warning) {
    CHECK(warning.kind == DOCACHE_WARNING_REFRESH && warning.message == "no luck");
    ++warnings;
  };
  {
    hosted_echo_cache made(docache::custom_store(own), options);
    const hosted_echo_cache rates = std::move(made);
    CHECK_THROWS(docache::error, made.on_refresh([] {}));
    CHECK_THROWS(docache::error, made.begin_refresh());
    CHECK(!rates.begin_refresh());
    int told = 0;
    CHECK(rates.on_refresh([&] { told += 100; }));
    CHECK(rates.cancel_on_refresh() && !rates.cancel_on_refresh());
    CHECK(rates.on_refresh([&] {
      ++told;
      // There is one now.
      CHECK(!rates.on_refresh([&] { told += 100; }));
    }));
    CHECK_THROWS(docache::error, rates.on_refresh([] {}));
    rates.put("key", "1");
    own->age = 2ns;
    const auto stale = rates.fetch("key", [] { return "never"; });
    CHECK(stale.status == fetch_status::stale && stale.value.view() == "1");
    CHECK_EQUAL(told, 1);
    auto refresh = rates.begin_refresh();
    CHECK(refresh && refresh->state() == call_state::leads && refresh->key() == "key");
    CHECK_EQUAL(rates.stats().refreshing, 1u);
    CHECK(refresh->perform([](std::string_view key) { return std::string(key) + " 2"; }));
    CHECK(refresh->state() == call_state::over && refresh->get().value.handle() == nullptr);
    refresh.reset();
    CHECK_EQUAL(rates.fetch("key", [] { return "never"; }).value.view(), "key 2");
    refresh = rates.begin_refresh();
    CHECK(refresh->fail(docache::error("no luck")));
    CHECK_EQUAL(warnings, 1);
    CHECK(rates.fetch("key", [] { return "never"; }).status == fetch_status::stale);
    const auto report = rates.shutdown(0ms);
    CHECK(report.dropped == 1 && report.running == 0);
    CHECK(!rates.begin_refresh());
    // What is armed to the end is let go of.
    CHECK(rates.on_refresh([own] { CHECK(own == nullptr); }));
  }
  CHECK_EQUAL(own.use_count(), 1);
  CHECK_EQUAL(own->locked, 0);
  check::passed("a lazy cache leaves its refreshes to the program, which performs them");
}

void freed_in_its_notification() {
  const auto own = std::make_shared<map_store>();
  std::optional<hosted_echo_cache> rates;
  rates.emplace(docache::custom_store(own), stale_at_once());
  rates->put("key", "1");
  own->age = 2ns;
  CHECK(rates->on_refresh([&, keep = std::string(100, 'x')] {
    rates.reset();
    CHECK_EQUAL(keep.size(), 100u);
  }));
  CHECK_EQUAL(rates->fetch("key", [] { return "never"; }).value.view(), "1");
  CHECK(!rates && own.use_count() == 1);
  check::passed("a cache may be destroyed by the notification of a refresh");
}

void other_threads() {
  const auto own = std::make_shared<map_store>();
  const hosted_echo_cache rates(docache::custom_store(own), stale_at_once());
  rates.put("key", "1");
  own->age = 2ns;
  gate due;
  std::thread host([&] {
    due.pass();
    auto refresh = rates.begin_refresh();
    CHECK(refresh.has_value());
    CHECK(refresh->perform([] { return "2"; }));
  });
  CHECK(rates.on_refresh([&] { due.open(); }));
  CHECK(rates.fetch("key", [] { return "never"; }).status == fetch_status::stale);
  host.join();
  CHECK_EQUAL(rates.fetch("key", [] { return "never"; }).value.view(), "2");
  check::passed("another thread performs the refreshes that it is told of");
}

}  // namespace

int main() {
  begins();
  fails();
  given_up();
  outlives();
  refreshes();
  freed_in_its_notification();
  other_threads();
  while (!docache::shutdown()) std::this_thread::yield();
  return check::all_passed("echo_calls.cpp");
}
