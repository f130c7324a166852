/// The loop cache of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_LOOP_CACHE_HPP
#define DOCACHE_LOOP_CACHE_HPP

#include "base.hpp"
#include "scheduler.hpp"

#include <optional>

namespace docache {

/// What the interval is measured from.
enum class schedule : std::uint32_t {
  /// From the Doer's return to its next call.
  fixed_delay = DOCACHE_FIXED_DELAY,
  /// From call to call; ticks that a slow call missed are skipped and counted.
  fixed_rate = DOCACHE_FIXED_RATE,
};

/// How a loop cache runs. Only the interval is required.
struct loop_options {
  /// The pause between calls; must be positive.
  docache::duration interval{};
  /// How many results, failures included, a snapshot holds; 0 = none: snapshots are empty, latest()
  /// works.
  std::size_t capacity = 0;
  /// The pause before the first call.
  docache::duration first_delay{};
  /// Every pause is lengthened by a random part of this.
  docache::duration jitter{};
  docache::schedule schedule = docache::schedule::fixed_delay;
  /// UTF-8; names the thread and the log target; "docache-loop" if empty.
  std::string name{};
  /// Told of starts, stops and failures; of each success at level::debug.
  docache::logger logger{};
  /// What start() runs the loop on, instead of a thread of its own; the loop cache takes a share,
  /// and may outlive it.
  const docache::scheduler* scheduler = nullptr;
};

/// Counters of a loop cache since it was made.
struct loop_stats {
  /// Calls of the Doer that ended.
  std::uint64_t calls = 0;
  /// Those of them that failed.
  std::uint64_t failures = 0;
  /// Those of them that panicked; a C++ Doer cannot.
  std::uint64_t panics = 0;
  /// Failures since the last success.
  std::uint64_t consecutive_failures = 0;
  /// Calls that schedule::fixed_rate left out because one took too long.
  std::uint64_t skipped_ticks = 0;
  std::chrono::nanoseconds last_duration{};
  /// How long after its due time the last call began.
  std::chrono::nanoseconds last_lateness{};
  std::chrono::nanoseconds max_lateness{};
  bool running = false;
};

/// When a result was made; the part that `reading` and `entry` have in common. Nothing here throws.
class result_info {
 public:
  /// 1 for the loop cache's first result, one more for each; also the version that published it.
  std::uint64_t sequence() const noexcept { return sequence_; }

  /// The wall clock at the start of the Doer's call, for display. For decisions use age(), which
  /// changes of the clock do not affect.
  std::chrono::system_clock::time_point timestamp() const noexcept { return timestamp_; }

  /// How long the Doer took.
  std::chrono::nanoseconds duration() const noexcept { return duration_; }

  /// The time from the start of the Doer's call until now.
  std::chrono::nanoseconds age() const noexcept {
    return std::chrono::steady_clock::now() - started_;
  }

 protected:
  /// `read` is the moment that the age in `raw` counts up to.
  result_info(const docache_entry& raw, std::chrono::steady_clock::time_point read) noexcept
      : sequence_(raw.sequence),
        timestamp_(std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(raw.timestamp_ns))),
        duration_(detail::from_unsigned(raw.duration_ns)),
        started_(read - std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                            detail::from_unsigned(raw.age_ns))) {}

 private:
  std::uint64_t sequence_ = 0;
  std::chrono::system_clock::time_point timestamp_{};
  std::chrono::nanoseconds duration_{};
  std::chrono::steady_clock::time_point started_{};
};

template <class T>
class entry;
template <class T>
class snapshot;
template <class T>
class loop_cache;

/// One successful result, owned like a shared_ptr<const T>: copies share the object, which lives as
/// long as any of them, whatever becomes of the loop cache. Nothing here throws or blocks.
template <class T>
class reading : public result_info {
 public:
  /// Must not be called once this was moved from.
  const T& operator*() const noexcept { return detail::shown<T>(owner_); }
  const T* operator->() const noexcept { return std::addressof(**this); }

  /// Never null, unless this reading was moved from.
  const T* get() const noexcept { return detail::shown_or_null<T>(owner_); }

 private:
  friend class entry<T>;
  friend class loop_cache<T>;
  reading(value owner, const result_info& info) noexcept
      : result_info(info), owner_(std::move(owner)) {}
  reading(value owner, const docache_entry& raw) noexcept
      : result_info(raw, std::chrono::steady_clock::now()), owner_(std::move(owner)) {}

