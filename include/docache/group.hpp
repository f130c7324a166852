/// Singleflight of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_GROUP_HPP
#define DOCACHE_GROUP_HPP

#include "base.hpp"

#include <optional>

namespace docache {

template <class T>
class group;

/// The outcome of a run of a group, owned like a shared_ptr<const T>: all callers of the run hold
/// the same object, which lives as long as any of them, whatever becomes of the group. Nothing here
/// throws or blocks.
template <class T>
class shared {
 public:
  /// Must not be called once this was moved from.
  const T& operator*() const noexcept { return detail::shown<T>(owner_); }
  const T* operator->() const noexcept { return std::addressof(**this); }

  /// Never null, unless this was moved from.
  const T* get() const noexcept { return detail::shown_or_null<T>(owner_); }

  /// Returns true if this caller's own work ran.
  bool led() const noexcept { return led_; }

  /// Returns true if others got the same object: always for a caller that joined, and for the
  /// leader if anybody was waiting when the run ended.
  bool is_shared() const noexcept { return shared_; }

 private:
  friend class group<T>;
  shared(value owner, bool led, bool is_shared) noexcept
      : owner_(std::move(owner)), led_(led), shared_(is_shared) {}

  value owner_;
  bool led_;
  bool shared_;
};

namespace detail {

/// Work is called without arguments, or, if it cannot be, with the key.
template <class F>
constexpr bool is_work() noexcept {
  return std::is_invocable_v<F&> || std::is_invocable_v<F&, std::string_view>;
}

template <class F>
decltype(auto) call_work(F& work, std::string_view key) {
  if constexpr (std::is_invocable_v<F&>) {
    return std::invoke(work);
  } else {
    return std::invoke(work, key);
  }
}

/// True if F returns a T, or what converts to one implicitly.
template <class T, class F>
constexpr bool returns_a() noexcept {
  using result = std::remove_cv_t<decltype(call_work(std::declval<F&>(), std::string_view()))>;
  return std::is_same_v<result, T> || std::is_convertible_v<result, T>;
}

/// `count` bytes as text; a view of nothing has no address.
inline std::string_view text_of(const std::uint8_t* data, std::size_t count) noexcept {
  return count == 0 ? std::string_view()
                    : std::string_view(reinterpret_cast<const char*>(data), count);
}

/// Work on the stack of the caller that perhaps leads, and the function through which the library
/// calls it.
template <class T, class F>
struct job {
  F& call;
  bool ran = false;
  std::exception_ptr thrown{};

  static docache_status perform(std::uintptr_t context, const std::uint8_t* key,
                                std::size_t key_len, docache_value** out,
                                docache_error** out_error) noexcept {
    job& self = *reinterpret_cast<job*>(context);
    self.ran = true;
    try {
      const auto work = [&]() -> decltype(auto) {
        return call_work(self.call, text_of(key, key_len));
      };
      *out = detail::make_value<T>(work);
      return DOCACHE_OK;
    } catch (...) {
      self.thrown = std::current_exception();
      return report(out_error);
    }
  }
};

}  // namespace detail

/// Callers that want the same thing for the same key share one run of the work: the first one
/// *leads* and runs its own work on its own thread; callers that come before that has ended *join*
/// and wait for it. Nothing is kept: a call after that begins a new run.
///
/// T is what the work's results are kept as: any object type, or docache::value for bytes; then the
/// work may return a string, string_view, vector of bytes or value. A T is read, and destroyed, on
/// any thread.
///
/// What the work throws reaches the caller that led unchanged, and callers that joined as
/// docache::error (DOCACHE_DOER_FAILED) with its message and code. A call inside the run of its own
/// key throws DOCACHE_REENTRANT. Work that waits for another thread that joins the same run never
/// ends.
///
/// Every const function may be called from any thread at any time, also inside the work.
template <class T = value>
class group {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::decay_t<T>>,
                "group<T>: T is a plain object type");

