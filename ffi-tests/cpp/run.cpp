// Groups, loops and retries of docache.hpp: what is thrown where, who owns what, and groups that
// are destroyed inside their own callables. Run it under AddressSanitizer.
#include "../threads.h"
#include "check.hpp"

#include <docache.hpp>

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using check::gate;
using docache::actor;
using docache::loop_actor;
using docache::run_end;
using docache::run_group;
using docache::run_group_options;
using docache::run_loop;
using docache::stop_token;

/// An exception of the program's own, with something of its own.
struct disk_full : std::runtime_error {
  explicit disk_full(int left) : std::runtime_error("disk full"), left_bytes(left) {}
  int left_bytes;
};

void wait(const stop_token& stop) { CHECK(stop.wait()); }

run_group_options with_deadline(docache::timeout deadline) {
  run_group_options options;
  options.deadline = deadline;
  return options;
}

void what_an_actor_throws_comes_out_of_run() {
  gate begun;
  std::atomic<unsigned> interrupts{0};
  std::string told;
  run_group group;
  group.add(actor("server", [&](const stop_token& stop) {
              begun.open();
              CHECK(!stop.stop_requested() || stop.wait(0s));
              wait(stop);
            }).interrupt([&](const docache::run_cause& cause) {
    CHECK(cause.kind == run_end::failed && cause.actor == "disk");
    CHECK_EQUAL(cause.error->message(), "disk full");
    ++interrupts;
  }));
  group.add(actor("disk", [&] {
              begun.pass();
              throw disk_full(7);
            }).on_failure([&](const docache::error& error) { told = error.what(); }));
  const auto thrown = CHECK_THROWS(disk_full, group.run());
  CHECK_EQUAL(thrown.left_bytes, 7);
  CHECK_EQUAL(interrupts.load(), 1u);
  CHECK_EQUAL(told, "disk full");
  const auto again = CHECK_THROWS(docache::error, group.run());
  CHECK_EQUAL(again.status(), DOCACHE_CLOSED);
  CHECK_THROWS(docache::error, group.add(actor("late", [] {})));
  check::passed("what an actor throws comes out of run(), unchanged");
}

void what_is_thrown_elsewhere() {
  for (const bool in_interrupt : {true, false}) {
    gate begun;
    run_group group;
    group.add(actor("waits", [&](const stop_token& stop) {
                begun.open();
                wait(stop);
                if (!in_interrupt) throw std::string("after the stop");
              })
                  .interrupt([&] {
                    if (in_interrupt) throw disk_full(1);
                  })
                  .on_failure([](const docache::error& error) {
                    CHECK_EQUAL(error.message(), "after the stop");
                    throw disk_full(2);
                  }));
    group.add(actor("stops", [&begun, handle = group.handle()] {
      begun.pass();
      CHECK(handle.stop() && !handle.stop() && handle.is_stopping());
    }));
    const auto report = group.try_run();
    CHECK(report.cause.kind == run_end::stopped && !report.ok());
    CHECK_EQUAL(CHECK_THROWS(disk_full, report.rethrow()).left_bytes, in_interrupt ? 1 : 2);
    CHECK_EQUAL(report.errors.size(), in_interrupt ? 0u : 1u);
  }
  check::passed("what interrupts and failure handlers throw comes out of run()");
}

void reports() {
  run_group empty;
  CHECK(empty.run().cause.kind == run_end::finished);

  run_group_options options;
  options.stop_on = docache::stop_on::any_return;
  run_group first(options);
  first.add(actor("short", [] {})).add(actor("long", wait));
  const auto report = first.run();
  CHECK(report.ok() && report.cause.kind == run_end::returned && report.cause.actor == "short");

  gate stays, begun;
  run_group outer(with_deadline(1ms)), inner;
  inner.add(actor("deaf", [&] {
    begun.open();
    stays.pass();
  }));
  outer.add("storage", std::move(inner), 2);
  outer.stage_deadline(2, 0s);
  outer.add(actor("stops", [&begun, handle = outer.handle()] {
    begun.pass();
    handle.stop();
  }));
  const auto late = CHECK_THROWS(docache::run_error, outer.run());
  CHECK_EQUAL(late.status(), DOCACHE_TIMEOUT);
  CHECK_EQUAL(late.report().unfinished.size(), 1u);
  CHECK_EQUAL(late.report().unfinished[0].name, "storage/deaf");
  CHECK(late.report().unfinished[0].in_execute && !late.report().unfinished[0].in_interrupt);
  CHECK(std::string(late.what()).find("storage/deaf") != std::string::npos);
  stays.open();
  check::passed("reports, and who does not stop in time");
}