  value owner_;
};

/// One result in a snapshot, a success or a failure. A view: valid while a handle to the snapshot
/// lives; share() returns an owner.
template <class T>
class entry : public result_info {
 public:
  /// What value() returns: `const T&`, or for byte values a handle.
  using reference = std::conditional_t<std::is_same_v<T, docache::value>, docache::value, const T&>;

  /// True if the Doer succeeded.
  bool ok() const noexcept { return status_ == DOCACHE_OK; }
  explicit operator bool() const noexcept { return ok(); }

  /// DOCACHE_OK, DOCACHE_DOER_FAILED or DOCACHE_PANIC.
  docache_status status() const noexcept { return status_; }

  /// The result; throws the Doer's error if it failed.
  reference value() const {
    if (!ok()) throw detail::to_error(status_, error_);
    if constexpr (std::is_same_v<T, docache::value>) {
      return docache::value::from_handle(docache_value_retain(value_));
    } else {
      return detail::object_in<T>(value_);
    }
  }

  /// Why the Doer failed, or nothing if it did not.
  std::optional<docache::error> error() const {
    if (ok()) return std::nullopt;
    return detail::to_error(status_, error_);
  }

  /// The result as an owner that may outlive the snapshot, or nothing if the Doer failed.
  std::optional<reading<T>> share() const noexcept {
    if (!ok()) return std::nullopt;
    return reading<T>(docache::value::from_handle(docache_value_retain(value_)), *this);
  }

 private:
  friend class snapshot<T>;
  entry(const docache_entry& raw, std::chrono::steady_clock::time_point taken) noexcept
      : result_info(raw, taken), value_(raw.value), error_(raw.error), status_(raw.status) {}

  const docache_value* value_;
  const docache_error* error_;
  docache_status status_;
};

/// An immutable view of the last results, oldest first: a random-access range of `entry<T>`. Copies
/// share it, and it may outlive the loop cache. Safe to read from any thread; only access by index
/// or iterator throws, and only std::out_of_range.
template <class T>
class snapshot {
 public:
  class iterator;
  using value_type = entry<T>;
  using const_iterator = iterator;

  snapshot(const snapshot& other) noexcept
      : raw_(docache_snapshot_retain(other.raw_)), taken_(other.taken_) {}
  snapshot(snapshot&& other) noexcept
      : raw_(std::exchange(other.raw_, nullptr)), taken_(other.taken_) {}
  snapshot& operator=(snapshot other) noexcept {
    std::swap(raw_, other.raw_);
    taken_ = other.taken_;
    return *this;
  }
  ~snapshot() { docache_snapshot_release(raw_); }

  std::size_t size() const noexcept { return docache_snapshot_len(raw_); }
  bool empty() const noexcept { return size() == 0; }

  /// The version of the loop cache that this shows; 0 before the first result.
  std::uint64_t version() const noexcept { return docache_snapshot_version(raw_); }

  /// The entry at `index`, 0 being the oldest; throws std::out_of_range.
  entry<T> operator[](std::size_t index) const {
    docache_entry raw{};
    std::size_t count = 0;
    if (docache_snapshot_read(raw_, index, &raw, 1, &count, nullptr) != DOCACHE_OK || count != 1) {
      throw std::out_of_range("docache::snapshot: index " + std::to_string(index) +
                              " given, the size is " + std::to_string(size()));
    }
    return entry<T>(raw, taken_);
  }
  entry<T> front() const { return (*this)[0]; }
  entry<T> back() const { return (*this)[size() - 1]; }

  iterator begin() const noexcept { return iterator(this, 0); }
  iterator end() const noexcept { return iterator(this, static_cast<std::ptrdiff_t>(size())); }
  std::reverse_iterator<iterator> rbegin() const noexcept {
    return std::reverse_iterator<iterator>(end());
  }
  std::reverse_iterator<iterator> rend() const noexcept {
    return std::reverse_iterator<iterator>(begin());
  }

 private:
  friend class loop_cache<T>;
  explicit snapshot(docache_snapshot* owned) noexcept : raw_(owned) {}

  docache_snapshot* raw_;
  // Ages in `raw_` count up to here.
  std::chrono::steady_clock::time_point taken_ = std::chrono::steady_clock::now();
};

