// What the programs in this folder share: checks that print where and what, and gates to wait at
// instead of sleeping.
#ifndef DOCACHE_TEST_CHECK_HPP
#define DOCACHE_TEST_CHECK_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string_view>

namespace check {

using namespace std::chrono_literals;

/// Long enough for any machine that is alive; only ever reached by a test that has failed.
inline constexpr auto patience = 60s;

inline std::atomic<unsigned> count{0};

[[noreturn]] inline void failed(const char* what, const char* file, int line) {
  std::cerr << "not true: " << what << "\nFAILED at " << file << ':' << line << std::endl;
  std::abort();
}

inline void that(bool holds, const char* what, const char* file, int line) {
  ++count;
  if (!holds) failed(what, file, line);
}

template <class A, class B>
void equal(const A& a, const B& b, const char* what, const char* file, int line) {
  ++count;
  if (a == b) return;
  std::cerr << a << " and " << b << '\n';
  failed(what, file, line);
}

/// Runs `f`, which must throw an E, and gives that back.
template <class E, class F>
E thrown(F&& f, const char* what, const char* file, int line) {
  ++count;
  try {
    f();
  } catch (const E& expected) {
    return expected;
  }
  failed(what, file, line);
}

/// Says that a part of the program is through.
inline void passed(std::string_view what) { std::cout << "  ok  " << what << std::endl; }

inline int all_passed(std::string_view program) {
  std::cout << program << ": " << count << " checks passed" << std::endl;
  return 0;
}

/// A counting semaphore: pass() blocks until there is a permit, and fails the test if none ever
/// comes.
class gate {
 public:
  void open(unsigned permits = 1) {
    const std::lock_guard<std::mutex> lock(mutex_);
    permits_ += permits;
    changed_.notify_all();
  }

  void pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto deadline = std::chrono::system_clock::now() + patience;
    that(changed_.wait_until(lock, deadline, [&] { return permits_ > 0; }), "a permit comes",
         __FILE__, __LINE__);
    --permits_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned permits_ = 0;
};

}  // namespace check

#define CHECK(condition) check::that(static_cast<bool>(condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(a, b) check::equal(a, b, #a " == " #b, __FILE__, __LINE__)
#define CHECK_THROWS(type, ...) \
  check::thrown<type>([&] { __VA_ARGS__; }, #__VA_ARGS__ " throws " #type, __FILE__, __LINE__)

#endif  // DOCACHE_TEST_CHECK_HPP
