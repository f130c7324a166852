/// Fetches and refreshes of docache.hpp that need no thread to wait in. Include docache.hpp.
#ifndef DOCACHE_ECHO_CALL_HPP
#define DOCACHE_ECHO_CALL_HPP

#include "base.hpp"
#include "group.hpp"

#include <functional>
#include <mutex>

namespace docache {

/// Where a fetched value comes from.
enum class fetch_status : std::int32_t {
  fresh = DOCACHE_FETCHED_FRESH,          ///< The store had it.
  stale = DOCACHE_FETCHED_STALE,          ///< The store had it, past its time for a refresh.
  loaded = DOCACHE_FETCHED_LOADED,        ///< This call loaded it.
  coalesced = DOCACHE_FETCHED_COALESCED,  ///< Another call or process loaded it meanwhile.
  negative = DOCACHE_FETCHED_NEGATIVE,    ///< The store had it: there is no such thing.
};

/// A value, and where it comes from.
struct fetched {
  docache::value value{};
  fetch_status status = fetch_status::fresh;
  /// How long ago a stale value was loaded, else 0.
  std::chrono::nanoseconds age{};
};

/// Called once when there is something to see, on whatever thread has brought that about. It must
/// not block, and what it throws is ignored.
using notification = std::function<void()>;

namespace detail {

/// Keeps a notification until the library calls it, which gets the address of this.
class notice {
 public:
  /// Has `arm(call, token)` give the notification to the library, and returns whether that took it:
  /// what it calls is kept only then.
  template <class Arm>
  bool give(notification notify, Arm arm) {
    if (!notify) refuse("notify", "an empty function", "give one that can be called");
    {
      const std::lock_guard<std::mutex> guard(mutex_);
      if (notify_) refuse("notify", "a second notification", "cancel the first");
      notify_ = std::move(notify);
    }
    bool is_taken = false;
    try {
      is_taken = arm(&call, reinterpret_cast<std::uintptr_t>(this));
    } catch (...) {
      take();
      throw;
    }
    if (!is_taken) take();
    return is_taken;
  }

  /// Takes it out.
  notification take() noexcept {
    notification taken;
    const std::lock_guard<std::mutex> guard(mutex_);
    taken.swap(notify_);
    return taken;
  }

 private:
  static void call(std::uintptr_t token) noexcept {
    // It may destroy what this lies in.
    const auto notify = reinterpret_cast<notice*>(token)->take();
    try {
      if (notify) notify();
    } catch (...) {  // There is nobody to tell.
    }
  }

  std::mutex mutex_{};
  notification notify_{};
};

class echo_base;
class lazy_base;

}  // namespace detail

/// What a call is at.
enum class call_state {
  pending,  ///< The store has not answered yet, or somebody else does the work.
  leads,    ///< The caller is to do the work, and to finish the call.
  over,     ///< There is an outcome.
};

/// A fetch that was begun, or a refresh that is to be performed, by a program that must not block
/// a thread: do the work when the call leads, and be notified while it is pending. It outlives its
/// cache. One that is destroyed before it is over stops waiting, or hands its lead to another call.
///
/// A thread whose call leads must not wait for that key with fetch(): that would never end. Const
/// functions may be called from any thread at any time, others by one thread at a time.
class echo_call {
 public:
  echo_call(const echo_call&) = delete;
  echo_call& operator=(const echo_call&) = delete;
  echo_call(echo_call&& other) noexcept
      : raw_(std::exchange(other.raw_, nullptr)),
        there_(std::move(other.there_)),
        notice_(std::move(other.notice_)) {}
  echo_call& operator=(echo_call&& other) noexcept {
    if (this != &other) {
      docache_echo_call_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
      there_ = std::move(other.there_);
      notice_ = std::move(other.notice_);
    }
    return *this;
  }

  /// Waits for a notification of its own that is being called on another thread. Allowed inside
  /// the notification.
  ~echo_call() { docache_echo_call_free(raw_); }

  call_state state() const {
    if (raw_ == nullptr) return call_state::over;
    docache_value* owned = nullptr;
    const auto status = docache_echo_call_poll(raw_, &owned, nullptr, nullptr, nullptr);
    docache_value_release(owned);
    if (status == DOCACHE_PENDING) return call_state::pending;
    return status == DOCACHE_LEADER ? call_state::leads : call_state::over;
  }

