/// docache for C++17: RAII handles over docache.h, header only.
///
///     docache::loop_cache load(100ms, [] { return read_load_average(); });  // any callable
///     load.start();
///     if (auto now = load.latest()) use(**now);  // never waits for the callable
///
///     docache::group<user> users;
///     auto ada = users.run("ada", [] { return read_user("ada"); });  // many callers, one read
///
///     docache::cache pages;
///     docache::value page = pages.fetch("/", [] { return render("/"); }, 10s);
///     use(page.view());  // or page.str(), a copy
///
///     docache::echo_cache reports(docache::redis_store("redis://127.0.0.1/"));
///     auto report = reports.fetch("today", [] { return R"({"sum":7})"; });  // JSON, for all
///
///     docache::run_group service;
///     service.add(docache::actor("server", [&] { serve(); }).interrupt([&] { close(); }));
///     service.add_signals().run();  // until server fails, or Ctrl-C
///
///     docache::scheduler upkeep;  // two threads for many loop caches and calls
///     upkeep.call_after(30s, [&] { pages.clear(); });
///
/// What holds for everything here:
/// - A loop_cache and a group keep your own types; a cache keeps bytes (docache::value). A T is
///   moved to the heap once, shared by reference count, never copied and destroyed with its last
///   handle. Readers on many threads see it as `const T&`.
/// - A `reading`, `snapshot`, `shared`, `value` or `error` owns what it shows and may outlive what
///   it came from.
/// - The library's failures are exceptions of type docache::error, a std::runtime_error. In `run`
///   and `fetch`, what the work throws reaches the caller that ran it unchanged, and those that
///   waited as docache::error: catch std::exception to have both. "Nothing yet" and "timed out" are
///   empty optionals or `false`.
/// - Nothing thrown by a user's callable crosses into the library: it is caught and recorded as
///   that call's failure.
/// - What an actor of a run_group throws, and the last attempt of a retry, is thrown unchanged.
///   What a call of a scheduler throws is ignored.
/// - Calls on one loop_cache, group or cache from several threads are safe; a handle itself is
///   moved, assigned and destroyed by one thread at a time, like a shared_ptr. A moved-from
///   handle may only be assigned or destroyed; other calls on a moved-from loop_cache, group or
///   cache throw.
/// - A timeout is any chrono duration, zero or less meaning "do not wait"; docache::forever means
///   no limit.
#ifndef DOCACHE_HPP
#define DOCACHE_HPP

#include "docache/actor.hpp"
#include "docache/base.hpp"
#include "docache/cache.hpp"
#include "docache/echo.hpp"
#include "docache/echo_call.hpp"
#include "docache/group.hpp"
#include "docache/loop_cache.hpp"
#include "docache/retry.hpp"
#include "docache/run.hpp"
#include "docache/scheduler.hpp"
#include "docache/store.hpp"

#endif  // DOCACHE_HPP
