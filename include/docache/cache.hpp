/// The cache of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_CACHE_HPP
#define DOCACHE_CACHE_HPP

#include "base.hpp"
#include "group.hpp"

#include <initializer_list>
#include <optional>

namespace docache {

/// Which entries a full cache evicts.
enum class policy : std::uint32_t {
  adaptive = DOCACHE_POLICY_ADAPTIVE,  ///< What is used least, by recency and frequency.
  lru = DOCACHE_POLICY_LRU,            ///< What was used the longest time ago.
};

/// Why an entry left a cache, or was not stored.
enum class cause : std::int32_t {
  size = DOCACHE_CAUSE_SIZE,          ///< There was no room for it beside others.
  expired = DOCACHE_CAUSE_EXPIRED,    ///< Its time was over.
  removed = DOCACHE_CAUSE_REMOVED,    ///< It was removed, or the cache was cleared.
  replaced = DOCACHE_CAUSE_REPLACED,  ///< The key got another value.
  refused = DOCACHE_CAUSE_REFUSED,    ///< It was never taken in.
};

/// How long an entry lives: any chrono duration, or docache::never_expires. Zero or less expires at
/// once.
class lifetime {
 public:
  template <class Rep, class Period>
  constexpr lifetime(std::chrono::duration<Rep, Period> length) noexcept
      : lifetime(docache::duration(length)) {}

  constexpr lifetime(docache::duration length) noexcept
      : ns_(length.nanoseconds() < 1 ? 1 : static_cast<std::uint64_t>(length.nanoseconds())) {}

  /// The lifetime that never ends, as docache::never_expires.
  static constexpr lifetime never() noexcept { return lifetime(); }

  /// As docache.h wants it.
  constexpr std::uint64_t nanoseconds() const noexcept { return ns_; }

 private:
  constexpr lifetime() noexcept = default;

  std::uint64_t ns_ = DOCACHE_NEVER;
};

/// Live until removed, replaced or evicted.
inline constexpr lifetime never_expires = lifetime::never();

/// Bytes that are borrowed for a call: a text, or any contiguous range of bytes, such as a string,
/// a vector or a span.
class bytes_view {
 public:
  constexpr bytes_view() noexcept = default;

  /// A NUL-terminated text.
  bytes_view(const char* text) : bytes_view(std::string_view(text)) {}

  template <class Bytes, std::enable_if_t<detail::is_bytes<Bytes>::value, int> = 0>
  bytes_view(const Bytes& bytes) noexcept
      : raw_{reinterpret_cast<const std::uint8_t*>(std::data(bytes)), std::size(bytes)} {}

  const std::uint8_t* data() const noexcept { return raw_.data; }
  std::size_t size() const noexcept { return raw_.len; }

  /// As docache.h wants it.
  const docache_bytes& raw() const noexcept { return raw_; }

