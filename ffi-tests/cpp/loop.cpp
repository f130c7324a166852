// The loop cache as a C++ program uses it: typed results, Doers that throw, moved handles, and what
// outlives what.
#include "docache.hpp"

#include "check.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

using namespace std::chrono_literals;
using check::gate;
using check::patience;
using docache::forever;
using docache::loop_cache;

namespace {

/// Counts how many of it live, so that every result is seen to be destroyed.
struct counted {
  static inline std::atomic<int> alive{0};
  unsigned number;
  std::vector<double> payload;

  explicit counted(unsigned n) : number(n), payload(n % 16, n) { ++alive; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() { --alive; }

  bool whole() const {
    return payload.size() == number % 16 &&
           std::all_of(payload.begin(), payload.end(), [&](double x) { return x == number; });
  }
};

docache::loop_options every(docache::duration interval, std::size_t capacity = 0) {
  docache::loop_options options;
  options.interval = interval;
  options.capacity = capacity;
  return options;
}

void read_while_it_runs() {
  {
    unsigned calls = 0;
    loop_cache<counted> cache(every(1ms, 8), [&calls] { return counted(++calls); });
    CHECK(!cache.latest() && !cache.is_running() && cache.snapshot().empty());
    cache.start();
    cache.start();
    CHECK((*cache.wait_first(patience))->whole());
    std::atomic<int> seen_enough{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; ++i) {
      readers.emplace_back([&, i] {
        std::uint64_t last = 0, distinct = 0;
        auto reader = cache.make_reader();
        while (!stop) {
          const auto* kept = i % 2 == 0 ? nullptr : reader.latest();
          const auto held = kept == nullptr ? cache.latest() : *kept;
          CHECK(held && (*held)->whole() && (*held)->number == held->sequence());
          CHECK(held->sequence() >= last);
          if (held->sequence() > last && ++distinct == 5) ++seen_enough;
          last = held->sequence();
        }
      });
    }
    for (std::uint64_t version = 0; seen_enough < 4;) version = *cache.changed(version, patience);
    stop = true;
    for (std::thread& reader : readers) reader.join();
    CHECK(counted::alive > 0);
  }
  CHECK_EQUAL(counted::alive, 0);
  check::passed("four threads read whole objects, by latest() and by reader; none is left");
}

void deduced_types() {
  loop_cache numbers(1h, [n = std::make_unique<int>(41)] { return ++*n; });
  static_assert(std::is_same_v<decltype(numbers), loop_cache<int>>);
  loop_cache lists(every(1h), [] { return std::vector<double>{1.5, 2.5}; });
  static_assert(std::is_same_v<decltype(lists), loop_cache<std::vector<double>>>);
  const std::function<std::string()> function = [] { return std::string("text"); };
  loop_cache texts(1h, function);
  static_assert(std::is_same_v<decltype(texts), loop_cache<std::string>>);
  numbers.start();
  lists.start();
  texts.start();
  CHECK_EQUAL(**numbers.wait_first(patience), 42);
  CHECK_EQUAL((*lists.wait_first(patience))->back(), 2.5);
  CHECK_EQUAL(**texts.wait_first(patience), "text");

  struct alignas(64) wide {
    char bytes[64];
  };
  loop_cache<wide> aligned(1h, [] { return wide{}; });
  aligned.start();
  CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(aligned.wait_first(patience)->get()) % 64, 0u);
  check::passed("types are deduced; move-only Doers, std::function and over-aligned results work");
}

void byte_values() {
  loop_cache<> bytes(1h, [] { return std::vector<std::uint8_t>{'r', 'a', 'w'}; });
  loop_cache<docache::value> text(every(1h, 2), [] { return std::string("some text"); });
  loop_cache<> nothing(1h, [] { return docache::value(); });
  bytes.start();
  text.start();
  nothing.start();
  CHECK_EQUAL((*bytes.wait_first(patience))->view(), "raw");
  CHECK_EQUAL((**text.wait_first(patience)).view(), "some text");
  CHECK((*nothing.wait_first(patience))->empty());
  CHECK_EQUAL(text.snapshot().back().value().view(), "some text");
  CHECK_EQUAL(text.snapshot()[0].share()->get()->view(), "some text");
  check::passed("loop_cache<> holds bytes that other languages read too");
}

/// What the Doer throws next.
enum class toss { nothing, runtime, own, text, literal, number, memory, latin1 };

int thrower(toss what) {
  switch (what) {
    case toss::runtime: throw std::runtime_error("disk on fire");
    case toss::own: throw docache::error("quota used up", 507);
    case toss::text: throw std::string("a string");
    case toss::literal: throw "a literal";
    case toss::number: throw 42;
    case toss::memory: throw std::bad_alloc();
    case toss::latin1: throw docache::error("caf\xe9!", 9);
    case toss::nothing: break;
  }
  return 1;
}

void throwing_doers() {
  std::atomic<toss> next{toss::runtime};
  loop_cache cache(every(1h, 16), [&next] { return thrower(next); });
  CHECK(!cache.last_error());
  cache.start();
  CHECK_EQUAL(cache.changed(0, patience).value(), 1u);
  CHECK(!cache.wait_first(0s));
  for (const toss what : {toss::own, toss::text, toss::literal, toss::number, toss::latin1,
                          toss::memory, toss::nothing}) {
    next = what;
    CHECK(cache.refresh(patience));
  }
  const auto all = cache.snapshot();
  CHECK_EQUAL(all.size(), 8u);
  CHECK_EQUAL(all[0].error()->message(), "disk on fire");
  CHECK_EQUAL(all[1].error()->message(), "quota used up");
  CHECK_EQUAL(all[1].error()->code(), 507);
  CHECK_EQUAL(all[2].error()->message(), "a string");
  CHECK_EQUAL(all[3].error()->message(), "a literal");
  CHECK(all[4].error()->message().find("not a std::exception") != std::string_view::npos);
  CHECK(all[5].error()->message() == "caf\xef\xbf\xbd!" && all[5].error()->code() == 9);
  CHECK_EQUAL(all[6].error()->message(), std::string_view(std::bad_alloc().what()));
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(!all[i] && !all[i].share());
    CHECK_EQUAL(all[i].status(), DOCACHE_DOER_FAILED);
    CHECK_EQUAL(CHECK_THROWS(docache::error, all[i].value()).status(), DOCACHE_DOER_FAILED);
  }
  CHECK(all[7].ok() && !all[7].error() && all[7].value() == 1);
  CHECK_EQUAL(cache.last_error()->message(), std::string_view(std::bad_alloc().what()));
  const docache::loop_stats stats = cache.stats();
  CHECK(stats.calls == 8 && stats.failures == 7 && stats.panics == 0 && stats.running);
  CHECK_EQUAL(stats.consecutive_failures, 0u);
  check::passed("whatever a Doer throws is recorded, and the loop goes on");
}