  /// The value of a call that is over; for a refresh, which has none, an empty one. Throws
  /// docache::error with why there is none, or DOCACHE_INVALID_ARGUMENT if the call is not over.
  fetched get() const {
    if (raw_ == nullptr) return there_;
    detail::error_slot slot;
    docache_value* owned = nullptr;
    std::int32_t status = 0;
    std::uint64_t age = 0;
    const auto polled = docache_echo_call_poll(raw_, &owned, &status, &age, slot.out());
    if (polled == DOCACHE_PENDING || polled == DOCACHE_LEADER) {
      detail::refuse("call", "one that is not over", "look at state() first");
    }
    detail::expect(polled, slot);
    fetched out;
    out.value = value::from_handle(owned);
    out.status = static_cast<fetch_status>(status);
    out.age = detail::from_unsigned(age);
    return out;
  }

  /// The key, valid as long as the call; empty if the value was there at once.
  std::string_view key() const noexcept {
    std::size_t length = 0;
    const auto* data = docache_echo_call_key(raw_, &length);
    return detail::text_of(data, length);
  }

  /// Has `notify()` called once when the call leads or is over. Returns false if it does already:
  /// then it is not called. One notification at a time.
  bool on_ready(notification notify) {
    if (raw_ == nullptr) return false;
    return notice_->give(std::move(notify), [this](docache_notify_fn call, std::uintptr_t token) {
      detail::error_slot slot;
      const auto armed = docache_echo_call_on_ready(raw_, call, token, slot.out());
      return detail::expect(armed, slot, DOCACHE_PENDING) == DOCACHE_PENDING;
    });
  }

  /// Takes the notification back. Returns false if it was called, or is being called now.
  bool cancel() noexcept {
    if (raw_ == nullptr) return true;
    if (docache_echo_call_cancel(raw_) != DOCACHE_OK) return false;
    notice_->take();
    return true;
  }

  /// Ends the work of a call that leads. Returns whether the call is over; if not, the value is on
  /// its way into the store, also if the call is destroyed now. Throws docache::error
  /// (DOCACHE_CLOSED) if the time for a refresh was over, and DOCACHE_INVALID_ARGUMENT if the call
  /// does not lead, or the value is none for its store.
  bool finish(const value& data) {
    const value there = data.handle() != nullptr ? data : value(nullptr, 0);
    return end(DOCACHE_OK, there.handle(), nullptr);
  }

  /// Ends the work of a call that leads with a failure, which all who wait for it get.
  bool fail(const docache::error& failure) {
    detail::error_slot slot;
    detail::fail(failure.message(), failure.code(), slot.out());
    return end(DOCACHE_DOER_FAILED, nullptr, slot);
  }

  /// Does the work of a call that leads, `work()` or `work(key)`, and ends it with what that
  /// returns or throws.
  template <class F>
  bool perform(F&& work) {
    using job = detail::job<value, F>;
    static_assert(detail::is_work<F>(),
                  "echo_call: the work is called without arguments or with the key, a string_view");
    static_assert(detail::returns_a<value, F>(),
                  "echo_call: the work returns bytes: a value, string, string_view, const char* or "
                  "vector of bytes");
    job mine{work};
    std::size_t length = 0;
    const auto* data = docache_echo_call_key(raw_, &length);
    detail::error_slot slot;
    docache_value* made = nullptr;
    const auto context = reinterpret_cast<std::uintptr_t>(&mine);
    const auto status = job::perform(context, data, length, &made, slot.out());
    const value owner = value::from_handle(made);
    return end(status, owner.handle(), slot);
  }

  /// The handle for calls of docache.h, still owned by this call; null if the value was there at
  /// once.
  docache_echo_call* handle() const noexcept { return raw_; }

 private:
  friend class detail::echo_base;
  friend class detail::lazy_base;

  explicit echo_call(fetched there) noexcept : there_(std::move(there)) {}
  echo_call(docache_echo_call* owned, std::unique_ptr<detail::notice> notice) noexcept
      : raw_(owned), notice_(std::move(notice)) {}

  bool end(docache_status status, docache_value* data, const detail::error_slot& failure) {
    return end(status, data, const_cast<docache_error*>(failure.get()));
  }

  bool end(docache_status status, docache_value* data, docache_error* failure) {
    detail::error_slot slot;
    const auto ended = docache_echo_call_finish(raw_, status, data, failure, slot.out());
    return detail::expect(ended, slot, DOCACHE_PENDING) == DOCACHE_OK;
  }

  docache_echo_call* raw_ = nullptr;
  fetched there_{};
  std::unique_ptr<detail::notice> notice_{};
};

}  // namespace docache

#endif  // DOCACHE_ECHO_CALL_HPP
