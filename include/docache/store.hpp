/// The stores of the echo caches of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_STORE_HPP
#define DOCACHE_STORE_HPP

#include "base.hpp"
#include "cache.hpp"

#include <optional>

namespace docache {

/// What a store of your own has under a key.
struct found {
  docache::value value{};
  /// How long ago it was loaded; nothing: not known, and never stale.
  std::optional<std::chrono::nanoseconds> age{};
  /// How long it will be kept still, if that is known.
  std::optional<std::chrono::nanoseconds> left{};
};

/// A claim on the refresh lock of a key.
struct refresh_lock {
  /// What no other claim has; valid during the call.
  std::string_view token{};
  /// How long the lock is held, from when it is granted or renewed.
  lifetime ttl = never_expires;
};

/// How begin_refresh() of a store of your own ended.
struct begun {
  /// The lock is the caller's now.
  bool granted = false;
  /// What there is under the key.
  std::optional<docache::found> found{};
  /// If the lock was not granted: a number that tells who has it from others; 0: not known.
  std::uint64_t holder = 0;
};

/// A store of your own, for custom_store(). Its functions are called from any thread, several at
/// once, and should return within `limit`. What they throw is a failure of the store, which fails
/// no fetch that can be computed; an error with the status DOCACHE_TIMEOUT says that the store did
/// not answer in time, one with DOCACHE_INVALID_ARGUMENT that what it has is no value.
class store_interface {
 public:
  virtual ~store_interface() = default;

  /// What there is under the key.
  virtual std::optional<found> get(std::string_view key, timeout limit) = 0;

  /// Takes the key's lock if nobody has it, and reads the key, in one step if it can, else the lock
  /// first. Who has the lock already is granted it again.
  virtual begun begin_refresh(std::string_view key, const refresh_lock& lock, timeout limit) = 0;

  /// Holds the lock for its time to live from now on. Returns false if it is not the caller's any
  /// more.
  virtual bool renew(std::string_view key, const refresh_lock& lock, timeout limit) = 0;

  /// Writes, and gives the lock back, in one step if it can. Returns false, and writes nothing, if
  /// the lock is not the caller's any more. `age` is nothing if it is not known.
  virtual bool finish_refresh(std::string_view key, const value& data, lifetime ttl,
                              std::optional<std::chrono::nanoseconds> age, const refresh_lock& lock,
                              timeout limit) = 0;

  /// Gives the lock back if it is the caller's.
  virtual void abandon_refresh(std::string_view key, const refresh_lock& lock, timeout limit) = 0;

  /// Writes, and takes the lock away from whoever has it.
  virtual void put(std::string_view key, const value& data, lifetime ttl,
                   std::optional<std::chrono::nanoseconds> age, timeout limit) = 0;

