// Stores in Redis and NATS as a C++ program uses them: shared with a second cache, refreshed under
// a lock, and with a server that is not there.
//
// remote REDIS_URL NATS_URL
#include "docache.hpp"

#include "../cpp/check.hpp"

#include <functional>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using check::gate;
using check::patience;
using docache::echo_cache;
using docache::echo_options;
using docache::fetch_status;
using docache::lazy_echo_cache;
using docache::lazy_echo_options;

namespace {

docache::remote_store_options in(docache::format format) {
  docache::remote_store_options options;
  options.prefix = "from-cpp";
  options.format = format;
  return options;
}

/// Makes a store at a URL.
using maker = std::function<docache::store(std::string_view url, docache::format format)>;

/// A kind of server.
struct server {
  std::string name;
  std::string nowhere;
  maker make;
};

echo_options patient() {
  echo_options options;
  options.store_budget = patience;
  return options;
}

/// A store connects at its first use, and may answer nothing until then.
template <class Cache>
void connect(const Cache& cache) {
  for (;;) {
    try {
      return cache.put("there", "1");
    } catch (const docache::error&) {
      std::this_thread::yield();
    }
  }
}

void shares(const server& at, const std::string& url) {
  const echo_cache first(at.make(url, docache::format::json), patient());
  const echo_cache second(at.make(url, docache::format::json), patient());
  connect(first);
  connect(second);
  const auto loaded = first.fetch("ada", [] { return R"({"of":[1,2]})"; });
  CHECK(loaded.status == fetch_status::loaded);
  const auto found = second.fetch("ada", []() -> std::string { throw 7; });
  CHECK(found.status == fetch_status::fresh);
  CHECK_EQUAL(found.value.view(), R"({"of":[1,2]})");
  second.remove("ada");
  CHECK(first.fetch("ada", [] { return "2"; }).status == fetch_status::loaded);
  const auto error = CHECK_THROWS(docache::error, first.fetch("bad", [] { return "{"; }));
  CHECK_EQUAL(error.status(), DOCACHE_INVALID_ARGUMENT);
  check::passed(at.name + ": what one cache has loaded, another one finds");
}

void refreshes(const server& at, const std::string& url) {
  std::atomic<int> ours{0}, theirs{0};
  std::atomic<bool> gated{false};
  gate entered, may_load;
  lazy_echo_options options;
  options.refresh_after = 200ms;
  options.expires = 1h;
  options.store_budget = patience;
  const lazy_echo_cache first(
      at.make(url, docache::format::lazy_json),
      [&](std::string_view) -> docache::value {
        const auto number = ++ours;
        if (gated) {
          entered.open();
          may_load.pass();
        }
        return std::to_string(number);
      },
      options);
  const lazy_echo_cache second(
      at.make(url, docache::format::lazy_json),
      [&](std::string_view) -> docache::value {
        ++theirs;
        return "0";
      },
      options);
  connect(first);
  connect(second);
  CHECK(first.fetch("rate").status == fetch_status::loaded);
  gated = true;
  while (first.fetch("rate").status != fetch_status::stale) std::this_thread::yield();
  entered.pass();
  // It has the lock: the other cache serves what is stale, and leaves the refresh to it.
  const auto stale = second.fetch("rate");
  CHECK(stale.status == fetch_status::stale && stale.age >= 200ms && stale.value.view() == "1");
  const auto is_busy = [](const lazy_echo_cache& cache) {
    return cache.stats().refreshes < 1 || cache.stats().refreshing > 0;
  };
  while (is_busy(second)) std::this_thread::yield();
  CHECK_EQUAL(theirs, 0);
  may_load.open(100);
  while (is_busy(first)) std::this_thread::yield();
  CHECK_EQUAL(second.fetch("rate").value.view(), "2");
  CHECK_EQUAL(second.shutdown(patience).running, 0u);
  check::passed(at.name + ": whoever has the lock refreshes, and the others serve what is stale");
}

void computes(const server& at) {
  std::atomic<int> warnings{0};
  echo_options options;
  options.on_warning = [&](const docache::echo_warning& warning) {
    CHECK(warning.kind == DOCACHE_WARNING_STORE && warning.key == "key");
    ++warnings;
  };
  const echo_cache cache(at.make(at.nowhere, docache::format::json), options);
  for (int turn = 0; turn < 2; ++turn) {
    const auto fetched = cache.fetch("key", [] { return "1"; });
    CHECK(fetched.status == fetch_status::loaded && fetched.value.view() == "1");
  }
  CHECK(warnings > 0);
  CHECK_THROWS(docache::error, cache.put("key", "2"));
  check::passed(at.name + ": without a server a fetch computes, and the hook is told");
}

void refuses(const server& at) {
  const auto error =
      CHECK_THROWS(docache::error, at.make("http://localhost/", docache::format::json));
  CHECK_EQUAL(error.status(), DOCACHE_INVALID_ARGUMENT);
  const std::string message = error.what();
  CHECK(message.find("url") != message.npos && message.find(at.name) != message.npos);
  check::passed(at.name + ": a URL that is none is refused by name");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << argv[0] << " REDIS_URL NATS_URL\n";
    return 2;
  }
  const server servers[] = {
      {"redis", "redis://127.0.0.1:1/",
       [](std::string_view url, docache::format format) {
         return docache::redis_store(url, in(format));
       }},
      {"nats", "nats://127.0.0.1:1",
       [](std::string_view url, docache::format format) {
         return docache::nats_store(url, "from-cpp", in(format));
       }},
  };
  for (const auto& at : servers) {
    const std::string url = *++argv;
    shares(at, url);
    refreshes(at, url);
    computes(at);
    refuses(at);
  }
  while (!docache::shutdown()) std::this_thread::yield();
  return check::all_passed("remote.cpp");
}
