/// The scheduler of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_SCHEDULER_HPP
#define DOCACHE_SCHEDULER_HPP

#include "base.hpp"

namespace docache {

/// How a scheduler is to be.
struct scheduler_options {
  /// UTF-8; names the threads; "docache-sched" if empty.
  std::string name{};
  /// How many threads there are at most while none of them is stuck; 0: 2.
  std::size_t workers = 0;
  /// How many there may be when others are stuck. A callable that stops or destroys a loop_cache on
  /// the same scheduler needs another one to be there. 0: 64, or `workers` if that is more.
  std::size_t max_workers = 0;
  /// For how long all workers may be in callables while something is due, before they count as
  /// stuck and there is one more; zero: 20 ms.
  docache::duration grace{};
};

/// What a scheduler has now, and counters since it was made.
struct scheduler_stats {
  /// Worker threads.
  std::uint64_t workers = 0;
  /// Those that are in a callable.
  std::uint64_t busy = 0;
  /// Loop caches and calls that are scheduled, including those that are called now.
  std::uint64_t scheduled = 0;
  /// Calls that have ended, those of loop caches included.
  std::uint64_t calls = 0;
  /// The greatest time by which a call began after it was due.
  std::chrono::nanoseconds max_lateness{};
  /// How often something was due, and all workers had been in callables that did not return for
  /// longer than the grace.
  std::uint64_t stuck = 0;
  /// Workers started because of that, beyond the usual number.
  std::uint64_t grown = 0;
};

/// A call that a scheduler is to make. Destroying this leaves it scheduled; it keeps nothing going,
/// and may outlive its scheduler.
class scheduled {
 public:
  /// No call.
  scheduled() noexcept = default;
  scheduled(const scheduled&) = delete;
  scheduled& operator=(const scheduled&) = delete;
  scheduled(scheduled&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  scheduled& operator=(scheduled&& other) noexcept {
    docache_scheduled_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }
  ~scheduled() { docache_scheduled_free(raw_); }

  /// Takes the call back; whether that was in time. If so it will never be made, and the callable
  /// has been destroyed on this thread; else it has been made, or is under way, or went with its
  /// scheduler.
  bool cancel() noexcept { return docache_scheduled_cancel(raw_, nullptr) == DOCACHE_OK; }

  /// Whether the call is still to be made.
  bool is_waiting() const noexcept { return docache_scheduled_is_waiting(raw_); }

 private:
  friend class scheduler;
  explicit scheduled(docache_scheduled* owned) noexcept : raw_(owned) {}

  docache_scheduled* raw_ = nullptr;
};

namespace detail {

/// A callable on the heap, and the functions through which the library calls and destroys it.
template <class F>
struct delayed {
  F call;

  static void make(std::uintptr_t context) noexcept {
    try {
      std::invoke(reinterpret_cast<delayed*>(context)->call);
    } catch (...) {  // there is nobody to tell
    }
  }
};

}  // namespace detail

/// Makes calls when they are due, and runs loop caches (loop_options::scheduler), on a few threads
/// that they share. It has none before something is scheduled.
///
/// Everything but move, assignment and the destructor may be called from any thread, also inside
/// callables.
class scheduler {
 public:
  explicit scheduler(const scheduler_options& options = {}) : raw_(make(options)) {}

  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;
  scheduler(scheduler&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  scheduler& operator=(scheduler&& other) noexcept {
    docache_scheduler_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }

  /// Blocks until callables of call_after() that are under way have returned, and destroys those
  /// that wait. Inside one of them it does not block, and all that happens when it returns. Loop
  /// caches on the scheduler go on.
  ~scheduler() { docache_scheduler_free(raw_); }

  /// Has `callable()` called once after `delay`, on one of the threads, and then destroyed there.
  /// What it throws is ignored. Throws DOCACHE_CLOSED after a shutdown.
  template <class F>
  scheduled call_after(docache::duration delay, F&& callable) {
    using held = detail::delayed<std::decay_t<F>>;
    static_assert(std::is_invocable_v<std::decay_t<F>&>,
                  "scheduler: the callable is called without arguments");
    const auto delay_ns = detail::to_unsigned("delay", delay);
    std::unique_ptr<held> owner(new held{std::forward<F>(callable)});
    const auto context = reinterpret_cast<std::uintptr_t>(owner.release());
    detail::error_slot slot;
    docache_scheduled* out = nullptr;
    detail::expect(docache_scheduler_call_after(raw_, delay_ns, &held::make, context,
                                                &detail::drop<held>, &out, slot.out()),
                   slot);
    return scheduled(out);
  }

  scheduler_stats stats() const {
    detail::error_slot slot;
    docache_scheduler_counters raw = DOCACHE_SCHEDULER_COUNTERS_INIT;
    detail::expect(docache_scheduler_stats(raw_, &raw, slot.out()), slot);
    scheduler_stats out;
    out.workers = raw.workers;
    out.busy = raw.busy;
    out.scheduled = raw.scheduled;
    out.calls = raw.calls;
    out.max_lateness = detail::from_unsigned(raw.max_lateness_ns);
    out.stuck = raw.stuck;
    out.grown = raw.grown;
    return out;
  }

  /// Ends the scheduler, for loop caches on it as well, and blocks until the callables under way
  /// have returned: after that it calls nothing. Callables that wait are destroyed; loop caches
  /// stop, and cannot be started again. Inside a callable of the scheduler's it does not block.
  void shutdown() { shutdown_for(forever); }

  /// Like shutdown(), but blocks no longer than `limit`. Returns false if a callable has not
  /// returned; nothing else is called.
  bool shutdown_for(timeout limit) {
    detail::error_slot slot;
    return detail::expect(docache_scheduler_shutdown(raw_, limit.nanoseconds(), slot.out()), slot,
                          DOCACHE_TIMEOUT) == DOCACHE_OK;
  }

  /// The handle for calls of docache.h, still owned by this scheduler; the same after a move.
  docache_scheduler* handle() const noexcept { return raw_; }

 private:
  static docache_scheduler* make(const scheduler_options& options) {
    detail::check_version();
    docache_scheduler_options raw = DOCACHE_SCHEDULER_OPTIONS_INIT;
    raw.name = options.name.data();
    raw.name_len = options.name.size();
    raw.grace_ns = detail::to_unsigned("grace", options.grace);
    raw.workers = options.workers;
    raw.max_workers = options.max_workers;
    detail::error_slot slot;
    docache_scheduler* out = nullptr;
    detail::expect(docache_scheduler_new(&raw, &out, slot.out()), slot);
    return out;
  }

  docache_scheduler* raw_;
};

}  // namespace docache

#endif  // DOCACHE_SCHEDULER_HPP