void snapshots() {
  unsigned calls = 0;
  std::optional<docache::snapshot<counted>> kept;
  std::optional<docache::reading<counted>> reading;
  {
    loop_cache<counted> cache(every(1h, 4), [&calls] { return counted(++calls); });
    cache.start();
    CHECK(cache.wait_first(patience));
    for (int i = 0; i < 5; ++i) CHECK(cache.refresh(patience));
    kept = cache.snapshot();
    reading = cache.latest();
  }
  CHECK_EQUAL(counted::alive, 4);
  CHECK_EQUAL(kept->size(), 4u);
  CHECK_EQUAL(kept->version(), 6u);
  unsigned expected = 3;
  for (const auto& entry : *kept) {
    CHECK_EQUAL(entry.value().number, expected);
    CHECK_EQUAL(entry.sequence(), expected++);
    CHECK(entry.age() >= 0ns && entry.duration() >= 0ns);
    CHECK(entry.timestamp() > std::chrono::system_clock::time_point());
  }
  CHECK_EQUAL(expected, 7u);
  CHECK_EQUAL(kept->front().value().number, 3u);
  CHECK_EQUAL(kept->rbegin()->value().number, 6u);
  CHECK_EQUAL(kept->end() - kept->begin(), 4);
  CHECK_EQUAL(kept->begin()[2].sequence(), 5u);
  const auto found =
      std::lower_bound(kept->begin(), kept->end(), 5u,
                       [](const auto& entry, unsigned n) { return entry.sequence() < n; });
  CHECK_EQUAL(found->sequence(), 5u);
  CHECK_THROWS(std::out_of_range, (*kept)[4]);

  auto shared = kept->back().share();
  docache::snapshot<counted> copy = *kept;
  kept.reset();
  CHECK_EQUAL(copy.size(), 4u);
  copy = docache::snapshot<counted>(std::move(copy));
  { const docache::snapshot<counted> last = std::move(copy); }
  CHECK_EQUAL(counted::alive, 1);
  CHECK(shared->get() == reading->get() && (*shared)->number == 6);
  shared.reset();
  reading.reset();
  CHECK_EQUAL(counted::alive, 0);
  check::passed(
      "a snapshot is a random-access range and outlives the loop cache, and a reading outlives "
      "both");
}