void what_inner_groups_throw() {
  run_group outer, middle, inner;
  run_loop loop;
  loop.add(loop_actor("poll", wait));
  inner.add(actor("disk", [] { throw disk_full(3); }));
  middle.add("inner", std::move(inner)).add("polls", std::move(loop), 1);
  outer.add("middle", std::move(middle));
  const auto report = outer.try_run();
  CHECK_EQUAL(report.cause.actor, "middle/inner/disk");
  CHECK_EQUAL(CHECK_THROWS(disk_full, report.rethrow()).left_bytes, 3);

  run_group itself;
  itself.add(actor("one", [] {}));
  CHECK_THROWS(docache::error, itself.add("itself", std::move(itself)));
  CHECK(itself.run().ok());
  check::passed("what actors of inner groups throw");
}

void callables_that_only_move() {
  auto owned = std::make_unique<int>(5);
  std::weak_ptr<int> watched;
  {
    auto shared = std::make_shared<int>(6);
    watched = shared;
    run_group group;
    group.add(actor("moves", [owned = std::move(owned), shared = std::move(shared)] {
      CHECK(*owned == 5 && *shared == 6);
    }));
    run_group moved(std::move(group));
    CHECK(moved.run().ok());
    CHECK(!watched.expired());
    CHECK_THROWS(docache::error, group.run());
    CHECK_THROWS(docache::error, group.handle());
    group = std::move(moved);
  }
  CHECK(watched.expired());
  check::passed("callables that can only be moved, and groups that are");
}

void loops() {
  run_loop loop;
  std::atomic<unsigned> calls{0}, told{0};
  loop.add(loop_actor("flaky",
                      [&, handle = loop.handle()] {
                        if (++calls == 4) handle.stop();
                        if (calls % 2 == 0) throw disk_full(static_cast<int>(calls));
                      })
               .pause(1us)
               .backoff(docache::backoff::exponential(1us).capped(1ms).jitter(false))
               .failure_limit(100, 1s)
               .on_failure([&](const docache::error&) {
                 ++told;
                 throw 7;  // goes nowhere
               }));
  const auto report = loop.run();
  CHECK(report.ok() && report.cause.kind == run_end::stopped);
  CHECK_EQUAL(report.failures, 2u);
  CHECK_EQUAL(told.load(), 2u);
  CHECK_EQUAL(report.errors.at(0).actor, "flaky");
  CHECK_EQUAL(CHECK_THROWS(docache::error, loop.run()).status(), DOCACHE_CLOSED);
  CHECK(!loop.stop());
  CHECK_THROWS(docache::error, docache::backoff::constant(0s));
  CHECK_THROWS(docache::error, docache::backoff::exponential(2s).capped(-1s));
  CHECK_THROWS(docache::error, loop_actor("never", [] {}).pause(-1s));
  check::passed("loops");
}

void retries() {
  CHECK_EQUAL(docache::retry([](docache::retrier& r) {
                r.set_delay(1us);
                if (r.iteration() < 3) throw disk_full(0);
                return std::to_string(r.iteration());
              }),
              "3");
  docache::retry_options options;
  options.backoff = docache::backoff::constant(1us);
  options.max_attempts = 4;
  options.budget = 1h;
  int attempts = 0;
  const auto last = CHECK_THROWS(disk_full, docache::retry(options, [&](docache::retrier& r) {
                      CHECK(r.remaining() && *r.remaining() <= 1h);
                      throw disk_full(++attempts);
                    }));
  CHECK_EQUAL(last.left_bytes, 4);
  attempts = 0;
  CHECK_THROWS(disk_full, docache::retry(options, [&](docache::retrier& r) -> int {
                 r.stop();
                 throw disk_full(++attempts);
               }));
  CHECK_EQUAL(attempts, 1);
  const auto only_moves = docache::retry([] { return std::make_unique<int>(3); });
  CHECK_EQUAL(*only_moves, 3);
  CHECK_EQUAL(CHECK_THROWS(disk_full, docache::retry([&](docache::retrier& r) {
                             CHECK(!r.remaining());
                             r.set_max_attempts(2);
                             r.set_budget(docache::forever);
                             r.set_backoff(docache::backoff::constant(1us));
                             throw disk_full(static_cast<int>(r.iteration()));
                           }))
                  .left_bytes,
              2);

  run_group group;
  group.add(actor("retries", [handle = group.handle()](const stop_token& stop) {
    docache::retry_options with_stop;
    with_stop.stop = &stop;
    with_stop.backoff = docache::backoff::constant(1h);
    CHECK_THROWS(disk_full, docache::retry(with_stop, [&] {
                   handle.stop();
                   throw disk_full(1);
                 }));
    CHECK(stop.wait(0s) && stop.stop_requested());
    const auto cancelled = CHECK_THROWS(docache::error, docache::retry(with_stop, [] {}));
    CHECK_EQUAL(cancelled.status(), DOCACHE_CANCELLED);
  }));
  CHECK(group.run().cause.kind == run_end::stopped);
  check::passed("retries");
}

