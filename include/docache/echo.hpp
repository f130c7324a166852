/// The echo caches of docache.hpp: what is fetched is kept in a store. Include docache.hpp.
#ifndef DOCACHE_ECHO_HPP
#define DOCACHE_ECHO_HPP

#include "base.hpp"
#include "cache.hpp"
#include "echo_call.hpp"
#include "group.hpp"
#include "store.hpp"

#include <functional>
#include <optional>

namespace docache {

/// What is told of something that has failed and fails no fetch.
struct echo_warning {
  std::string_view key{};      ///< Valid during the call.
  std::string_view message{};  ///< Valid during the call.
  std::int32_t kind = 0;       ///< A DOCACHE_WARNING of docache.h.
  std::int32_t operation = 0;  ///< A DOCACHE_OPERATION: what a store was asked to do.
};

/// Called on any thread, with no lock held. It may use the cache, and destroy it. What it throws is
/// ignored.
using warning_hook = std::function<void(const echo_warning& warning)>;

/// Counters of an echo cache since it was made.
struct echo_stats {
  std::uint64_t hits = 0;        ///< 0 without record_stats.
  std::uint64_t stale_hits = 0;  ///< 0 without record_stats.
  std::uint64_t coalesced = 0;   ///< Fetches that shared what another call loaded.
  std::uint64_t loads = 0;       ///< Those of refreshes included.
  std::uint64_t load_failures = 0;
  std::uint64_t store_errors = 0;
  std::uint64_t lock_waits = 0;   ///< Fetches that waited for another process.
  std::uint64_t lost_writes = 0;  ///< Values that were not written: their lock was lost.
  std::uint64_t refreshes = 0;
  std::uint64_t refresh_failures = 0;
  std::uint64_t refused = 0;     ///< Refreshes that were dropped.
  std::uint64_t refreshing = 0;  ///< Refreshes that wait or run now.
};

/// How an echo_cache is configured.
struct echo_options {
  lifetime time_to_live = std::chrono::minutes(15);
  /// How long values live that say that there is no such thing: those of no bytes, and `null` in a
  /// store of JSON. By default there are no such values.
  std::optional<lifetime> negative_ttl{};
  /// How long a refresh lock is held if its holder dies.
  lifetime lock_ttl = std::chrono::seconds(10);
  /// How long a fetch waits for another process that loads, before it loads beside it; by default
  /// for lock_ttl and 50 ms.
  std::optional<lifetime> lock_wait{};
  /// How long the calls of one fetch to its store may take together.
  lifetime store_budget = std::chrono::milliseconds(50);
  /// Count hits.
  bool record_stats = false;
  warning_hook on_warning{};
};

/// How a lazy_echo_cache is configured. The three ages count from the load of a value, each at
/// least the one before.
struct lazy_echo_options {
  /// From this age on a value is stale: served at once, and refreshed in the background.
  lifetime refresh_after = std::chrono::minutes(1);
  /// From this age on a fetch waits for the load, and gets the stale value only if that fails; by
  /// default 15 minutes, or refresh_after if that is more.
  std::optional<lifetime> expires{};
  /// From this age on a value is gone; by default from `expires` on.
  std::optional<lifetime> stale_until{};
  std::optional<lifetime> negative_ttl{};  ///< As in echo_options.
  std::optional<lifetime> lock_ttl{};      ///< By default refresh_timeout and 1 s.
  std::optional<lifetime> lock_wait{};     ///< As in echo_options.
  lifetime store_budget = std::chrono::milliseconds(50);
  /// How long a refresh may take.
  lifetime refresh_timeout = std::chrono::seconds(30);
  /// For how long a load that has failed is not tried again while something stale can be served, at
  /// most, at random; it doubles with each failure up to backoff_most. By default not at all.
  std::optional<lifetime> backoff_first{};
  std::optional<lifetime> backoff_most{};
  /// How many refreshes can wait; what finds no room is dropped.
  std::size_t queue_size = 1000;
  /// How many threads refresh at most.
  std::size_t workers = 1;
  /// Refreshes before values are stale, by chance, weighted in thousandths (XFetch); 0 = not.
  std::uint32_t early_refresh_permille = 0;
  bool record_stats = false;
  warning_hook on_warning{};
};

/// What shutdown() of a lazy cache has done.
struct shutdown_report {
  std::size_t drained = 0;  ///< Refreshes that ended meanwhile.
  std::size_t dropped = 0;  ///< Those that had not begun.
  std::size_t running = 0;  ///< Those that still run.
};

namespace detail {

inline std::uint64_t ns_or_default(std::optional<lifetime> length) noexcept {
  return length ? length->nanoseconds() : 0;
}

/// What the callbacks of an echo cache find at their `ctx`.
struct echo_context {
  warning_hook on_warning{};
  std::function<value(std::string_view)> work{};
  notice on_refresh{};