 private:
  docache_bytes raw_{nullptr, 0};
};

/// Called when an entry has left the cache: on the thread that removed it, a writer's or the
/// sweep's, with no lock held. It may use the cache, and destroy it: then it is not called again,
/// and is destroyed when the write or sweep that called it ends. What it throws is ignored.
using evict_listener =
    std::function<void(std::string_view key, const value& value, docache::cause cause)>;

/// How a cache is configured. Everything has a default; without capacity and max_weight there is no
/// limit.
struct cache_options {
  /// The lifetime of entries that are stored without one.
  lifetime time_to_live = std::chrono::minutes(15);
  /// How often expired entries are removed, 1 ms at least.
  lifetime sweep_interval = std::chrono::minutes(20);
  /// How long failures of fetches are kept and given to later fetches; not at all by default.
  std::optional<lifetime> negative_ttl{};
  /// The most entries; 0 = no limit. Not together with max_weight.
  std::uint64_t capacity = 0;
  /// The most bytes, keys and values together; 0 = no limit.
  std::uint64_t max_weight = 0;
  /// The number of locks that writers are spread over; 0 = chosen by the limit.
  std::size_t shards = 0;
  docache::policy policy = docache::policy::adaptive;
  /// Lifetimes are shortened at random by up to so many thousandths.
  std::uint32_t jitter_permille = 0;
  /// Count hits and misses, which costs each read a few nanoseconds.
  bool record_stats = false;
  /// Expired entries are still found until they are swept.
  bool expire_on_sweep_only = false;
  evict_listener on_evict{};
};

/// Counters of a cache since it was made.
struct cache_stats {
  std::uint64_t hits = 0;    ///< Reads that found something; 0 without cache_options::record_stats.
  std::uint64_t misses = 0;  ///< Reads that did not; 0 without cache_options::record_stats.
  std::uint64_t loads = 0;   ///< Loads that fetches ran, to their end.
  std::uint64_t load_failures = 0;
  std::chrono::nanoseconds load_time{};
  std::uint64_t coalesced = 0;  ///< Fetches that shared what somebody else loaded.
  std::uint64_t inserted = 0;
  std::uint64_t evicted = 0;  ///< Entries that left for cause::size; the next four likewise.
  std::uint64_t expired = 0;
  std::uint64_t removed = 0;
  std::uint64_t replaced = 0;
  std::uint64_t refused = 0;
  std::uint64_t size = 0;     ///< Entries, those included that have expired and were not yet swept.
  std::uint64_t weight = 0;   ///< Their weight; without max_weight, their number.
  std::uint64_t retired = 0;  ///< Entries that have left and are still held.
  std::uint64_t memory = 0;   ///< Bytes that the cache takes beside keys and values.
};

namespace detail {

/// A value that is borrowed while a callback runs, as a handle of its own.
inline value shared_value(const docache_value* raw) noexcept {
  return value::from_handle(docache_value_retain(raw));
}

/// A listener on the heap, and the function through which the library calls it.
inline void tell_listener(std::uintptr_t context, const std::uint8_t* key, std::size_t key_len,
                          const docache_value* raw, std::int32_t why) noexcept {
  try {
    (*reinterpret_cast<evict_listener*>(context))(text_of(key, key_len), shared_value(raw),
                                                  static_cast<cause>(why));
  } catch (...) {
    // There is nobody to tell: the entry has left.
  }
}

/// A visitor on the stack of for_each.
template <class F>
struct visit {
  F& call;
  std::exception_ptr thrown{};

  static std::int32_t one(std::uintptr_t context, const std::uint8_t* key, std::size_t key_len,
                          const docache_value* raw) noexcept {
    visit& self = *reinterpret_cast<visit*>(context);
    try {
      using result = std::invoke_result_t<F&, std::string_view, const value&>;
      const value borrowed = shared_value(raw);
      if constexpr (std::is_same_v<result, bool>) {
        return std::invoke(self.call, text_of(key, key_len), borrowed) ? 0 : 1;
      } else {
        std::invoke(self.call, text_of(key, key_len), borrowed);
        return 0;
      }
    } catch (...) {
      self.thrown = std::current_exception();
      return 1;
    }
  }
};

}  // namespace detail

/// Keeps values by key for a limited time, 15 minutes by default, up to a limit. Callers that fetch
/// a missing key at the same time share one run of the work. Reads never wait.
///
/// Keys are bytes, given as anything that converts to bytes_view; the cache keeps copies. Values
/// are docache::value: shared, not copied, except by try_get(). A value that was removed, replaced
/// or evicted is released by a later write, by the sweep or by flush(), never by a read.
///
/// Every const function may be called from any thread at any time, also inside the work of a fetch
/// or a listener. They throw docache::error, DOCACHE_INVALID_ARGUMENT if this was moved from, and
/// std::bad_alloc.
class cache {
 public:
  /// All defaults: entries live for 15 minutes, and there is no limit. Throws as the next one does.
  cache() : cache(cache_options()) {}

  /// Throws docache::error (DOCACHE_INVALID_ARGUMENT names the option that is wrong,
  /// DOCACHE_VERSION_MISMATCH says that header and library differ) or std::bad_alloc.
  ///
  /// (A template, so that it does not compete with the others for `cache({})`.)
  template <class = void>
  explicit cache(cache_options options) : raw_(make(std::move(options))) {}

