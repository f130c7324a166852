// The echo caches as a C++ program uses them: stores, statuses, refreshes, exceptions on both
// sides, stores of the program's own, moved handles.
#include "docache.hpp"

#include "check.hpp"
#include "map_store.hpp"

#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using check::gate;
using check::map_store;
using check::patience;
using docache::echo_cache;
using docache::echo_options;
using docache::fetch_status;
using docache::lazy_echo_cache;
using docache::lazy_echo_options;

namespace {

void memoizes() {
  echo_options options;
  options.negative_ttl = 1h;
  options.record_stats = true;
  docache::memory_store_options small;
  small.capacity = 100;
  small.policy = docache::policy::lru;
  const echo_cache users(docache::memory_store(small), options);
  const auto first = users.fetch("ada", [] { return "Ada"; });
  CHECK(first.value.view() == "Ada" && first.status == fetch_status::loaded);
  const auto again = users.fetch("ada", []() -> std::string { throw 7; });
  CHECK(again.value.view() == "Ada" && again.status == fetch_status::fresh && again.age == 0ns);
  users.put("bob", "Bob");
  CHECK_EQUAL(users.fetch("bob", [] { return ""; }).value.str(), std::string("Bob"));
  users.put("nobody", docache::value());
  const auto nobody = users.fetch("nobody", [] { return "somebody"; });
  CHECK(nobody.status == fetch_status::negative && nobody.value.empty());
  users.remove("nobody");
  const auto told = users.fetch("nobody", [](std::string_view key) { return std::string(key); });
  CHECK_EQUAL(told.value.str(), std::string("nobody"));
  CHECK(!users.fetch_for(0ms, "carol", [] { return "Carol"; }));
  CHECK_EQUAL(users.fetch_for(patience, "carol", [] { return "Carol"; })->value.view(), "Carol");
  CHECK_EQUAL(users.stats().loads, 3u);
  CHECK_EQUAL(users.stats().hits, 3u);
  check::passed("what is fetched is loaded once, and then comes from the store");
}

void exceptions() {
  const echo_cache cache(docache::single_store());
  struct own {};
  CHECK_THROWS(own, cache.fetch("key", []() -> std::string { throw own(); }));
  const auto error = CHECK_THROWS(docache::error, cache.fetch("key", []() -> std::string {
    throw docache::error("as told", 42);
  }));
  CHECK(error.status() == DOCACHE_DOER_FAILED && error.code() == 42);
  const auto reentrant = CHECK_THROWS(docache::error, cache.fetch("key", [&] {
    return cache.fetch("key", [] { return "inner"; }).value;
  }));
  CHECK_EQUAL(reentrant.status(), DOCACHE_REENTRANT);
  const auto bad = CHECK_THROWS(docache::error, cache.fetch("\xff", [] { return "x"; }));
  CHECK_EQUAL(bad.status(), DOCACHE_INVALID_ARGUMENT);

  // Who waits has the message.
  gate entered, leave;
  std::thread leader([&] {
    CHECK_THROWS(std::runtime_error, cache.fetch("key", [&]() -> std::string {
      entered.open();
      leave.pass();
      throw std::runtime_error("no luck");
    }));
  });
  entered.pass();
  std::thread waiter([&] {
    try {
      // It joins the load, or comes too late for that and loads.
      const auto late = cache.fetch("key", [] { return "late"; });
      CHECK_EQUAL(late.value.view(), "late");
    } catch (const docache::error& joined) {
      CHECK_EQUAL(std::string(joined.what()), std::string("no luck"));
    }
  });
  CHECK(!cache.fetch_for(1ms, "key", [] { return "never"; }));
  leave.open();
  leader.join();
  waiter.join();
  check::passed("what work throws reaches its caller, and those that wait as an error");
}

void refreshes() {
  const auto own = std::make_shared<map_store>();
  own->age = 2ns;
  std::atomic<int> loads{0};
  std::atomic<bool> failing{false};
  std::atomic<int> warnings{0};
  gate loaded;
  lazy_echo_options options;
  options.refresh_after = 1ns;
  options.expires = 1h;
  options.on_warning = [&](const docache::echo_warning& warning) {
    CHECK(warning.key == "key" && warning.message == "no luck");
    CHECK_EQUAL(warning.kind, DOCACHE_WARNING_REFRESH);
    ++warnings;
    throw 7;  // is ignored
  };
  {
    lazy_echo_cache rates(
        docache::custom_store(own),
        [&](std::string_view key) -> docache::value {
          const auto number = ++loads;
          loaded.open();
          if (failing) throw std::runtime_error("no luck");
          return std::string(key) + ' ' + std::to_string(number);
        },
        options);
    CHECK_EQUAL(rates.fetch("key").value.view(), "key 1");
    loaded.pass();
    const auto stale = rates.fetch("key");
    CHECK(stale.value.view() == "key 1" && stale.status == fetch_status::stale && stale.age == 2ns);
    loaded.pass();
    while (rates.stats().refreshing > 0) std::this_thread::yield();
    const auto next = rates.fetch_for(patience, "key");
    CHECK_EQUAL(next->value.view(), "key 2");
    loaded.pass();
    while (rates.stats().refreshing > 0) std::this_thread::yield();
    failing = true;
    CHECK_EQUAL(rates.fetch("key").value.view(), "key 3");
    loaded.pass();
    const auto report = rates.shutdown(patience);
    CHECK(report.dropped == 0 && report.running == 0);
    CHECK_EQUAL(warnings, 1);
    // What is stale is served if a load of the caller's own fails.
    own->age = 2h;
    const auto error = CHECK_THROWS(docache::error, rates.fetch("key"));
    CHECK_EQUAL(std::string(error.what()), std::string("no luck"));
    lazy_echo_cache moved = std::move(rates);
    own->age = 2ns;
    CHECK_EQUAL(moved.fetch("key", [] { return "mine"; }).value.view(), "key 3");
  }
  CHECK_EQUAL(own.use_count(), 1);
  CHECK_EQUAL(own->locked, 0);
  check::passed("a lazy cache serves what is stale, and refreshes in the background");
}

void served_if_it_fails() {
  const auto own = std::make_shared<map_store>();
  lazy_echo_options options;
  options.refresh_after = 1ns;
  options.expires = 2ns;
  options.stale_until = 1h;
  const lazy_echo_cache rates(
      docache::custom_store(own), [](std::string_view) { return "1"; }, options);
  rates.put("key", "0");
  own->age = 1min;
  const auto kept = rates.fetch("key", []() -> std::string { throw 7; });
  CHECK(kept.value.view() == "0" && kept.status == fetch_status::stale && kept.age >= 1min);
  CHECK(rates.fetch("key").status == fetch_status::loaded);
  check::passed("a value that is past its time is served if the load fails");
}

void own_store_fails() {
  const auto own = std::make_shared<map_store>();
  std::atomic<int> warnings{0};
  echo_options options;
  options.on_warning = [&](const docache::echo_warning& warning) {
    CHECK_EQUAL(warning.kind, DOCACHE_WARNING_STORE);
    ++warnings;
  };
  const echo_cache cache(docache::custom_store(own), options);
  own->failing = true;
  CHECK_EQUAL(cache.fetch("key", [] { return "computed"; }).value.view(), "computed");
  CHECK(warnings > 0);
  const auto error = CHECK_THROWS(docache::error, cache.put("key", "put"));
  CHECK_EQUAL(error.status(), DOCACHE_DOER_FAILED);
  CHECK_EQUAL(std::string(error.what()), std::string("it is down"));
  own->failing = false;
  cache.put("key", "put");
  CHECK_EQUAL(cache.fetch("key", [] { return "x"; }).value.view(), "put");
  CHECK_THROWS(docache::error, docache::custom_store(nullptr));
  check::passed("a store of the program's own that throws fails no fetch");
}

void layers() {
  const auto far = docache::memory_store();
  const auto near = docache::single_store(1min);
  const echo_cache both(docache::tiered_store(near, docache::breaker_store(far, 3, 10ms), 1s));
  const echo_cache beside(far);
  CHECK(both.fetch("key", [] { return "1"; }).status == fetch_status::loaded);
  CHECK(both.fetch("key", [] { return "2"; }).status == fetch_status::fresh);
  CHECK(beside.fetch("key", [] { return "3"; }).value.view() == "1");
  docache::store copy = far;
  CHECK_EQUAL(copy.handle(), far.handle());
  const docache::store moved = std::move(copy);
  CHECK_EQUAL(moved.handle(), far.handle());
  CHECK_THROWS(docache::error, docache::breaker_store(far, 0));
  try {
    docache::remote_store_options options;
    options.format = docache::format::lazy_json;
    const echo_cache remote(docache::redis_store("redis://127.0.0.1:1/", options));
    CHECK_EQUAL(remote.fetch("key", [] { return "{}"; }).value.view(), "{}");
    const auto error = CHECK_THROWS(docache::error, remote.fetch("key", [] { return "{"; }));
    CHECK_EQUAL(error.status(), DOCACHE_INVALID_ARGUMENT);
  } catch (const docache::error& error) {
    CHECK_EQUAL(error.status(), DOCACHE_UNSUPPORTED);
  }
  check::passed("stores of stores, copied and moved; stores on servers, where they are built in");
}

void destroyed_inside() {
  auto cache = std::make_unique<echo_cache>(docache::memory_store());
  const auto fetched = cache->fetch("key", [&] {
    cache.reset();
    return "alive";
  });
  CHECK_EQUAL(fetched.value.view(), "alive");
  check::passed("a cache may be destroyed by its own work");
}

}  // namespace

int main() {
  memoizes();
  exceptions();
  refreshes();
  served_if_it_fails();
  own_store_fails();
  layers();
  destroyed_inside();
  while (!docache::shutdown()) std::this_thread::yield();
  return check::all_passed("echo.cpp");
}