/// Walks a snapshot; valid while that snapshot object lives. Dereferencing makes an entry, so there
/// is no `entry&`.
template <class T>
class snapshot<T>::iterator {
  struct arrow {
    entry<T> held;
    const entry<T>* operator->() const noexcept { return &held; }
  };

 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = entry<T>;
  using difference_type = std::ptrdiff_t;
  using reference = entry<T>;
  using pointer = arrow;

  iterator() noexcept = default;
  reference operator*() const { return (*of_)[static_cast<std::size_t>(at_)]; }
  pointer operator->() const { return arrow{**this}; }
  reference operator[](difference_type n) const { return *(*this + n); }

  iterator& operator+=(difference_type n) noexcept { return at_ += n, *this; }
  iterator& operator-=(difference_type n) noexcept { return at_ -= n, *this; }
  iterator& operator++() noexcept { return *this += 1; }
  iterator& operator--() noexcept { return *this -= 1; }
  iterator operator++(int) noexcept { return std::exchange(*this, *this + 1); }
  iterator operator--(int) noexcept { return std::exchange(*this, *this - 1); }
  friend iterator operator+(iterator i, difference_type n) noexcept { return i += n; }
  friend iterator operator+(difference_type n, iterator i) noexcept { return i += n; }
  friend iterator operator-(iterator i, difference_type n) noexcept { return i -= n; }
  friend difference_type operator-(const iterator& a, const iterator& b) noexcept {
    return a.at_ - b.at_;
  }
  friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }
  friend bool operator!=(const iterator& a, const iterator& b) noexcept { return a.at_ != b.at_; }
  friend bool operator<(const iterator& a, const iterator& b) noexcept { return a.at_ < b.at_; }
  friend bool operator>(const iterator& a, const iterator& b) noexcept { return b < a; }
  friend bool operator<=(const iterator& a, const iterator& b) noexcept { return !(b < a); }
  friend bool operator>=(const iterator& a, const iterator& b) noexcept { return !(a < b); }

 private:
  friend class snapshot<T>;
  iterator(const snapshot<T>* of, difference_type at) noexcept : of_(of), at_(at) {}

  const snapshot<T>* of_ = nullptr;
  difference_type at_ = 0;
};

namespace detail {

/// A Doer on the heap, and the two functions through which the library calls and destroys it.
template <class T, class F>
struct doer {
  F call;

  static docache_status perform(std::uintptr_t context, docache_value** out,
                                docache_error** out_error) noexcept {
    try {
      *out = detail::make_value<T>(reinterpret_cast<doer*>(context)->call);
      return DOCACHE_OK;
    } catch (...) {
      return report(out_error);
    }
  }
};

}  // namespace detail