 public:
  using value_type = T;

  /// `shards` is the number of locks that the runs are spread over, up to 65,536; 0 chooses by the
  /// number of processors. Throws docache::error (DOCACHE_INVALID_ARGUMENT,
  /// DOCACHE_VERSION_MISMATCH) or std::bad_alloc.
  explicit group(std::size_t shards = 0) : raw_(make(shards)) {}

  group(const group&) = delete;
  group& operator=(const group&) = delete;
  group(group&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  group& operator=(group&& other) noexcept {
    docache_group_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }
  /// Allowed inside the work of its own run, which goes on.
  ~group() { docache_group_free(raw_); }

  /// Runs `work()`, or `work(key)` with a string_view. If a run of the key is under way, blocks
  /// until that has ended and shares its outcome.
  template <class F>
  shared<T> run(std::string_view key, F&& work) const {
    return *fly(forever, key, work);
  }

  /// The same without a key, which is the same as an empty one.
  template <class F>
  shared<T> run(F&& work) const {
    return *fly(forever, {}, work);
  }

  /// Like run(), but waits no longer than `limit` for another caller's run; returns nothing if that
  /// has not ended by then. Only waiting is limited: a call that leads runs its work, however short
  /// the limit is.
  template <class F>
  std::optional<shared<T>> run_for(timeout limit, std::string_view key, F&& work) const {
    return fly(limit, key, work);
  }

  /// The same without a key.
  template <class F>
  std::optional<shared<T>> run_for(timeout limit, F&& work) const {
    return fly(limit, {}, work);
  }

  /// Lets later calls of the key begin a new run; callers of the one under way still get its
  /// outcome. Returns true if there was one.
  bool forget(std::string_view key = {}) const {
    detail::error_slot slot;
    const auto status = docache_group_forget(raw_, bytes(key), key.size(), slot.out());
    return detail::expect(status, slot, DOCACHE_MISS) == DOCACHE_OK;
  }

  /// The number of runs under way that a call could join.
  std::size_t in_flight() const noexcept { return docache_group_in_flight(raw_); }

  /// The handle for calls of docache.h, still owned by this group; the same after a move. Unless T
  /// is docache::value, nobody else may run work in it: its values are objects of this program.
  docache_group* handle() const noexcept { return raw_; }

 private:
  static docache_group* make(std::size_t shards) {
    detail::check_version();
    docache_group_options raw{};
    raw.size = sizeof raw;
    raw.shards = shards;
    detail::error_slot slot;
    docache_group* out = nullptr;
    detail::expect(docache_group_new(&raw, &out, slot.out()), slot);
    return out;
  }

  static const std::uint8_t* bytes(std::string_view key) noexcept {
    return reinterpret_cast<const std::uint8_t*>(key.data());
  }

  template <class F>
  std::optional<shared<T>> fly(timeout limit, std::string_view key, F& work) const {
    using job = detail::job<T, F>;
    static_assert(detail::is_work<F>(),
                  "group: the work is called without arguments or with the key, a string_view");
    static_assert(detail::returns_a<T, F>(),
                  "group<T>: the work returns a T, or what is converted to one");
    job mine{work};
    detail::error_slot slot;
    docache_value* owned = nullptr;
    std::uint32_t is_shared = 0;
    const auto status = docache_group_run_key(
        raw_, bytes(key), key.size(), limit.nanoseconds(), &job::perform,
        reinterpret_cast<std::uintptr_t>(&mine), &owned, &is_shared, slot.out());
    if (mine.thrown) std::rethrow_exception(std::move(mine.thrown));
    if (detail::expect(status, slot, DOCACHE_TIMEOUT) == DOCACHE_TIMEOUT) return std::nullopt;
    return shared<T>(value::from_handle(owned), mine.ran, is_shared != 0);
  }

  docache_group* raw_;
};

}  // namespace docache

#endif  // DOCACHE_GROUP_HPP
