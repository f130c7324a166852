/// Retries of docache.hpp, and what actors share with them: stop tokens and backoffs. Include
/// docache.hpp.
#ifndef DOCACHE_RETRY_HPP
#define DOCACHE_RETRY_HPP

#include "base.hpp"

#include <optional>

namespace docache {

/// Tells an actor that it is to stop. Valid during the call that it is given to, on any thread.
class stop_token {
 public:
  explicit stop_token(const docache_stop_token* raw) noexcept : raw_(raw) {}
  stop_token(const stop_token&) = delete;
  stop_token& operator=(const stop_token&) = delete;
  ~stop_token() = default;

  /// Whether the actor is to stop.
  bool stop_requested() const noexcept { return docache_stop_token_is_set(raw_); }

  /// Blocks until the actor is to stop, but no longer than `limit`; returns whether it is.
  bool wait(timeout limit = forever) const {
    detail::error_slot slot;
    const auto status = docache_stop_token_wait(raw_, limit.nanoseconds(), slot.out());
    return detail::expect(status, slot, DOCACHE_TIMEOUT) == DOCACHE_OK;
  }

  /// The handle for calls of docache.h.
  const docache_stop_token* handle() const noexcept { return raw_; }

 private:
  const docache_stop_token* raw_;
};

/// How the delays between tries grow. A value; the functions return changed copies.
class backoff {
 public:
  /// Always the same delay.
  static backoff constant(docache::duration delay) {
    return backoff(delay, DOCACHE_BACKOFF_CONSTANT);
  }

  /// Delays with full jitter: each is drawn at random from zero up to a longest one, which is
  /// `first` after the first failure and doubles with every other in a row.
  static backoff exponential(docache::duration first) {
    return backoff(first, DOCACHE_BACKOFF_DOUBLING);
  }

  /// The same with no delay longer than `most`.
  backoff capped(docache::duration most) const {
    backoff out = *this;
    out.raw_.most_ns = detail::to_positive("most", most);
    return out;
  }

  /// The same with jitter or without.
  backoff jitter(bool jitter) const noexcept {
    backoff out = *this;
    out.raw_.jitter = jitter ? DOCACHE_JITTER_FULL : DOCACHE_JITTER_NONE;
    return out;
  }

  /// It for calls of docache.h.
  const docache_backoff& raw() const noexcept { return raw_; }

 private:
  backoff(docache::duration first, std::uint32_t growth) {
    raw_.first_ns = detail::to_positive("first", first);
    raw_.growth = growth;
  }

  docache_backoff raw_ = DOCACHE_BACKOFF_INIT;
};

/// Waits between attempts, limits of them, and what ends them.
struct retry_options {
  /// How long to wait between attempts; nothing: not at all.
  std::optional<docache::backoff> backoff{};
  /// How much time there is from the beginning of the first attempt; docache::forever: any. No
  /// other attempt begins when it is spent, and none is waited for that would.
  timeout budget = forever;
  /// How many attempts there may be; 0: any number.
  std::uint64_t max_attempts = 0;
  /// Ends waiting at once, and all further attempts, when it is set.
  const stop_token* stop = nullptr;
};

/// An attempt's handle on the attempts to come. Valid during the attempt, on its thread.
class retrier {
 public:
  explicit retrier(docache_retrier* raw) noexcept : raw_(raw) {}
  retrier(const retrier&) = delete;
  retrier& operator=(const retrier&) = delete;
  ~retrier() = default;

  /// The number of this attempt; the first is 1.
  std::uint64_t iteration() const noexcept { return docache_retrier_iteration(raw_); }

  /// What is left of the budget now; nothing: there is no limit.
  std::optional<std::chrono::nanoseconds> remaining() const noexcept {
    const std::int64_t left = docache_retrier_remaining_ns(raw_);
    if (left < 0) return std::nullopt;
    return std::chrono::nanoseconds(left);
  }

