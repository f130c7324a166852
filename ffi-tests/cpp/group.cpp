// Groups as a C++ program uses them: typed results that are shared, exceptions on both sides,
// limits, moved handles.
#include "docache.hpp"

#include "check.hpp"

#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using check::gate;
using check::patience;
using docache::group;

namespace {

/// Counts how many of it live, so that every result is seen to be destroyed.
struct counted {
  static inline std::atomic<int> alive{0};
  int number;

  explicit counted(int n) : number(n) { ++alive; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() { --alive; }
};

void alone() {
  std::optional<docache::shared<counted>> kept;
  {
    const group<counted> numbers(4);
    kept = numbers.run("seven", [] { return counted(7); });
    CHECK((*kept)->number == 7 && kept->led() && !kept->is_shared());
    auto copy = *kept;
    CHECK(copy.get() == kept->get());
    CHECK_EQUAL(numbers.run([n = std::make_unique<int>(8)] { return counted(*n); })->number, 8);
    CHECK_EQUAL((*numbers.run_for(0s, "nine", [] { return counted(9); }))->number, 9);
    CHECK_EQUAL((*numbers.run_for(-1s, [] { return counted(10); }))->number, 10);
    const auto length = [](std::string_view key) { return counted(static_cast<int>(key.size())); };
    CHECK_EQUAL(numbers.run("four", length)->number, 4);
    CHECK_EQUAL(numbers.run(length)->number, 0);
    CHECK_EQUAL(numbers.in_flight(), 0u);
  }
  CHECK_EQUAL(counted::alive, 1);
  CHECK_EQUAL((*kept)->number, 7);
  kept.reset();
  CHECK_EQUAL(counted::alive, 0);
  check::passed(
      "a call that nobody joins runs its own work; results outlive the group, none is left");
}

// Work that returns something else is refused, also where a T could be made of it: a vector of
// five, or an owner.
using docache::detail::returns_a;
static_assert(returns_a<counted, counted (*)()>() && returns_a<int, const int& (*)()>());
static_assert(returns_a<std::string, const char* (*)()>() &&
              returns_a<docache::value, std::string (*)()>());
static_assert(!returns_a<int, void (*)()>() && !returns_a<docache::value, void (*)()>());
static_assert(!returns_a<std::vector<int>, int (*)()>() &&
              !returns_a<std::unique_ptr<int>, int* (*)()>());

void bytes_and_wide_types() {
  const group<> bytes;
  CHECK_EQUAL(bytes.run("text", [] { return std::string("some text"); })->view(), "some text");
  CHECK_EQUAL(bytes.run("raw", [] { return std::vector<std::uint8_t>{'r', 'a', 'w'}; })->view(),
              "raw");
  CHECK(bytes.run("none", [] { return docache::value(); })->empty());
  struct alignas(64) wide {
    char bytes[64];
  };
  const group<wide> wides;
  CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(wides.run([] { return wide{}; }).get()) % 64, 0u);
  const group<std::function<int()>> functions;
  CHECK_EQUAL((*functions.run([] { return [] { return 5; }; }))(), 5);
  check::passed("bytes, over-aligned objects and objects that convert");
}

/// A program whose own functions have the names of the library's, and would take anything.
namespace greedy {
struct row {
  int number;
};
struct work {
  row operator()() const { return {6}; }
};
template <class... Anything>
[[maybe_unused]] void wrap(Anything&&...);
template <class T, class F>
[[maybe_unused]] T make_value(F&);
}  // namespace greedy

void names_of_others() {
  const group<greedy::row> rows;
  CHECK_EQUAL(rows.run("key", greedy::work())->number, 6);
  docache::loop_cache<greedy::row> loop(1h, greedy::work());
  loop.start();
  CHECK(loop.wait_first(patience));
  CHECK_EQUAL((*loop.latest())->number, 6);
  check::passed("functions of the program that have our names are not called");
}

void joined() {
  {
    const group<counted> numbers;
    gate entered, may_leave;
    std::optional<docache::shared<counted>> led, waited;
    std::thread leader([&] {
      led = numbers.run("key", [&] {
        entered.open();
        may_leave.pass();
        return counted(1);
      });
    });
    entered.pass();
    CHECK_EQUAL(numbers.in_flight(), 1u);
    CHECK(!numbers.run_for(0s, "key", [] { return counted(2); }));
    CHECK(!numbers.run_for(1ms, "key", [] { return counted(2); }));
    std::thread waiter(
        [&] { waited = numbers.run_for(patience, "key", [] { return counted(2); }); });
    may_leave.open();
    leader.join();
    waiter.join();
    CHECK(led->led() && (*led)->number == 1);
    // The waiter joined in time, or came too late and ran itself.
    CHECK_EQUAL((*waited)->number, waited->led() ? 2 : 1);
    CHECK_EQUAL(led->get() == waited->get(), !waited->led());
    CHECK_EQUAL(led->is_shared(), !waited->led());
  }
  CHECK_EQUAL(counted::alive, 0);
  check::passed("those who ask meanwhile wait as long as they like, and share one object");
}

/// Runs `work` as the leader of "key" while a call of docache.h that does not block waits for it,
/// and returns how that waiting ends: what a caller that joined gets.
template <class E, class T, class F>
std::pair<E, docache::error> fail_together(const group<T>& numbers, F work) {
  docache_call* waiter = nullptr;
  const E thrown = CHECK_THROWS(E, numbers.run("key", [&]() -> T {
    gate begun;
    std::thread joins([&] {
      CHECK_EQUAL(
          docache_group_begin(numbers.handle(), reinterpret_cast<const std::uint8_t*>("key"), 3,
                              &waiter, nullptr),
          DOCACHE_PENDING);
      begun.open();
    });
    begun.pass();
    joins.join();
    return work();
  }));
  docache::detail::error_slot slot;
  docache_value* value = nullptr;
  const auto status = docache_call_poll(waiter, &value, nullptr, slot.out());
  const docache::error shared = docache::detail::to_error(status, slot.get());
  CHECK_EQUAL(docache_call_free(waiter), DOCACHE_OK);
  return {thrown, shared};
}

struct custom {
  std::shared_ptr<int> payload;
};

void exceptions() {
  const group<int> numbers;
  const auto [range, as_range] = fail_together<std::out_of_range>(
      numbers, []() -> int { throw std::out_of_range("no such row"); });
  CHECK(range.what() == std::string_view("no such row") && as_range.message() == "no such row");
  CHECK(as_range.status() == DOCACHE_DOER_FAILED && as_range.code() == 0);

  const auto [own, as_own] =
      fail_together<docache::error>(numbers, []() -> int { throw docache::error("quota", 507); });
  CHECK(own.code() == 507 && as_own.code() == 507 && as_own.message() == "quota");

  const auto payload = std::make_shared<int>(7);
  const auto [mine, as_mine] =
      fail_together<custom>(numbers, [&]() -> int { throw custom{payload}; });
  CHECK(mine.payload == payload);
  CHECK(as_mine.message().find("not a std::exception") != std::string_view::npos);

  struct wordless : std::exception {
    const char* what() const noexcept override { return nullptr; }
  };
  const auto [none, as_none] =
      fail_together<std::nullptr_t>(numbers, []() -> int { throw nullptr; });
  CHECK(none == nullptr && as_none.message().find("null pointer") != std::string_view::npos);
  const auto [no_words, as_no_words] =
      fail_together<wordless>(numbers, []() -> int { throw wordless(); });
  CHECK(no_words.what() == nullptr &&
        as_no_words.message().find("without a text") != std::string_view::npos);
  CHECK_EQUAL(numbers.in_flight(), 0u);
  CHECK_EQUAL(*numbers.run("key", [] { return 3; }), 3);
  check::passed(
      "an exception reaches who led as it was thrown, and who joined as an error with its text and "
      "code");
}

void failures_of_others() {
  const group<int> numbers;
  docache::detail::error_slot reported;
  CHECK_EQUAL(docache_error_new(9, "as told", 7, reported.out(), nullptr), DOCACHE_OK);
  // Until the thread has joined in time once; if it comes late it runs its own work, and another
  // round is due.
  for (bool joined = false; !joined;) {
    docache_call* leader = nullptr;
    CHECK_EQUAL(docache_group_begin(numbers.handle(), nullptr, 0, &leader, nullptr),
                DOCACHE_LEADER);
    gate begun;
    std::thread waiter([&] {
      begun.open();
      try {
        CHECK_EQUAL(*numbers.run([] { return 1; }), 1);
      } catch (const docache::error& failure) {
        CHECK(failure.status() == DOCACHE_PANIC && failure.code() == 9 &&
              failure.message() == "as told");
        joined = true;
      }
    });
    begun.pass();
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
    auto* error = const_cast<docache_error*>(reported.get());
    CHECK_EQUAL(docache_call_finish(leader, DOCACHE_PANIC, nullptr, error, nullptr, nullptr),
                DOCACHE_OK);
    waiter.join();
    CHECK_EQUAL(docache_call_free(leader), DOCACHE_OK);
  }
  check::passed("a caller that joined throws what the leader reported, whoever that is");
}

void from_inside() {
  const group<int> numbers;
  const auto inner = CHECK_THROWS(
      docache::error, numbers.run("key", [&] { return *numbers.run("key", [] { return 1; }); }));
  CHECK_EQUAL(inner.status(), DOCACHE_REENTRANT);
  CHECK(inner.message().find("\"key\"") != std::string_view::npos);
  CHECK_EQUAL(*numbers.run("a", [&] { return *numbers.run("b", [] { return 1; }) + 1; }), 2);
  CHECK_EQUAL(*numbers.run("a", [&] {
    CHECK(numbers.forget("a") && !numbers.forget("a"));
    return *numbers.run("a", [] { return 10; }) + 1;
  }), 11);
  CHECK(!numbers.forget());
  CHECK_EQUAL(*numbers.run([&] { return numbers.forget() ? 1 : 0; }), 1);
  check::passed(
      "a run that would wait for itself throws; what is forgotten may be run inside itself");
}

void crowd() {
  const group<counted> numbers;
  std::atomic<int> runs{0}, led{0}, ready{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      ++ready;
      while (ready < 16) std::this_thread::yield();
      for (int turn = 0; turn < 200; ++turn) {
        const int before = runs;
        const auto result = numbers.run("key", [&] { return counted(++runs); });
        CHECK(result->number >= (result.led() ? before + 1 : 1));
        CHECK(result.led() || result.is_shared());
        if (result.led()) ++led;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(led == runs);
  CHECK(runs <= 16 * 200);
  CHECK_EQUAL(counted::alive, 0);
  check::passed("a crowd: each run has one leader, and every object is destroyed");
}

void moved_handles() {
  group<int> first;
  group<int> second = std::move(first);
  CHECK_EQUAL(*second.run("key", [] { return 1; }), 1);
  CHECK(first.handle() == nullptr && first.in_flight() == 0);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.run([] { return 1; })).status(),
              DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(CHECK_THROWS(docache::error, first.forget()).status(), DOCACHE_INVALID_ARGUMENT);
  first = group<int>(1);
  second = std::move(first);
  group<int>& self = second;
  second = std::move(self);
  CHECK_EQUAL(*second.run([] { return 2; }), 2);
  const auto refused = CHECK_THROWS(docache::error, group<int>(65537));
  CHECK(refused.status() == DOCACHE_INVALID_ARGUMENT &&
        refused.message().find("shards") != std::string_view::npos);
  check::passed("a handle moves; a moved-from handle throws; bad options are refused by name");
}

}  // namespace

int main() {
  alone();
  bytes_and_wide_types();
  names_of_others();
  joined();
  exceptions();
  failures_of_others();
  from_inside();
  crowd();
  moved_handles();
  return check::all_passed("group.cpp");
}