  static void warn(std::uintptr_t context, const docache_echo_warning* raw) noexcept {
    try {
      const auto& hook = reinterpret_cast<echo_context*>(context)->on_warning;
      if (!hook) return;
      echo_warning warning;
      warning.key = text_of(raw->key, raw->key_len);
      warning.message = std::string_view(raw->message, raw->message_len);
      warning.kind = raw->kind;
      warning.operation = raw->operation;
      hook(warning);
    } catch (...) {  // There is nobody to tell: the hook is who would be told.
    }
  }

  static docache_status perform(std::uintptr_t context, const std::uint8_t* key,
                                std::size_t key_len, docache_value** out,
                                docache_error** out_error) noexcept {
    try {
      auto& work = reinterpret_cast<echo_context*>(context)->work;
      const auto load = [&] { return work(text_of(key, key_len)); };
      *out = make_value<value>(load);
      return DOCACHE_OK;
    } catch (...) {
      return report(out_error);
    }
  }
};

/// The handle of both kinds of echo caches, and what they have in common.
class echo_base {
 public:
  echo_base(const echo_base&) = delete;
  echo_base& operator=(const echo_base&) = delete;
  echo_base(echo_base&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  echo_base& operator=(echo_base&& other) noexcept {
    if (this != &other) docache_echo_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }

  /// Frees the cache: refreshes that wait are dropped, those under way are waited for. In a
  /// callback of the cache's own it returns at once, and the cache ends when that has returned.
  ~echo_base() { docache_echo_free(raw_); }

  /// Returns the key's value. If the store does not have it, runs `work()`, or `work(key)` with a
  /// string_view, and puts what that returns into the store: a value, string, string_view or vector
  /// of bytes. If another call or another process is loading it, waits for that.
  ///
  /// What the work throws reaches the caller that ran it unchanged, and callers that waited as
  /// docache::error (DOCACHE_DOER_FAILED) with its message and code. A call inside the run of its
  /// own key throws DOCACHE_REENTRANT. What fails in the store fails no fetch.
  template <class F>
  fetched fetch(bytes_view key, F&& work) const {
    return *load(forever, key, work);
  }

  /// Like fetch(), but waits no longer than `limit` for another's load; returns nothing if that has
  /// not ended by then. A call that leads runs its work to the end.
  template <class F>
  std::optional<fetched> fetch_for(timeout limit, bytes_view key, F&& work) const {
    return load(limit, key, work);
  }

  /// Begins a fetch without blocking, but for what a store of your own takes. Whoever is to do the
  /// work is told by the call.
  echo_call begin(bytes_view key) const {
    auto notice = std::make_unique<detail::notice>();
    error_slot slot;
    docache_value* owned = nullptr;
    docache_echo_call* call = nullptr;
    std::int32_t status = 0;
    std::uint64_t age = 0;
    const auto begun = docache_echo_begin(raw_, key.data(), key.size(), &owned, &status, &age,
                                          &call, slot.out());
    expect(begun, slot, DOCACHE_PENDING, DOCACHE_LEADER);
    if (call != nullptr) return echo_call(call, std::move(notice));
    return echo_call(found(owned, status, age));
  }

  /// Puts a value into the store, as if it had just been loaded. Loads of the key that are under
  /// way do not store their results. Throws docache::error if the store could not do it.
  void put(bytes_view key, const value& data) const {
    const value there = data.handle() != nullptr ? data : value(nullptr, 0);
    error_slot slot;
    expect(docache_echo_put(raw_, key.data(), key.size(), there.handle(), slot.out()), slot);
  }

  /// Removes the key from the store. Loads of it that are under way do not store their results.
  /// Throws docache::error if the store could not do it.
  void remove(bytes_view key) const {
    error_slot slot;
    expect(docache_echo_remove(raw_, key.data(), key.size(), slot.out()), slot);
  }

  echo_stats stats() const {
    error_slot slot;
    docache_echo_counters raw{};
    raw.size = sizeof raw;
    expect(docache_echo_stats(raw_, &raw, slot.out()), slot);
    echo_stats out;
    out.hits = raw.hits;
    out.stale_hits = raw.stale_hits;
    out.coalesced = raw.coalesced;
    out.loads = raw.loads;
    out.load_failures = raw.load_failures;
    out.store_errors = raw.store_errors;
    out.lock_waits = raw.lock_waits;
    out.lost_writes = raw.lost_writes;
    out.refreshes = raw.refreshes;
    out.refresh_failures = raw.refresh_failures;
    out.refused = raw.refused;
    out.refreshing = raw.refreshing;
    return out;
  }

  /// The handle for calls of docache.h, still owned by this cache; the same after a move.
  docache_echo* handle() const noexcept { return raw_; }

 protected:
  explicit echo_base(docache_echo* owned) noexcept : raw_(owned) {}

  /// Calls docache_echo_fetch; `thrown` is what the work has thrown, if it ran.
  std::optional<fetched> call(timeout limit, bytes_view key, docache_perform_key_fn perform,
                              std::uintptr_t context, const std::exception_ptr& thrown) const {
    error_slot slot;
    docache_value* owned = nullptr;
    std::int32_t status = 0;
    std::uint64_t age = 0;
    const auto called = docache_echo_fetch(raw_, key.data(), key.size(), limit.nanoseconds(),
                                           perform, context, &owned, &status, &age, slot.out());
    // What a failed load threw is of no interest if there was something stale.
    if (called != DOCACHE_OK && thrown) std::rethrow_exception(thrown);
    if (expect(called, slot, DOCACHE_TIMEOUT) == DOCACHE_TIMEOUT) return std::nullopt;
    return found(owned, status, age);
  }

  static fetched found(docache_value* owned, std::int32_t status, std::uint64_t age) noexcept {
    fetched out;
    out.value = value::from_handle(owned);
    out.status = static_cast<fetch_status>(status);
    out.age = from_unsigned(age);
    return out;
  }

  docache_echo* raw_;

 private:
  template <class F>
  std::optional<fetched> load(timeout limit, bytes_view key, F& work) const {
    using job = detail::job<value, F>;
    static_assert(is_work<F>(),
                  "echo: the work is called without arguments or with the key, a string_view");
    static_assert(returns_a<value, F>(),
                  "echo: the work returns bytes: a value, string, string_view, const char* or "
                  "vector of bytes");
    job mine{work};
    return call(limit, key, &job::perform, reinterpret_cast<std::uintptr_t>(&mine), mine.thrown);
  }
};

}  // namespace detail

/// Memoizes work over a store, which many processes may share: what the store does not have is
/// loaded once, however many threads and processes ask. Keys are UTF-8. Every const function may be
/// called from any thread at any time, also inside the work.
class echo_cache : public detail::echo_base {
 public:
  /// Throws docache::error or std::bad_alloc.
  explicit echo_cache(const store& where, echo_options options = {})
      : echo_base(make(where, std::move(options))) {}