void moved_handles() {
  unsigned calls = 0;
  auto alive = std::make_shared<int>(0);
  loop_cache<int> first(1h, [&calls, alive] { return static_cast<int>(++calls); });
  first.start();
  CHECK(first.wait_first(patience));
  auto reader = first.make_reader();
  loop_cache<int> second = std::move(first);
  CHECK(second.is_running());
  CHECK_EQUAL(second.refresh(patience).value(), 2u);
  CHECK_EQUAL(**reader.latest(), 2);
  CHECK(!first.is_running() && first.handle() == nullptr && first.version() == 0);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.start()).status(), DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.latest()).status(), DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.snapshot()).status(), DOCACHE_INVALID_ARGUMENT);
  first = loop_cache<int>(1h, [] { return 7; });
  CHECK_EQUAL(alive.use_count(), 2);
  second = std::move(first);
  CHECK_EQUAL(alive.use_count(), 1);
  second.start();
  CHECK_EQUAL(**second.wait_first(patience), 7);
  loop_cache<int>& self = second;
  second = std::move(self);
  CHECK_EQUAL(**second.latest(), 7);
  check::passed(
      "a handle moves while it runs; assigning frees what it held; a moved-from handle throws");
}

/// Where the system shows the calling thread while it lives; an empty path if it does not.
std::filesystem::path this_thread_entry() {
  std::error_code none;
  const auto thread = std::filesystem::read_symlink("/proc/thread-self", none);
  return none ? std::filesystem::path() : "/proc" / thread;
}

void stop_from_inside() {
  std::atomic<loop_cache<int>*> self{nullptr};
  std::atomic<int> calls{0};
  loop_cache<int> cache(1ms, [&] {
    self.load()->stop();
    return ++calls;
  });
  self = &cache;
  cache.run();
  CHECK_EQUAL(calls, 1);
  cache.start();
  CHECK(cache.changed(1, patience));
  cache.stop();
  CHECK_EQUAL(calls, 2);
  CHECK(!cache.is_running());

  gate gone;
  struct at_end {
    gate* opened;
    explicit at_end(gate* g) : opened(g) {}
    at_end(at_end&& other) noexcept : opened(std::exchange(other.opened, nullptr)) {}
    at_end(const at_end&) = delete;
    at_end& operator=(const at_end&) = delete;
    ~at_end() {
      if (opened != nullptr) opened->open();
    }
  };
  std::optional<loop_cache<int>> doomed;
  gate made;
  std::filesystem::path thread;
  doomed.emplace(1ms, [&, end = at_end(&gone)] {
    thread = this_thread_entry();
    made.pass();
    doomed.reset();
    return 1;
  });
  doomed->start();
  made.open();
  gone.pass();
  // Nobody can join the thread of a loop cache that destroyed itself: wait until it has left the
  // process, so that tools that look for leaks at the end do not see it half gone.
  while (std::filesystem::exists(thread)) std::this_thread::yield();
  CHECK(!doomed);
  check::passed("a Doer stops its own loop cache, and destroys it");
}