/// Calls a Doer at an interval and keeps its results for any number of readers, which never wait
/// for it.
///
/// T is what the Doer's results are kept as: any object type, or docache::value for bytes that
/// other languages read too; then the Doer may return a string, string_view, vector of bytes or
/// value. With `docache::loop_cache c(options, callable)` T is what the callable returns. The Doer
/// runs on one thread at a time and need not be copyable; a T is read, and destroyed, on any
/// thread. What the Doer throws becomes that call's error, and the loop goes on.
///
/// Every function but move, assignment and the destructor may be called from any thread at any
/// time, also inside the Doer. Inside the Doer stop() and the destructor do not wait for the call
/// that they are part of.
template <class T = value>
class loop_cache {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::decay_t<T>>,
                "loop_cache<T>: T is a plain object type");

 public:
  class reader;
  using value_type = T;

  /// Makes a loop cache; start() or run() starts it. Throws docache::error
  /// (DOCACHE_INVALID_ARGUMENT names the option that is wrong, DOCACHE_VERSION_MISMATCH says that
  /// header and library differ) or std::bad_alloc.
  template <class F>
  loop_cache(const loop_options& options, F doer) : raw_(make(options, std::move(doer))) {}

  /// The same with only an interval: loop_cache(100ms, doer).
  template <class F>
  loop_cache(docache::duration interval, F doer)
      : raw_(make(with_interval(interval), std::move(doer))) {}

  loop_cache(const loop_cache&) = delete;
  loop_cache& operator=(const loop_cache&) = delete;
  loop_cache(loop_cache&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  loop_cache& operator=(loop_cache&& other) noexcept {
    docache_loop_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }

  /// Stops, blocks until the Doer's current call ends, and destroys the Doer. Inside the Doer it
  /// does not block, and the Doer is destroyed when the run ends, that of run() before it returns.
  /// Inside another object's callback it blocks, unless the thread that it waits for is destroying
  /// that object. Readings and snapshots stay valid.
  ~loop_cache() { docache_loop_free(raw_); }

  /// Runs the loop on a thread of its own, or on its scheduler; if it is running already, does
  /// nothing. Does not wait for the first result.
  void start() { call(docache_loop_start); }

  /// Runs the loop on this thread until another one, or the Doer, stops it. Throws DOCACHE_BUSY if
  /// it runs elsewhere.
  void run() { call(docache_loop_run); }

  /// Stops the loop and blocks until the Doer's current call ends. It may be started again.
  void stop() { stop_for(forever); }

  /// Like stop(), but blocks no longer than `limit`. Returns false if the Doer is still in its
  /// call; the loop ends after it.
  bool stop_for(timeout limit) {
    detail::error_slot slot;
    return detail::expect(docache_loop_stop(raw_, limit.nanoseconds(), slot.out()), slot,
                          DOCACHE_TIMEOUT) == DOCACHE_OK;
  }

  bool is_running() const noexcept { return docache_loop_is_running(raw_); }

  /// The last success, or nothing before the first. Never blocks.
  std::optional<reading<T>> latest() const { return read(raw_); }

  /// The last `capacity` results, shared, not copied. Never blocks.
  docache::snapshot<T> snapshot() const {
    detail::error_slot slot;
    docache_snapshot* owned = nullptr;
    detail::expect(docache_loop_snapshot(raw_, &owned, slot.out()), slot);
    return docache::snapshot<T>(owned);
  }

  /// The number of results so far, failures included.
  std::uint64_t version() const noexcept { return docache_loop_version(raw_); }

  /// Blocks until there is a success and returns the latest; nothing on timeout. A loop that is not
  /// running is waited for, since somebody may start it: with docache::forever this may never
  /// return. Throws DOCACHE_REENTRANT inside the Doer.
  std::optional<reading<T>> wait_first(timeout limit) const {
    detail::error_slot slot;
    const auto status = docache_loop_wait_first(raw_, limit.nanoseconds(), slot.out());
    if (detail::expect(status, slot, DOCACHE_TIMEOUT) == DOCACHE_TIMEOUT) return std::nullopt;
    return latest();
  }

  /// Blocks until version() is greater than `since` and returns it; nothing on timeout. A stop does
  /// not end the wait, since the loop may be started again: with docache::forever this may never
  /// return. Throws DOCACHE_REENTRANT inside the Doer.
  std::optional<std::uint64_t> changed(std::uint64_t since, timeout limit) const {
    detail::error_slot slot;
    std::uint64_t version = 0;
    const auto status =
        docache_loop_changed(raw_, since, limit.nanoseconds(), &version, slot.out());
    if (detail::expect(status, slot, DOCACHE_TIMEOUT) == DOCACHE_TIMEOUT) return std::nullopt;
    return version;
  }

  /// Has the Doer called now, and blocks until a call that began after this one has ended; returns
  /// the version then, or nothing on timeout. See latest() and last_error() for whether it
  /// succeeded. Concurrent calls share one run. Throws DOCACHE_CLOSED if the loop is not running or
  /// ends first, DOCACHE_REENTRANT inside the Doer.
  std::optional<std::uint64_t> refresh(timeout limit) const {
    detail::error_slot slot;
    std::uint64_t version = 0;
    const auto status = docache_loop_refresh(raw_, limit.nanoseconds(), &version, slot.out());
    if (detail::expect(status, slot, DOCACHE_TIMEOUT) == DOCACHE_TIMEOUT) return std::nullopt;
    return version;
  }

  loop_stats stats() const {
    detail::error_slot slot;
    docache_loop_counters raw{};
    raw.size = sizeof raw;
    detail::expect(docache_loop_stats(raw_, &raw, slot.out()), slot);
    loop_stats out;
    out.calls = raw.calls;
    out.failures = raw.failures;
    out.panics = raw.panics;
    out.consecutive_failures = raw.consecutive_failures;
    out.skipped_ticks = raw.skipped_ticks;
    out.last_duration = detail::from_unsigned(raw.last_duration_ns);
    out.last_lateness = detail::from_unsigned(raw.last_lateness_ns);
    out.max_lateness = detail::from_unsigned(raw.max_lateness_ns);
    out.running = raw.running != 0;
    return out;
  }

  /// The last failure, however many successes came after it; nothing if the Doer never failed.
  std::optional<docache::error> last_error() const {
    detail::error_slot slot;
    detail::error_slot last;
    const auto status = docache_loop_last_error(raw_, last.out(), slot.out());
    if (detail::expect(status, slot, DOCACHE_MISS) == DOCACHE_MISS) return std::nullopt;
    return detail::to_error(DOCACHE_DOER_FAILED, last.get());
  }

  /// A handle for one thread that reads often; must not outlive the loop cache. See `reader`.
  reader make_reader() const { return reader(raw_); }

  /// The handle for calls of docache.h, still owned by this loop cache; the same after a move.
  docache_loop* handle() const noexcept { return raw_; }

 private:
  template <class F>
  static docache_loop* make(const loop_options& options, F&& callable) {
    using doer = detail::doer<T, std::decay_t<F>>;
    static_assert(std::is_invocable_v<std::decay_t<F>&>,
                  "loop_cache: the Doer is called without arguments");
    detail::check_version();
    docache_loop_options raw{};
    raw.size = sizeof raw;
    raw.interval_ns = detail::to_positive("interval", options.interval);
    raw.first_delay_ns = detail::to_unsigned("first_delay", options.first_delay);
    raw.jitter_ns = detail::to_unsigned("jitter", options.jitter);
    raw.capacity = options.capacity;
    raw.name = options.name.data();
    raw.name_len = options.name.size();
    raw.logger = options.logger.handle();
    raw.schedule = static_cast<std::uint32_t>(options.schedule);
    raw.scheduler = options.scheduler != nullptr ? options.scheduler->handle() : nullptr;
    std::unique_ptr<doer> owner(new doer{std::forward<F>(callable)});
    const auto context = reinterpret_cast<std::uintptr_t>(owner.release());
    detail::error_slot slot;
    docache_loop* out = nullptr;
    detail::expect(
        docache_loop_new(&raw, &doer::perform, context, &detail::drop<doer>, &out, slot.out()),
        slot);
    return out;
  }

  static loop_options with_interval(docache::duration interval) {
    loop_options options;
    options.interval = interval;
    return options;
  }

  static std::optional<reading<T>> read(const docache_loop* loop) {
    detail::error_slot slot;
    docache_value* owned = nullptr;
    docache_entry raw{};
    if (detail::expect(docache_loop_latest(loop, &owned, &raw, slot.out()), slot, DOCACHE_MISS) ==
        DOCACHE_MISS) {
      return std::nullopt;
    }
    return reading<T>(value::from_handle(owned), raw);
  }

  void call(docache_status (*function)(const docache_loop*, docache_error**)) {
    detail::error_slot slot;
    detail::expect(function(raw_, slot.out()), slot);
  }

  docache_loop* raw_;
};