 private:
  static docache_echo* make(const store& where, echo_options options) {
    detail::check_version();
    docache_echo_options raw{};
    raw.size = sizeof raw;
    raw.time_to_live_ns = options.time_to_live.nanoseconds();
    raw.negative_ttl_ns = detail::ns_or_default(options.negative_ttl);
    raw.lock_ttl_ns = options.lock_ttl.nanoseconds();
    raw.lock_wait_ns = detail::ns_or_default(options.lock_wait);
    raw.store_budget_ns = options.store_budget.nanoseconds();
    raw.on_warning = options.on_warning ? &detail::echo_context::warn : nullptr;
    raw.flags = options.record_stats ? DOCACHE_ECHO_RECORD_STATS : 0;
    auto mine = std::make_unique<detail::echo_context>();
    mine->on_warning = std::move(options.on_warning);
    const auto context = reinterpret_cast<std::uintptr_t>(mine.release());
    detail::error_slot slot;
    docache_echo* out = nullptr;
    detail::expect(docache_echo_new(where.handle(), &raw, context,
                                    &detail::drop<detail::echo_context>, &out, slot.out()),
                   slot);
    return out;
  }
};

namespace detail {

/// What both kinds of lazy echo caches have in common.
class lazy_base : public echo_base {
 public:
  lazy_base(const lazy_base&) = delete;
  lazy_base& operator=(const lazy_base&) = delete;
  lazy_base(lazy_base&& other) noexcept
      : echo_base(std::move(other)), context_(std::exchange(other.context_, nullptr)) {}
  lazy_base& operator=(lazy_base&& other) noexcept {
    echo_base::operator=(std::move(other));
    context_ = std::exchange(other.context_, nullptr);
    return *this;
  }
  ~lazy_base() = default;