  /// Takes the value out, and the lock away from whoever has it.
  virtual void remove(std::string_view key, timeout limit) = 0;
};

/// Where an echo cache keeps its values. Shared by reference count: copying copies a pointer, and
/// the store goes with its last copy and the last cache that uses it. Made by memory_store(),
/// single_store(), tiered_store(), breaker_store(), redis_store(), nats_store() and custom_store(),
/// which throw docache::error or std::bad_alloc; everything else is noexcept.
class store {
 public:
  store(const store& other) noexcept : raw_(docache_store_retain(other.raw_)) {}
  store(store&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  store& operator=(store other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~store() { docache_store_release(raw_); }

  /// The handle for calls of docache.h, still owned by this store.
  docache_store* handle() const noexcept { return raw_; }

  /// Takes over one reference to a handle from docache.h.
  static store from_handle(docache_store* owned) noexcept { return store(owned); }

 private:
  explicit store(docache_store* owned) noexcept : raw_(owned) {}

  docache_store* raw_;
};

namespace detail {

/// Makes a store by a function of docache.h, whose last arguments are its outputs.
template <class Make, class... Arguments>
store make_store(Make make, Arguments... arguments) {
  check_version();
  error_slot slot;
  docache_store* owned = nullptr;
  expect(make(arguments..., &owned, slot.out()), slot);
  return store::from_handle(owned);
}

/// A store of the user's, and the functions through which the library calls it.
class custom {
 public:
  explicit custom(std::shared_ptr<store_interface> store) : store_(std::move(store)) {}

  static const docache_store_callbacks& callbacks() noexcept {
    static constexpr docache_store_callbacks all = {
        sizeof(docache_store_callbacks), &get, &begin, &renew, &write, &abandon, &write, &remove};
    return all;
  }

 private:
  static store_interface& of(std::uintptr_t context) noexcept {
    return *reinterpret_cast<custom*>(context)->store_;
  }

  static timeout limit(std::int64_t ns) noexcept { return std::chrono::nanoseconds(ns); }

  static refresh_lock claim(const docache_refresh_lock* raw) noexcept {
    return {std::string_view(raw->token, raw->token_len), life(raw->ttl_ns)};
  }

  static lifetime life(std::uint64_t ns) noexcept {
    return ns == DOCACHE_NEVER ? never_expires : lifetime(from_unsigned(ns));
  }

  static void show(docache::found&& from, docache_found* out) noexcept {
    const auto ns = [](std::chrono::nanoseconds length) {
      return length.count() < 0 ? std::uint64_t{0} : static_cast<std::uint64_t>(length.count());
    };
    if (from.age) out->age_ns = ns(*from.age);
    if (from.left) out->left_ns = ns(*from.left);
    out->value = from.value.release();
  }

  /// Calls `body`, which returns a status, and reports what it throws.
  template <class Body>
  static docache_status guarded(docache_error** out_error, Body body) noexcept {
    try {
      return body();
    } catch (const docache::error& failure) {
      report(out_error);
      const auto status = failure.status();
      return status == DOCACHE_TIMEOUT || status == DOCACHE_INVALID_ARGUMENT ? status
                                                                             : DOCACHE_DOER_FAILED;
    } catch (...) {
      return report(out_error);
    }
  }

  static docache_status get(std::uintptr_t context, const std::uint8_t* key, std::size_t key_len,
                            std::int64_t timeout_ns, docache_found* out,
                            docache_error** out_error) noexcept {
    return guarded(out_error, [&]() -> docache_status {
      auto there = of(context).get(text_of(key, key_len), limit(timeout_ns));
      if (!there) return DOCACHE_MISS;
      if (there->value.handle() == nullptr) there->value = value(nullptr, 0);
      show(std::move(*there), out);
      return DOCACHE_OK;
    });
  }

  static docache_status begin(std::uintptr_t context, const std::uint8_t* key, std::size_t key_len,
                              const docache_refresh_lock* lock, std::int64_t timeout_ns,
                              docache_found* out, std::uint64_t* out_holder,
                              docache_error** out_error) noexcept {
    return guarded(out_error, [&]() -> docache_status {
      auto began =
          of(context).begin_refresh(text_of(key, key_len), claim(lock), limit(timeout_ns));
      if (began.found) {
        if (began.found->value.handle() == nullptr) began.found->value = value(nullptr, 0);
        show(std::move(*began.found), out);
      }
      *out_holder = began.holder;
      return began.granted ? DOCACHE_OK : DOCACHE_BUSY;
    });
  }

  static docache_status renew(std::uintptr_t context, const std::uint8_t* key, std::size_t key_len,
                              const docache_refresh_lock* lock, std::int64_t timeout_ns,
                              docache_error** out_error) noexcept {
    return guarded(out_error, [&]() -> docache_status {
      const bool held = of(context).renew(text_of(key, key_len), claim(lock), limit(timeout_ns));
      return held ? DOCACHE_OK : DOCACHE_MISS;
    });
  }

  static docache_status write(std::uintptr_t context, const std::uint8_t* key, std::size_t key_len,
                              const docache_value* raw, std::uint64_t ttl_ns, std::uint64_t age_ns,
                              const docache_refresh_lock* lock, std::int64_t timeout_ns,
                              docache_error** out_error) noexcept {
    return guarded(out_error, [&]() -> docache_status {
      const value data = shared_value(raw);
      std::optional<std::chrono::nanoseconds> age;
      if (age_ns != DOCACHE_AGE_UNKNOWN) age = from_unsigned(age_ns);
      const auto text = text_of(key, key_len);
      if (lock == nullptr) {
        of(context).put(text, data, life(ttl_ns), age, limit(timeout_ns));
        return DOCACHE_OK;
      }
      const bool written = of(context).finish_refresh(text, data, life(ttl_ns), age, claim(lock),
                                                      limit(timeout_ns));
      return written ? DOCACHE_OK : DOCACHE_MISS;
    });
  }

  static docache_status abandon(std::uintptr_t context, const std::uint8_t* key,
                                std::size_t key_len, const docache_refresh_lock* lock,
                                std::int64_t timeout_ns, docache_error** out_error) noexcept {
    return guarded(out_error, [&]() -> docache_status {
      of(context).abandon_refresh(text_of(key, key_len), claim(lock), limit(timeout_ns));
      return DOCACHE_OK;
    });
  }

  static docache_status remove(std::uintptr_t context, const std::uint8_t* key,
                               std::size_t key_len, std::int64_t timeout_ns,
                               docache_error** out_error) noexcept {
    return guarded(out_error, [&]() -> docache_status {
      of(context).remove(text_of(key, key_len), limit(timeout_ns));
      return DOCACHE_OK;
    });
  }

  std::shared_ptr<store_interface> store_;
};

}  // namespace detail

/// How a store in memory is configured.
struct memory_store_options {
  /// The most entries; 0 = no limit.
  std::uint64_t capacity = 0;
  /// How long entries live at most, whatever their cache says.
  lifetime time_to_live = never_expires;
  /// The number of locks that writers are spread over; 0 = chosen by the limit.
  std::size_t shards = 0;
  /// policy::lru needs a capacity.
  docache::policy policy = docache::policy::adaptive;
};

/// A store in this process's memory. Values are shared, not copied, and reads never wait.
inline store memory_store(const memory_store_options& options = {}) {
  docache_store_memory_options raw{};
  raw.size = sizeof raw;
  raw.capacity = options.capacity;
  raw.time_to_live_ns = options.time_to_live.nanoseconds();
  raw.shards = options.shards;
  raw.policy = static_cast<std::uint32_t>(options.policy);
  return detail::make_store(docache_store_memory_new, &raw);
}

/// A store in memory that has one entry, whatever the key.
inline store single_store(lifetime time_to_live = never_expires) {
  return detail::make_store(docache_store_single_new, time_to_live.nanoseconds());
}

/// A near store before a far one, which has the truth and the locks. What is found in the far one
/// is copied into the near one for `most` at most.
inline store tiered_store(const store& near, const store& far, lifetime most) {
  return detail::make_store(docache_store_tiered_new, near.handle(), far.handle(),
                            most.nanoseconds());
}

/// A store that is not asked while it is known to be down: after `failures` in a row calls fail at
/// once, and after each `pause` one finds out whether it is back.
inline store breaker_store(const store& inner, std::uint32_t failures = 5,
                           duration pause = std::chrono::milliseconds(500)) {
  if (failures == 0) detail::refuse("failures", "0", "give at least 1");
  const auto ns = pause.nanoseconds();
  if (ns <= 0) detail::refuse("pause", std::to_string(ns) + " ns", "give at least 1 ns");
  return detail::make_store(docache_store_breaker_new, inner.handle(), failures,
                            static_cast<std::uint64_t>(ns));
}

/// What is in a store on a server.
enum class format : std::uint32_t {
  json = DOCACHE_FORMAT_JSON,            ///< The value; nothing is ever stale: for echo_cache.
  lazy_json = DOCACHE_FORMAT_LAZY_JSON,  ///< The value and its time: for lazy_echo_cache.
};

/// How a store on a server is configured.
struct remote_store_options {
  /// What keys begin with on the server.
  std::string prefix = "docache";
  docache::format format = docache::format::json;
  /// How long one try to connect may take; 0 = a default.
  duration connect_timeout{};
};

namespace detail {

inline docache_store_remote_options to_raw(const remote_store_options& options) {
  docache_store_remote_options raw{};
  raw.size = sizeof raw;
  raw.prefix = options.prefix.data();
  raw.prefix_len = options.prefix.size();
  const auto ns = options.connect_timeout.nanoseconds();
  raw.connect_timeout_ns = ns < 0 ? 0 : static_cast<std::uint64_t>(ns);
  raw.format = static_cast<std::uint32_t>(options.format);
  return raw;
}

}  // namespace detail

/// A store in a Redis server: redis://[user][:password@]host[:port][/database]. Values are JSON.
/// Throws DOCACHE_UNSUPPORTED if the library was built without it.
inline store redis_store(std::string_view url, const remote_store_options& options = {}) {
  const auto raw = detail::to_raw(options);
  return detail::make_store(docache_store_redis_new, url.data(), url.size(), &raw);
}

/// A store in a key-value bucket of NATS JetStream: nats://[user:password@]host[:port]. Values are
/// JSON. Throws DOCACHE_UNSUPPORTED if the library was built without it.
inline store nats_store(std::string_view url, std::string_view bucket,
                        const remote_store_options& options = {}) {
  const auto raw = detail::to_raw(options);
  return detail::make_store(docache_store_nats_new, url.data(), url.size(), bucket.data(),
                            bucket.size(), &raw);
}

/// A store of your own.
inline store custom_store(std::shared_ptr<store_interface> own) {
  if (!own) detail::refuse("own", "a null pointer", "give a store");
  auto holder = std::make_unique<detail::custom>(std::move(own));
  const auto context = reinterpret_cast<std::uintptr_t>(holder.release());
  return detail::make_store(docache_store_custom_new, &detail::custom::callbacks(), context,
                            &detail::drop<detail::custom>);
}

}  // namespace docache

#endif  // DOCACHE_STORE_HPP