void stop_with_a_deadline() {
  gate entered, may_leave;
  loop_cache<int> cache(1h, [&] {
    entered.open();
    may_leave.pass();
    return 1;
  });
  CHECK(cache.stop_for(0s));
  cache.start();
  entered.pass();
  CHECK(!cache.stop_for(1ms));
  CHECK(!cache.stop_for(-1s));
  may_leave.open();
  CHECK(cache.stop_for(patience));
  CHECK(cache.stop_for(forever));
  CHECK_EQUAL(CHECK_THROWS(docache::error, cache.refresh(patience)).status(), DOCACHE_CLOSED);
  CHECK(!cache.changed(1, 0s));

  std::thread runner([&cache] { cache.run(); });
  entered.pass();
  CHECK_EQUAL(CHECK_THROWS(docache::error, cache.run()).status(), DOCACHE_BUSY);
  may_leave.open();
  cache.stop();
  runner.join();
  CHECK_EQUAL(cache.version(), 2u);
  check::passed("stop_for reports a Doer that is blocked, run() blocks, a second run() is refused");
}

void bad_options() {
  auto alive = std::make_shared<int>(0);
  const auto refusal = [&alive](const docache::loop_options& options) {
    return CHECK_THROWS(docache::error, loop_cache<int>(options, [alive] { return *alive; }));
  };
  docache::loop_options negative = every(1s), schedule = every(1s), name = every(1s);
  negative.jitter = -1ns;
  schedule.schedule = static_cast<docache::schedule>(9);
  name.name = "\xff";
  const auto names = [](const docache::error& e, std::string_view argument) {
    CHECK_EQUAL(e.status(), DOCACHE_INVALID_ARGUMENT);
    CHECK(e.message().find(argument) != std::string_view::npos);
  };
  // By the names of C++, not by those of docache.h.
  names(refusal({}), "interval: 0 ns");
  names(refusal(every(-1s)), "interval");
  names(refusal(negative), "jitter");
  names(refusal(schedule), "schedule");
  names(refusal(name), "name");
  CHECK_EQUAL(alive.use_count(), 1);

  loop_cache<int> endless(every(std::chrono::hours::max()), [] { return 1; });
  endless.start();
  CHECK(endless.wait_first(patience));
  CHECK(endless.stop_for(patience));
  check::passed(
      "bad options are refused by name and drop the Doer; an endless interval stops at once");
}

void logging() {
  std::atomic<int> records{0};
  auto alive = std::make_shared<int>(0);
  {
    docache::loop_options options = every(1h);
    options.name = "weather";
    options.logger = docache::logger(docache::level::warn,
                                     [&records, alive](docache::level level, auto, auto message) {
                                       CHECK(level <= docache::level::warn && !message.empty());
                                       ++records;
                                       throw 1;
                                     });
    loop_cache<int> cache(options, []() -> int { throw std::runtime_error("rain"); });
    options.logger = {};
    cache.start();
    CHECK(cache.changed(0, patience));
    cache.stop();
    CHECK(records >= 1);
    CHECK_EQUAL(alive.use_count(), 2);
  }
  CHECK_EQUAL(alive.use_count(), 1);
  check::passed("a logger hears of failures, may throw, and lives as long as the loop cache");
}

}  // namespace

int main() {
  read_while_it_runs();
  deduced_types();
  byte_values();
  throwing_doers();
  snapshots();
  moved_handles();
  stop_from_inside();
  stop_with_a_deadline();
  bad_options();
  logging();
  return check::all_passed("loop.cpp");
}