  /// Takes no refreshes any more, and gives those that wait or run until `limit` to end. What has
  /// not begun by then is dropped. Fetches still work afterwards.
  shutdown_report shutdown(timeout limit) const {
    shutdown_report out;
    error_slot slot;
    expect(docache_echo_shutdown(raw_, limit.nanoseconds(), &out.drained, &out.dropped,
                                 &out.running, slot.out()),
           slot, DOCACHE_TIMEOUT);
    return out;
  }

 protected:
  /// Takes `mine`, and makes a cache that performs its work, or else has none.
  lazy_base(const store& where, std::unique_ptr<echo_context> mine, lazy_echo_options options)
      : echo_base(nullptr), context_(mine.get()) {
    check_version();
    docache_echo_lazy_options raw{};
    raw.size = sizeof raw;
    raw.refresh_after_ns = options.refresh_after.nanoseconds();
    raw.expires_ns = ns_or_default(options.expires);
    raw.stale_until_ns = ns_or_default(options.stale_until);
    raw.negative_ttl_ns = ns_or_default(options.negative_ttl);
    raw.lock_ttl_ns = ns_or_default(options.lock_ttl);
    raw.lock_wait_ns = ns_or_default(options.lock_wait);
    raw.store_budget_ns = options.store_budget.nanoseconds();
    raw.refresh_timeout_ns = options.refresh_timeout.nanoseconds();
    raw.backoff_first_ns = ns_or_default(options.backoff_first);
    raw.backoff_most_ns = ns_or_default(options.backoff_most);
    raw.queue_size = options.queue_size;
    raw.workers = options.workers;
    raw.on_warning = options.on_warning ? &echo_context::warn : nullptr;
    raw.early_refresh_permille = options.early_refresh_permille;
    raw.flags = options.record_stats ? DOCACHE_ECHO_RECORD_STATS : 0;
    mine->on_warning = std::move(options.on_warning);
    const docache_perform_key_fn perform = mine->work ? &echo_context::perform : nullptr;
    const auto context = reinterpret_cast<std::uintptr_t>(mine.release());
    error_slot slot;
    expect(docache_echo_lazy_new(where.handle(), &raw, perform, context, &drop<echo_context>, &raw_,
                                 slot.out()),
           slot);
  }