  /// The next attempt does not begin sooner than after `delay`, such as what a server asks for with
  /// Retry-After. It holds for one wait, in which a longer backoff still counts.
  void set_delay(docache::duration delay) {
    docache_retrier_set_delay(raw_, detail::to_unsigned("delay", delay), nullptr);
  }

  /// There is to be no other attempt: what this one throws is the last. Throw after it what would
  /// be thrown again.
  void stop() noexcept { docache_retrier_stop(raw_, nullptr); }

  /// The backoff of this wait and the following ones.
  void set_backoff(const docache::backoff& backoff) noexcept {
    docache_retrier_set_backoff(raw_, &backoff.raw(), nullptr);
  }

  /// How much time there is from the beginning of the first attempt.
  void set_budget(timeout budget) noexcept {
    docache_retrier_set_budget(raw_, detail::to_limit(budget), nullptr);
  }

  /// How many attempts there may be; 0: any number.
  void set_max_attempts(std::uint64_t attempts) noexcept {
    docache_retrier_set_max_attempts(raw_, attempts, nullptr);
  }

 private:
  docache_retrier* raw_;
};

namespace detail {

/// What an attempt is called with.
template <class F>
decltype(auto) invoke_attempt(F& attempt, [[maybe_unused]] retrier& handle) {
  if constexpr (std::is_invocable_v<F&, retrier&>) {
    return std::invoke(attempt, handle);
  } else {
    return std::invoke(attempt);
  }
}

/// A retry in the frame of its caller.
template <class F>
struct attempts {
  using result = decltype(invoke_attempt(std::declval<F&>(), std::declval<retrier&>()));
  static_assert(!std::is_reference_v<result>, "an attempt returns a value, or nothing");
  using kept = std::conditional_t<std::is_void_v<result>, bool, result>;

  F& attempt;
  std::optional<kept> value{};
  std::exception_ptr thrown{};

  explicit attempts(F& given) noexcept : attempt(given) {}

  static docache_status call(std::uintptr_t context, docache_retrier* raw,
                             docache_error** /*out_error*/) noexcept {
    auto& frame = *reinterpret_cast<attempts*>(context);
    try {
      retrier handle(raw);
      frame.thrown = nullptr;
      if constexpr (std::is_void_v<result>) {
        invoke_attempt(frame.attempt, handle);
        frame.value.emplace(true);
      } else {
        frame.value.emplace(invoke_attempt(frame.attempt, handle));
      }
      return DOCACHE_OK;
    } catch (...) {
      frame.thrown = std::current_exception();
      return DOCACHE_DOER_FAILED;
    }
  }
};

}  // namespace detail

/// Calls `attempt` on this thread until it does not throw, and returns what it returned. It is
/// called with a `docache::retrier&`, or without arguments.
///
/// Throws what the last attempt threw, unchanged, when there is to be no other; DOCACHE_CANCELLED
/// if `options.stop` was set before the first.
template <class F>
auto retry(const retry_options& options, F&& attempt) {
  using frame = detail::attempts<std::remove_reference_t<F>>;
  detail::check_version();
  frame call(attempt);
  docache_run_retry_options raw = DOCACHE_RUN_RETRY_OPTIONS_INIT;
  raw.backoff = options.backoff ? &options.backoff->raw() : nullptr;
  raw.stop = options.stop != nullptr ? options.stop->handle() : nullptr;
  raw.budget_ns = detail::to_limit(options.budget);
  raw.max_attempts = options.max_attempts;
  detail::error_slot slot;
  const auto status = docache_run_retry(&raw, &frame::call, reinterpret_cast<std::uintptr_t>(&call),
                                        nullptr, slot.out());
  if (status != DOCACHE_OK && call.thrown) std::rethrow_exception(call.thrown);
  detail::expect(status, slot);
  if constexpr (!std::is_void_v<typename frame::result>) return std::move(*call.value);
}

/// The same at once and without end, unless the attempt says otherwise through its retrier.
template <class F>
auto retry(F&& attempt) {
  return retry(retry_options{}, std::forward<F>(attempt));
}

}  // namespace docache

#endif  // DOCACHE_RETRY_HPP