template <class F>
loop_cache(const loop_options&, F) -> loop_cache<std::decay_t<std::invoke_result_t<F&>>>;
template <class F>
loop_cache(docache::duration, F) -> loop_cache<std::decay_t<std::invoke_result_t<F&>>>;

/// Keeps its own copy of the latest reading and crosses into the library only when there is a new
/// result: in between, a read is one atomic load. For one thread at a time; must not outlive the
/// loop cache, which may be moved meanwhile.
template <class T>
class loop_cache<T>::reader {
 public:
  reader(const reader&) = default;
  reader(reader&&) = default;
  reader& operator=(const reader&) = default;
  reader& operator=(reader&&) = default;
  ~reader() = default;

  /// The last success, or null before the first; valid until this reader's next call or move. Never
  /// blocks.
  const reading<T>* latest() {
    // The version is read before the value: what is published in between shows as a change at the
    // next call.
    const std::uint64_t now = version();
    if (now != seen_) {
      held_ = read(loop_);
      seen_ = now;
    }
    return held_ ? &*held_ : nullptr;
  }

 private:
  friend class loop_cache<T>;
  explicit reader(const docache_loop* loop) noexcept
      : loop_(loop), word_(docache_loop_version_word(loop)) {}

  std::uint64_t version() const noexcept {
#if defined(__GNUC__)
    if (word_ != nullptr) return __atomic_load_n(word_, __ATOMIC_ACQUIRE);
#endif
    return docache_loop_version(loop_);
  }

  const docache_loop* loop_;
  const std::uint64_t* word_;
  std::uint64_t seen_ = 0;
  std::optional<reading<T>> held_{};
};

}  // namespace docache

#endif  // DOCACHE_LOOP_CACHE_HPP