  /// Begins the refresh that has been due for the longest time.
  std::optional<echo_call> begin_due() const {
    auto notice = std::make_unique<detail::notice>();
    error_slot slot;
    docache_echo_call* call = nullptr;
    const auto begun = docache_echo_refresh_begin(raw_, &call, slot.out());
    expect(begun, slot, DOCACHE_PENDING, DOCACHE_LEADER, DOCACHE_MISS);
    if (call == nullptr) return std::nullopt;
    return echo_call(call, std::move(notice));
  }

  /// The library's; it is there as long as the cache.
  echo_context* context_;
};

}  // namespace detail

/// An echo cache whose callers do not wait for what can be served stale: that is returned at once,
/// and refreshed in the background by the cache's own work, on threads of the library.
class lazy_echo_cache : public detail::lazy_base {
 public:
  /// `work(key)` returns what value is made of; it is called on any thread, several at once, and
  /// what it throws is recorded as a failure. Throws docache::error or std::bad_alloc.
  lazy_echo_cache(const store& where, std::function<value(std::string_view key)> work,
                  lazy_echo_options options = {})
      : lazy_base(where, context(std::move(work)), std::move(options)) {}

  using echo_base::fetch;
  using echo_base::fetch_for;

  /// fetch() with the cache's own work. What that throws is a docache::error here.
  fetched fetch(bytes_view key) const { return *call(forever, key, nullptr, 0, nullptr); }

  /// fetch_for() with the cache's own work.
  std::optional<fetched> fetch_for(timeout limit, bytes_view key) const {
    return call(limit, key, nullptr, 0, nullptr);
  }

 private:
  static std::unique_ptr<detail::echo_context> context(
      std::function<value(std::string_view)> work) {
    if (!work) detail::refuse("work", "an empty function", "give one that can be called");
    auto out = std::make_unique<detail::echo_context>();
    out->work = std::move(work);
    return out;
  }
};

/// A lazy echo cache whose refreshes the program performs itself, on threads or tasks of its own:
/// when it is notified that one is due, it begins it, and ends it within refresh_timeout.
/// lazy_echo_options::workers has no meaning here.
class hosted_echo_cache : public detail::lazy_base {
 public:
  /// Throws docache::error or std::bad_alloc.
  explicit hosted_echo_cache(const store& where, lazy_echo_options options = {})
      : lazy_base(where, std::make_unique<detail::echo_context>(), std::move(options)) {}

  /// Has `notify()` called once when a refresh is due, on the thread of the fetch that finds its
  /// value stale. Returns false if one is due already: then it is not called. One notification at a
  /// time; inside of it another may be given.
  bool on_refresh(notification notify) const {
    check_there();
    return context_->on_refresh.give(
        std::move(notify), [this](docache_notify_fn function, std::uintptr_t token) {
          detail::error_slot slot;
          const auto armed = docache_echo_on_refresh(raw_, function, token, slot.out());
          return detail::expect(armed, slot, DOCACHE_PENDING) == DOCACHE_PENDING;
        });
  }

  /// Takes the notification back. Returns false if there is none: it was called, or is being called
  /// now.
  bool cancel_on_refresh() const {
    check_there();
    detail::error_slot slot;
    const auto status = docache_echo_on_refresh_cancel(raw_, slot.out());
    if (detail::expect(status, slot, DOCACHE_PENDING) == DOCACHE_PENDING) return false;
    context_->on_refresh.take();
    return true;
  }

  /// Begins the refresh that has been due for the longest time; nothing if none is due. If the call
  /// leads, do the work for its key(), and finish it. One that is destroyed instead gives the
  /// refresh up. A failure counts for the backoff, and on_warning is told.
  std::optional<echo_call> begin_refresh() const { return begin_due(); }

 private:
  /// The context goes with the cache.
  void check_there() const {
    if (context_ != nullptr) return;
    detail::refuse("cache", "one that was moved from", "give one that is there");
  }
};

}  // namespace docache

#endif  // DOCACHE_ECHO_HPP