  cache(const cache&) = delete;
  cache& operator=(const cache&) = delete;
  cache(cache&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  cache& operator=(cache&& other) noexcept {
    docache_cache_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }

  /// Values stay valid. The listener is not called for the entries that are left, and is destroyed
  /// before this returns; a sweep that is calling it is waited for. Inside the listener, the work
  /// of a fetch or a visit of this cache the destructor does not wait: the cache and its listener
  /// end when that call ends. Inside another object's callback it waits, unless the thread that it
  /// waits for is destroying that object.
  ~cache() { docache_cache_free(raw_); }

  /// The key's value, or nothing if it is not there or has expired. Never blocks.
  std::optional<value> get(bytes_view key) const {
    detail::error_slot slot;
    docache_value* owned = nullptr;
    const auto status = docache_cache_get(raw_, key.data(), key.size(), &owned, slot.out());
    if (detail::expect(status, slot, DOCACHE_MISS) == DOCACHE_MISS) return std::nullopt;
    return value::from_handle(owned);
  }

  /// The copying form of get(): copies the key's value into `buffer` and returns its length, or
  /// nothing if it is not there or has expired. If the length is more than `capacity` nothing is
  /// copied. Costs less than get() for small values, above all on many threads. Never blocks.
  std::optional<std::size_t> try_get(bytes_view key, void* buffer, std::size_t capacity) const {
    detail::error_slot slot;
    std::size_t length = 0;
    const auto status =
        docache_cache_try_get(raw_, key.data(), key.size(), static_cast<std::uint8_t*>(buffer),
                              capacity, &length, slot.out());
    if (detail::expect(status, slot, DOCACHE_MISS, DOCACHE_BUFFER_TOO_SMALL) == DOCACHE_MISS)
      return std::nullopt;
    return length;
  }

  /// Returns true if the key is there and has not expired. Does not count as a use. Never blocks.
  bool contains(bytes_view key) const {
    detail::error_slot slot;
    const auto status = docache_cache_contains(raw_, key.data(), key.size(), slot.out());
    return detail::expect(status, slot, DOCACHE_MISS) == DOCACHE_OK;
  }

  /// Stores a value for the cache's time to live or for `ttl`. Throws DOCACHE_INVALID_ARGUMENT if
  /// it weighs more than a shard's part of max_weight. Values are not copied, nor are strings and
  /// vectors that are moved in.
  void set(bytes_view key, const value& data, std::optional<lifetime> ttl = std::nullopt) const {
    detail::error_slot slot;
    const auto status =
        data.handle() == nullptr
            ? docache_cache_set(raw_, key.data(), key.size(), nullptr, 0, to_ns(ttl), slot.out())
            : docache_cache_set_value(raw_, key.data(), key.size(), data.handle(), to_ns(ttl),
                                      slot.out());
    detail::expect(status, slot);
  }

  /// Removes the key, and returns its value if it was there and had not expired. Fetches of the key
  /// that are under way do not store their results.
  std::optional<value> remove(bytes_view key) const {
    detail::error_slot slot;
    docache_value* owned = nullptr;
    const auto status = docache_cache_remove(raw_, key.data(), key.size(), &owned, slot.out());
    if (detail::expect(status, slot, DOCACHE_MISS) == DOCACHE_MISS) return std::nullopt;
    return value::from_handle(owned);
  }

  /// get() for each of the keys, in their order. `Keys` is any range of what converts to
  /// bytes_view.
  template <class Keys>
  std::vector<std::optional<value>> get_many(const Keys& keys) const {
    const auto spans = to_spans(keys);
    std::vector<docache_value*> owned(spans.size());
    std::vector<std::optional<value>> out(spans.size());
    detail::error_slot slot;
    detail::expect(
        docache_cache_get_many(raw_, spans.data(), spans.size(), owned.data(), nullptr, slot.out()),
        slot);
    for (std::size_t i = 0; i < owned.size(); ++i) {
      if (owned[i] != nullptr) out[i] = value::from_handle(owned[i]);
    }
    return out;
  }
  std::vector<std::optional<value>> get_many(std::initializer_list<bytes_view> keys) const {
    return get_many<std::initializer_list<bytes_view>>(keys);
  }

  /// set() for each pair of a range, in its order: of several with one key the last stays. Both
  /// parts convert to bytes_view, and their bytes are copied. Throws for the first value that is
  /// too heavy, when all the others are in.
  template <class Pairs>
  void set_many(const Pairs& pairs, std::optional<lifetime> ttl = std::nullopt) const {
    std::vector<docache_bytes> keys;
    std::vector<docache_bytes> values;
    for (const auto& pair : pairs) {
      keys.push_back(bytes_view(pair.first).raw());
      values.push_back(bytes_view(pair.second).raw());
    }
    detail::error_slot slot;
    detail::expect(docache_cache_set_many(raw_, keys.data(), values.data(), keys.size(), to_ns(ttl),
                                          slot.out()),
                   slot);
  }
  void set_many(std::initializer_list<std::pair<bytes_view, bytes_view>> pairs,
                std::optional<lifetime> ttl = std::nullopt) const {
    set_many<std::initializer_list<std::pair<bytes_view, bytes_view>>>(pairs, ttl);
  }

  /// Removes the keys, and returns how many were there and had not expired.
  template <class Keys>
  std::size_t remove_many(const Keys& keys) const {
    const auto spans = to_spans(keys);
    std::size_t removed = 0;
    detail::error_slot slot;
    detail::expect(
        docache_cache_remove_many(raw_, spans.data(), spans.size(), &removed, slot.out()), slot);
    return removed;
  }
  std::size_t remove_many(std::initializer_list<bytes_view> keys) const {
    return remove_many<std::initializer_list<bytes_view>>(keys);
  }

  /// Returns the key's value. If it is not there, runs `work()`, or `work(key)` with a string_view,
  /// and keeps what that returns for `ttl`: a value, string, string_view or vector of bytes. If a
  /// run of the key is under way, blocks until that has ended and shares its outcome.
  ///
  /// What the work throws reaches the caller that ran it unchanged, and callers that waited as
  /// docache::error (DOCACHE_DOER_FAILED) with its message and code; with
  /// cache_options::negative_ttl also callers that fetch later. A call inside the run of its own
  /// key throws DOCACHE_REENTRANT. If the key is written, removed or cleared while the work runs,
  /// the callers get what was fetched but the cache does not keep it.
  template <class F>
  value fetch(bytes_view key, F&& work, std::optional<lifetime> ttl = std::nullopt) const {
    return *load(forever, key, ttl, work);
  }

  /// Like fetch(), but waits no longer than `limit` for another caller's run; returns nothing if
  /// that has not ended by then. Only waiting is limited: a call that leads runs its work, however
  /// short the limit is.
  template <class F>
  std::optional<value> fetch_for(timeout limit, bytes_view key, F&& work,
                                 std::optional<lifetime> ttl = std::nullopt) const {
    return load(limit, key, ttl, work);
  }

  /// Removes everything. Fetches under way do not store their results.
  void clear() const { call(docache_cache_clear); }

  /// Removes expired entries, as the sweep does from time to time, and returns their number.
  std::size_t purge_expired() const {
    std::size_t purged = 0;
    detail::error_slot slot;
    detail::expect(docache_cache_purge_expired(raw_, &purged, slot.out()), slot);
    return purged;
  }

  /// Releases removed values that no reader can see any more. Returns false if readers still hold
  /// some.
  bool flush() const {
    detail::error_slot slot;
    return detail::expect(docache_cache_flush(raw_, slot.out()), slot, DOCACHE_PENDING) ==
           DOCACHE_OK;
  }

  /// Calls `visit(key, value)` for each entry that has not expired, in no particular order; if it
  /// returns a bool, until that is false. It sees the entries that were there when this was called,
  /// and may change the cache. What it throws is passed on.
  template <class F>
  void for_each(F&& visit) const {
    static_assert(std::is_invocable_v<F&, std::string_view, const value&>,
                  "cache: visit(string_view, const value&)");
    using visitor = detail::visit<std::remove_reference_t<F>>;
    visitor mine{visit};
    detail::error_slot slot;
    const auto status = docache_cache_each(raw_, &visitor::one,
                                           reinterpret_cast<std::uintptr_t>(&mine), slot.out());
    if (mine.thrown) std::rethrow_exception(std::move(mine.thrown));
    detail::expect(status, slot);
  }

  /// The number of entries, including expired ones that were not swept yet.
  std::uint64_t size() const noexcept { return docache_cache_len(raw_); }
  bool empty() const noexcept { return size() == 0; }

  /// The bytes of all keys and values if there is a max_weight, else the number of entries.
  std::uint64_t weight() const noexcept { return docache_cache_weight(raw_); }

  cache_stats stats() const {
    detail::error_slot slot;
    docache_cache_counters raw{};
    raw.size = sizeof raw;
    detail::expect(docache_cache_stats(raw_, &raw, slot.out()), slot);
    cache_stats out;
    out.hits = raw.hits;
    out.misses = raw.misses;
    out.loads = raw.loads;
    out.load_failures = raw.load_failures;
    out.load_time = detail::from_unsigned(raw.load_time_ns);
    out.coalesced = raw.coalesced;
    out.inserted = raw.inserted;
    out.evicted = raw.evicted;
    out.expired = raw.expired;
    out.removed = raw.removed;
    out.replaced = raw.replaced;
    out.refused = raw.refused;
    out.size = raw.len;
    out.weight = raw.weight;
    out.retired = raw.retired;
    out.memory = raw.memory;
    return out;
  }

  /// The handle for calls of docache.h, still owned by this cache; the same after a move.
  docache_cache* handle() const noexcept { return raw_; }

 private:
  /// What the library would refuse by the names of docache.h.
  static void check(const cache_options& options) {
    const auto sweep = options.sweep_interval.nanoseconds();
    if (sweep < 1'000'000) {
      detail::refuse("sweep_interval", std::to_string(sweep) + " ns", "give at least 1 ms");
    }
    if (options.policy == policy::lru && options.capacity == 0 && options.max_weight == 0) {
      detail::refuse("policy", "policy::lru without a limit",
                     "give a capacity or max_weight with it");
    }
  }

  static docache_cache* make(cache_options options) {
    detail::check_version();
    check(options);
    docache_cache_options raw{};
    raw.size = sizeof raw;
    raw.time_to_live_ns = options.time_to_live.nanoseconds();
    raw.sweep_interval_ns = options.sweep_interval.nanoseconds();
    raw.negative_ttl_ns = to_ns(options.negative_ttl);
    raw.capacity = options.capacity;
    raw.max_weight = options.max_weight;
    raw.shards = options.shards;
    raw.policy = static_cast<std::uint32_t>(options.policy);
    raw.jitter_permille = options.jitter_permille;
    raw.flags = (options.record_stats ? DOCACHE_CACHE_RECORD_STATS : 0) |
                (options.expire_on_sweep_only ? DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY : 0);
    detail::error_slot slot;
    docache_cache* out = nullptr;
    if (options.on_evict) {
      auto listener = std::make_unique<evict_listener>(std::move(options.on_evict));
      const auto context = reinterpret_cast<std::uintptr_t>(listener.release());
      const auto drop = &detail::drop<evict_listener>;
      detail::expect(
          docache_cache_new(&raw, &detail::tell_listener, context, drop, &out, slot.out()), slot);
    } else {
      detail::expect(docache_cache_new(&raw, nullptr, 0, nullptr, &out, slot.out()), slot);
    }
    return out;
  }

  static std::uint64_t to_ns(std::optional<lifetime> ttl) noexcept {
    return ttl ? ttl->nanoseconds() : 0;
  }

  template <class Keys>
  static std::vector<docache_bytes> to_spans(const Keys& keys) {
    std::vector<docache_bytes> spans;
    for (const auto& key : keys) spans.push_back(bytes_view(key).raw());
    return spans;
  }

  void call(docache_status (*function)(const docache_cache*, docache_error**)) const {
    detail::error_slot slot;
    detail::expect(function(raw_, slot.out()), slot);
  }

  template <class F>
  std::optional<value> load(timeout limit, bytes_view key, std::optional<lifetime> ttl,
                            F& work) const {
    using job = detail::job<value, F>;
    static_assert(detail::is_work<F>(),
                  "cache: the work is called without arguments or with the key, a string_view");
    static_assert(detail::returns_a<value, F>(),
                  "cache: the work returns bytes: a value, string, string_view, const char* or "
                  "vector of bytes");
    job mine{work};
    detail::error_slot slot;
    docache_value* owned = nullptr;
    const auto context = reinterpret_cast<std::uintptr_t>(&mine);
    const auto status =
        docache_cache_fetch_key(raw_, key.data(), key.size(), to_ns(ttl), limit.nanoseconds(),
                                &job::perform, context, &owned, slot.out());
    if (mine.thrown) std::rethrow_exception(std::move(mine.thrown));
    if (detail::expect(status, slot, DOCACHE_TIMEOUT) == DOCACHE_TIMEOUT) return std::nullopt;
    return value::from_handle(owned);
  }

  docache_cache* raw_;
};

}  // namespace docache

#endif  // DOCACHE_CACHE_HPP
