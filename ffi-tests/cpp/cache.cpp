// Caches as a C++ program uses them: keys and values of many types, lifetimes, lists, listeners,
// fetches with exceptions on both sides, moved handles.
#include "docache.hpp"

#include "check.hpp"

#include <array>
#include <map>
#include <memory>
#include <thread>

using namespace std::chrono_literals;
using check::gate;
using check::patience;
using docache::cache;
using docache::cache_options;

namespace {

void values_by_key() {
  const cache pages;
  CHECK(!pages.get("key") && !pages.contains("key") && pages.empty());
  pages.set("key", "text");
  pages.set(std::string("of a string"), std::string(1000, 'x'));
  pages.set(std::vector<std::uint8_t>{'b', 'y'}, std::vector<std::uint8_t>{'r', 'a', 'w'});
  pages.set(std::array<std::byte, 1>{std::byte{'a'}}, docache::value());
  pages.set("", std::string_view("of no key"));
  CHECK_EQUAL(pages.get("key")->view(), "text");
  CHECK_EQUAL(pages.get(std::string_view("of a string"))->size(), 1000u);
  CHECK_EQUAL(pages.get("by")->view(), "raw");
  CHECK(pages.get("a")->empty() && pages.contains("a"));
  CHECK_EQUAL(pages.get({})->view(), "of no key");
  const docache::value shared = "shared";
  pages.set("key", shared);
  CHECK_EQUAL(pages.get("key")->handle(), shared.handle());
  CHECK_EQUAL(pages.remove("key")->handle(), shared.handle());
  CHECK(!pages.remove("key"));
  CHECK_EQUAL(pages.size(), 4u);
  CHECK_EQUAL(pages.weight(), 4u);
  pages.clear();
  CHECK(pages.empty());
  check::passed("keys and values of many types; values are shared, not copied");
}

void defaults() {
  // All of these are the same, and none is ambiguous.
  const cache implied, empty({}), braced{{}}, given(cache_options{});
  for (const cache* each : {&implied, &empty, &braced, &given}) {
    each->set("key", "text");
    CHECK_EQUAL(each->get("key")->str(), std::string("text"));
  }
  check::passed("a cache of defaults, in four spellings");
}

void copies() {
  const cache pages;
  std::array<char, 4> buffer{'a', 'b', 'c', 'd'};
  CHECK(!pages.try_get("key", buffer.data(), buffer.size()));
  pages.set("key", "four");
  CHECK_EQUAL(*pages.try_get("key", buffer.data(), 3), 4u);
  CHECK_EQUAL(std::string_view(buffer.data(), 4), "abcd");
  CHECK_EQUAL(*pages.try_get("key", buffer.data(), 4), 4u);
  CHECK_EQUAL(std::string_view(buffer.data(), 4), "four");
  CHECK_EQUAL(*pages.try_get("key", nullptr, 0), 4u);
  check::passed("values are copied into buffers that are large enough");
}

void lifetimes() {
  cache_options options;
  options.time_to_live = 0s;
  options.sweep_interval = docache::never_expires;
  const cache pages(options);
  pages.set("gone", "x");
  pages.set("long", "x", 1h);
  pages.set("for ever", "x", docache::never_expires);
  pages.set("in thirds", "x", std::chrono::duration<double, std::ratio<1, 3>>(1e6));
  pages.set("before", "x", -1h);
  CHECK(!pages.get("gone") && !pages.get("before"));
  CHECK(pages.get("long") && pages.get("for ever") && pages.get("in thirds"));
  CHECK_EQUAL(pages.purge_expired(), 2u);
  options.expire_on_sweep_only = true;
  const cache stale(options);
  stale.set("gone", "x");
  CHECK(stale.get("gone"));
  CHECK_EQUAL(stale.purge_expired(), 1u);
  CHECK(!stale.get("gone"));
  check::passed("lifetimes of any duration, and without an end");
}

void lists() {
  const cache pages;
  pages.set_many({{"a", "one"}, {"b", "two"}});
  const std::map<std::string, std::string> more{{"c", "three"}, {"d", ""}};
  pages.set_many(more, 1h);
  const auto found = pages.get_many({"a", "x", "d"});
  CHECK(found.size() == 3 && found[0]->view() == "one" && !found[1] && found[2]->empty());
  const std::vector<std::string> keys{"b", "c", "x"};
  CHECK_EQUAL(pages.get_many(keys)[1]->view(), "three");
  CHECK_EQUAL(pages.remove_many(keys), 2u);
  CHECK_EQUAL(pages.remove_many({"a"}), 1u);
  CHECK(pages.get_many(std::vector<std::string_view>()).empty());
  CHECK_EQUAL(pages.size(), 1u);
  check::passed("lists of any range");
}

void listeners() {
  std::map<docache::cause, int> heard;
  const auto alive = std::make_shared<int>(0);
  std::string keys;
  cache_options options;
  options.capacity = 4;
  options.shards = 1;
  options.policy = docache::policy::lru;
  options.on_evict = [&heard, &keys, alive](std::string_view key, const docache::value& data,
                                            docache::cause cause) {
    ++heard[cause];
    keys += key;
    CHECK_EQUAL(data.view(), "x");
    throw std::runtime_error("nobody hears this");
  };
  {
    const cache pages(options);
    for (const char* key : {"a", "b", "c", "d", "e", "b"}) pages.set(key, "x");
    pages.remove("b");
    pages.set("f", "x", -1s);
    pages.purge_expired();
    CHECK_EQUAL(keys, "abbf");
    CHECK(heard[docache::cause::size] == 1 && heard[docache::cause::replaced] == 1);
    CHECK(heard[docache::cause::removed] == 1 && heard[docache::cause::expired] == 1);
    options.on_evict = nullptr;
    CHECK_EQUAL(alive.use_count(), 2);
  }
  CHECK_EQUAL(alive.use_count(), 1);
  options.capacity = 0;
  options.on_evict = [alive](std::string_view, const docache::value&, docache::cause) {};
  const auto refused = CHECK_THROWS(docache::error, cache{options});
  CHECK(refused.status() == DOCACHE_INVALID_ARGUMENT &&
        refused.message().find("policy::lru") != std::string_view::npos);
  cache_options hasty;
  hasty.sweep_interval = 1us;
  CHECK(CHECK_THROWS(docache::error, cache{hasty}).message().find("sweep_interval: 1000 ns") !=
        std::string_view::npos);
  options.on_evict = nullptr;
  CHECK_EQUAL(alive.use_count(), 1);
  check::passed(
      "a listener hears why entries leave, may throw, and is destroyed with the cache or when "
      "there is none");
}

void heavy_values() {
  cache_options options;
  options.max_weight = 10;
  options.shards = 1;
  const cache pages(options);
  const auto heavy = CHECK_THROWS(docache::error, pages.set("key", "01234567"));
  CHECK(heavy.status() == DOCACHE_INVALID_ARGUMENT &&
        heavy.message().find("weight") != std::string_view::npos);
  CHECK_EQUAL(pages.fetch("key", [] { return "01234567"; }).view(), "01234567");
  CHECK(pages.empty() && pages.stats().refused == 2);
  pages.set("key", "0123456");
  CHECK_EQUAL(pages.weight(), 10u);
  check::passed("what is too heavy is refused by name, and fetched all the same");
}

void visits() {
  const cache pages;
  pages.set_many({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  std::map<std::string, std::string> seen;
  pages.for_each([&](std::string_view key, const docache::value& data) {
    seen.emplace(key, data.view());
    pages.remove(key);
  });
  CHECK(seen == (std::map<std::string, std::string>{{"a", "1"}, {"b", "2"}, {"c", "3"}}) &&
        pages.empty());
  pages.set_many({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  int visited = 0;
  pages.for_each([&](std::string_view, const docache::value&) { return ++visited < 2; });
  CHECK_EQUAL(visited, 2);
  CHECK_THROWS(std::out_of_range, pages.for_each([&](std::string_view, const docache::value&) {
    ++visited;
    throw std::out_of_range("enough");
  }));
  CHECK_EQUAL(visited, 3);
  check::passed("a visit sees each entry, may change the cache, stop and throw");
}

void fetches() {
  cache_options options;
  options.record_stats = true;
  const cache pages(options);
  int runs = 0;
  const auto work = [&] { return ++runs, std::string("text"); };
  for (int i = 0; i < 3; ++i) CHECK_EQUAL(pages.fetch("key", work).view(), "text");
  CHECK_EQUAL(runs, 1);
  CHECK_EQUAL(pages.fetch("gone", work, 0s).view(), "text");
  CHECK_EQUAL(pages.fetch_for(0s, "gone", work, 1h)->view(), "text");
  CHECK_EQUAL(runs, 3);
  CHECK_EQUAL(pages.get("gone")->view(), "text");
  CHECK(pages.fetch("value", [] { return docache::value(); }).empty());
  const auto unique = [n = std::make_unique<int>(8)] {
    return std::vector<std::uint8_t>(static_cast<std::size_t>(*n));
  };
  CHECK_EQUAL(pages.fetch("vector", unique).size(), 8u);
  CHECK_EQUAL(
      pages.fetch("keyed", [](std::string_view key) { return "the page " + std::string(key); })
          .view(),
      "the page keyed");
  CHECK_EQUAL(
      pages.fetch("", [](const std::string_view& key) { return docache::value(key); }).size(), 0u);
  const auto stats = pages.stats();
  CHECK(stats.loads == 7 && stats.load_failures == 0 && stats.inserted == 7 && stats.hits >= 2 &&
        stats.size == 6);
  check::passed("a fetch runs its work once, and keeps what it returns");
}

void shared_fetches() {
  const cache pages;
  gate entered, may_leave;
  std::thread leader([&] {
    CHECK_EQUAL(pages.fetch("key", [&] {
      entered.open();
      may_leave.pass();
      return "led";
    }).view(), "led");
  });
  entered.pass();
  CHECK(!pages.fetch_for(0s, "key", [] { return "own"; }));
  std::thread waiter(
      [&] { CHECK_EQUAL(pages.fetch_for(patience, "key", [] { return "own"; })->view(), "led"); });
  const auto removed = pages.remove("other");
  CHECK(!removed);
  may_leave.open();
  leader.join();
  waiter.join();
  CHECK_EQUAL(pages.get("key")->view(), "led");
  check::passed("those who ask meanwhile wait as long as they like, and share the outcome");
}

struct custom {
  int number;
};

void exceptions() {
  cache_options options;
  options.negative_ttl = 1h;
  const cache pages(options);
  CHECK_EQUAL(
      CHECK_THROWS(custom, pages.fetch("mine", []() -> docache::value { throw custom{7}; })).number,
      7);
  const auto own = CHECK_THROWS(docache::error, pages.fetch("quota", []() -> std::string {
    throw docache::error("quota", 507);
  }));
  CHECK(own.code() == 507 && own.message() == "quota");
  bool ran = false;
  const auto kept = CHECK_THROWS(docache::error, pages.fetch("quota", [&] {
    ran = true;
    return "better";
  }));
  CHECK(!ran && kept.status() == DOCACHE_DOER_FAILED && kept.code() == 507 &&
        kept.message() == "quota");
  pages.remove("quota");
  CHECK_EQUAL(pages.fetch("quota", [] { return "better"; }).view(), "better");
  const auto inner = CHECK_THROWS(
      docache::error, pages.fetch("key", [&] { return pages.fetch("key", [] { return ""; }); }));
  CHECK_EQUAL(inner.status(), DOCACHE_REENTRANT);
  CHECK_EQUAL(pages.fetch("a", [&] { return pages.fetch("b", [] { return "nested"; }); }).view(),
              "nested");
  CHECK_EQUAL(pages.fetch("c", [&] {
    pages.set("c", "stronger");
    return "weaker";
  }).view(), "weaker");
  CHECK_EQUAL(pages.get("c")->view(), "stronger");
  check::passed(
      "exceptions arrive as they were thrown; failures are kept where that was asked for; writes "
      "win over loads");
}

void moved_handles() {
  cache first;
  cache second = std::move(first);
  second.set("key", "text");
  CHECK(first.handle() == nullptr && first.size() == 0);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.get("key")).status(), DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.set("key", "")).status(),
              DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.fetch("key", [] { return ""; })).status(),
              DOCACHE_INVALID_ARGUMENT);
  first = cache();
  CHECK(first.empty());
  first = std::move(second);
  cache& self = first;
  first = std::move(self);
  CHECK_EQUAL(first.get("key")->view(), "text");
  CHECK(first.flush());
  check::passed("a handle moves; a moved-from handle throws");
}

}  // namespace

int main() {
  values_by_key();
  defaults();
  copies();
  lifetimes();
  lists();
  listeners();
  heavy_values();
  visits();
  fetches();
  shared_fetches();
  exceptions();
  moved_handles();
  CHECK(docache::shutdown());
  return check::all_passed("cache.cpp");
}
