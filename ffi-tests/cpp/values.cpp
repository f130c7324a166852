// The parts of docache.hpp that need no loop: value, duration, timeout, logger, error.
#include "docache.hpp"

#include "check.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <thread>

#if __cplusplus >= 202002L
#include <span>
#endif

using namespace std::chrono_literals;
using docache::value;

namespace {

void copies() {
  const std::string text = "seven bytes and more than any small string holds";
  const std::vector<std::uint8_t> bytes = {1, 2, 3};
  const std::array<char, 2> pair = {'o', 'k'};
  CHECK_EQUAL(value(text).view(), text);
  CHECK_EQUAL(value(std::string_view(text).substr(0, 5)).view(), "seven");
  CHECK_EQUAL(value("literal").view(), "literal");
  CHECK_EQUAL(value("literal").str(), std::string("literal"));
  CHECK_EQUAL(value().str(), std::string());
  CHECK_EQUAL(value(pair).view(), "ok");
  CHECK_EQUAL(value(text.data(), 5).view(), "seven");
  CHECK(value(bytes) == value(std::vector<std::uint8_t>{1, 2, 3}));
  CHECK(value(bytes) != value(std::vector<std::uint8_t>{1, 2, 4}));
#if __cplusplus >= 202002L
  CHECK(value(std::span<const std::uint8_t>(bytes)) == value(bytes));
  CHECK(value(std::as_bytes(std::span(bytes))) == value(bytes));
#endif
  int sum = 0;
  for (const std::uint8_t byte : value(bytes)) sum += byte;
  CHECK_EQUAL(sum, 6);
  check::passed("a value copies string, string_view, literal, vector, array and span");
}

void moves() {
  std::string text(100, 'x');
  const char* before = text.data();
  const value from_string(std::move(text));
  CHECK(from_string.view().data() == before);
  CHECK_EQUAL(from_string.size(), 100u);

  std::vector<std::uint8_t> bytes(100, 7);
  const std::uint8_t* data = bytes.data();
  const value from_bytes(std::move(bytes));
  CHECK(from_bytes.data() == data);
  CHECK_EQUAL(value(std::vector<std::byte>(3)).size(), 3u);
  CHECK_EQUAL(value(std::string("small")).view(), "small");
  check::passed("a value takes over a moved string or vector without copying");
}

void sharing() {
  value first("shared");
  const value second = first;
  CHECK(first.data() == second.data());
  value third = std::move(first);
  CHECK(first.handle() == nullptr && first.empty() && first.view().empty());
  CHECK(third.data() == second.data());
  value& self = third;
  third = self;
  CHECK_EQUAL(third.view(), "shared");
  third = value("other");
  CHECK_EQUAL(second.view(), "shared");
  const value back = value::from_handle(third.release());
  CHECK(third.handle() == nullptr);
  CHECK_EQUAL(back.view(), "other");
  const value nothing;
  CHECK(nothing == value(nullptr, 0) && nothing == value(""));
  CHECK(nothing.begin() == nothing.end());
  check::passed("copies share, moves empty, default is empty");
}

void refusals() {
  const auto refused = CHECK_THROWS(docache::error, value(nullptr, 3));
  CHECK_EQUAL(refused.status(), DOCACHE_INVALID_ARGUMENT);
  CHECK(refused.message().find("data") != std::string_view::npos);
  CHECK_EQUAL(refused.message(), std::string_view(refused.what()));
  const docache::error own("disk is full", 28);
  CHECK_EQUAL(own.status(), DOCACHE_DOER_FAILED);
  CHECK_EQUAL(own.code(), 28);
  static_assert(std::is_nothrow_copy_constructible_v<docache::error>);
  check::passed("a refused value throws an error that names the argument");
}

void durations() {
  using docache::duration;
  using docache::timeout;
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  CHECK_EQUAL(duration(1500us).nanoseconds(), 1500000);
  CHECK_EQUAL(duration(std::chrono::duration<double>(0.25)).nanoseconds(), 250000000);
  CHECK_EQUAL(duration(std::chrono::hours::max()).nanoseconds(), most);
  CHECK_EQUAL(duration(std::chrono::hours::min()).nanoseconds(), least);
  CHECK_EQUAL(duration(std::chrono::nanoseconds::max()).nanoseconds(), most);
  // The product alone, 2e19, would be too much.
  using thirds = std::chrono::duration<std::int64_t, std::ratio<1, 3>>;
  const std::int64_t long_ago = duration(thirds(-20'000'000'000)).nanoseconds();
  CHECK(long_ago > -6'666'666'667'000'000'000 && long_ago < -6'666'666'666'000'000'000);
  CHECK_EQUAL(duration(thirds(3)).nanoseconds(), 1'000'000'000);
  CHECK_EQUAL(duration(thirds::max()).nanoseconds(), most);
  CHECK_EQUAL(duration(std::chrono::duration<double>(std::nan(""))).nanoseconds(), 0);
  CHECK_EQUAL(duration(std::chrono::duration<double>(HUGE_VAL)).nanoseconds(), most);
  static_assert(timeout(1ms).nanoseconds() == 1000000);
  static_assert(timeout(0s).nanoseconds() == 0);
  static_assert(timeout(-5s).nanoseconds() == 0);
  static_assert(docache::forever.nanoseconds() == DOCACHE_FOREVER);
  check::passed("durations saturate, a past deadline only looks, forever is explicit");
}

void loggers() {
  auto alive = std::make_shared<int>(1);
  docache::logger log(docache::level::info,
                      [alive](docache::level, std::string_view, std::string_view) {});
  CHECK_EQUAL(alive.use_count(), 2);
  docache::logger copy = log;
  CHECK(copy.handle() == log.handle());
  log = docache::logger();
  CHECK(log.handle() == nullptr);
  CHECK_EQUAL(alive.use_count(), 2);
  docache::logger moved = std::move(copy);
  copy = moved;
  copy = docache::logger();
  CHECK_EQUAL(alive.use_count(), 2);
  { const docache::logger last = std::move(moved); }
  CHECK_EQUAL(alive.use_count(), 1);
  const auto bad = static_cast<docache::level>(99);
  const auto refused = CHECK_THROWS(docache::error, docache::logger(bad, [alive](auto...) {}));
  CHECK_EQUAL(refused.status(), DOCACHE_INVALID_ARGUMENT);
  CHECK_EQUAL(alive.use_count(), 1);
  check::passed("a logger is shared, dropped once, and dropped when refused");
}

void shared_by_threads() {
  const value shared(std::string(1000, 'y'));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&shared] {
      for (int n = 0; n < 1000; ++n) {
        const value mine = shared;
        CHECK_EQUAL(mine.size(), 1000u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  check::passed("four threads copy one value");
}

}  // namespace

int main() {
  copies();
  moves();
  sharing();
  refusals();
  durations();
  loggers();
  shared_by_threads();
  return check::all_passed("values.cpp");
}