void signals() {
  run_group group;
  gate begun;
  try {
    group.add_signals({SIGUSR1});
  } catch (const docache::error& unsupported) {
    CHECK_EQUAL(unsupported.status(), DOCACHE_UNSUPPORTED);
    return;
  }
  group.add(actor("waits", [&](const stop_token& stop) {
    begun.open();
    wait(stop);
  }));
  group.add(actor("signals", [&] {
    begun.pass();
    CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
  }));
  const auto report = group.run();
  CHECK(report.cause.kind == run_end::signal && report.cause.signal == SIGUSR1);
  run_group defaults;
  defaults.add_signals();
  const auto refused = CHECK_THROWS(docache::error, defaults.add_signals({SIGKILL}));
  CHECK_EQUAL(refused.status(), DOCACHE_INVALID_ARGUMENT);
  check::passed("signals");
}

/// Says when it is destroyed; copies do not count.
class witness {
 public:
  explicit witness(std::atomic<unsigned>& gone)
      : gone_(&gone, [](std::atomic<unsigned>* counter) { ++*counter; }) {}

 private:
  std::shared_ptr<std::atomic<unsigned>> gone_;
};

void await(const std::atomic<unsigned>& counter, unsigned expected) {
  const auto deadline = std::chrono::steady_clock::now() + check::patience;
  while (counter < expected && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  CHECK_EQUAL(counter.load(), expected);
}

void destroyed_inside() {
  std::atomic<unsigned> gone{0};
  auto group = std::make_unique<run_group>();
  group->add(actor("destroys", [&, seen = witness(gone)](const stop_token& stop) {
    group.reset();
    CHECK_EQUAL(gone.load(), 0u);
    wait(stop);
    throw disk_full(9);
  }));
  run_group& running = *group;
  const auto report = running.try_run();
  CHECK(report.cause.kind == run_end::stopped);
  await(gone, 1);

  for (int round = 0; round < 20; ++round) {
    std::atomic<unsigned> both_gone{0};
    std::unique_ptr<run_group> groups[2];
    gate here, go;
    for (int i = 0; i < 2; ++i) {
      groups[i] = std::make_unique<run_group>();
      groups[i]->add(actor("destroys", [&, i, seen = witness(both_gone)] {
        here.open();
        go.pass();
        groups[1 - i].reset();
      }));
    }
    run_group* raw[2] = {groups[0].get(), groups[1].get()};
    std::vector<std::thread> runners;
    for (auto* one : raw) runners.emplace_back([one] { CHECK(one->run().ok()); });
    here.pass();
    here.pass();
    go.open(2);
    for (auto& runner : runners) runner.join();
    await(both_gone, 2);
  }
  check::passed("groups that are destroyed inside their actors, their own and each other's");
}

void detached() {
  gate stays, begun;
  std::atomic<unsigned> gone{0}, told{0};
  run_group group(with_deadline(1ms));
  group.add(actor("stuck", [&, seen = witness(gone)] {
              begun.open();
              stays.pass();
              throw disk_full(1);
            }).on_failure([&](const docache::error&) { ++told; }));
  group.add(actor("fails", [&] {
    begun.pass();
    throw disk_full(2);
  }));
  const auto report = group.try_run();
  CHECK_EQUAL(CHECK_THROWS(disk_full, report.rethrow()).left_bytes, 2);
  CHECK_EQUAL(report.unfinished.at(0).name, "stuck");
  group.detach();
  CHECK_EQUAL(gone.load(), 0u);
  stays.open();
  await(gone, 1);
  CHECK_EQUAL(told.load(), 1u);
  check::passed("a group that is let go of although an actor is stuck");
}

}  // namespace

int main() {
  what_an_actor_throws_comes_out_of_run();
  what_is_thrown_elsewhere();
  reports();
  what_inner_groups_throw();
  callables_that_only_move();
  loops();
  retries();
  signals();
  destroyed_inside();
  detached();
  CHECK(await_end_of_threads());
  return check::all_passed("run.cpp");
}
