/// The parts of docache.hpp that every family uses: error, duration, timeout, value, logger.
/// Include docache.hpp.
#ifndef DOCACHE_BASE_HPP
#define DOCACHE_BASE_HPP

#include "../docache.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <ratio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace docache {

/// What a failed call throws, and what a failed Doer leaves behind. Copying does not throw.
class error : public std::runtime_error {
 public:
  /// A Doer's own failure: throw it from a Doer to record a message together with a number.
  explicit error(const std::string& message, std::int64_t code = 0)
      : std::runtime_error(message), status_(DOCACHE_DOER_FAILED), code_(code) {}

  /// A failure with a status of docache.h.
  error(docache_status status, const std::string& message, std::int64_t code = 0)
      : std::runtime_error(message), status_(status), code_(code) {}

  /// One of the DOCACHE_ constants, such as DOCACHE_INVALID_ARGUMENT, DOCACHE_CLOSED or
  /// DOCACHE_DOER_FAILED.
  docache_status status() const noexcept { return status_; }

  /// The number that the Doer gave, else 0.
  std::int64_t code() const noexcept { return code_; }

  /// The message; the same text as what().
  std::string_view message() const noexcept { return what(); }

 private:
  docache_status status_;
  std::int64_t code_;
};

/// A length of time made from any chrono duration; lengths beyond ±292 years are cut to that
/// instead of overflowing.
class duration {
 public:
  constexpr duration() noexcept = default;

  template <class Rep, class Period>
  constexpr duration(std::chrono::duration<Rep, Period> length) noexcept : ns_(saturate(length)) {}

  constexpr std::int64_t nanoseconds() const noexcept { return ns_; }

 private:
  template <class Rep, class Period>
  static constexpr std::int64_t saturate(std::chrono::duration<Rep, Period> length) noexcept {
    // Comparing as long double cannot overflow; the bound is a little inside int64_t's, so neither
    // can the cast.
    const long double ns = std::chrono::duration<long double, std::nano>(length).count();
    if (ns >= 9.22e18L) return (std::numeric_limits<std::int64_t>::max)();
    if (ns <= -9.22e18L) return (std::numeric_limits<std::int64_t>::min)();
    if (!(ns > -9.22e18L)) return 0;  // Not a number.
    // A cast that has to multiply and divide, as from thirds of a second, may overflow in between.
    using factor = std::ratio_divide<Period, std::nano>;
    if constexpr (factor::num != 1 && factor::den != 1) return static_cast<std::int64_t>(ns);
    return static_cast<std::int64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(length).count());
  }

  std::int64_t ns_ = 0;
};

/// How long a call may wait: any chrono duration, or docache::forever. With zero and negative
/// durations it does not wait.
class timeout {
 public:
  template <class Rep, class Period>
  constexpr timeout(std::chrono::duration<Rep, Period> length) noexcept
      : timeout(docache::duration(length)) {}

  constexpr timeout(docache::duration length) noexcept
      : ns_(length.nanoseconds() < 0 ? 0 : length.nanoseconds()) {}

  /// No limit, as docache::forever.
  static constexpr timeout never() noexcept { return timeout(); }

  /// As docache.h wants it: DOCACHE_FOREVER or nanoseconds ≥ 0.
  constexpr std::int64_t nanoseconds() const noexcept { return ns_; }

 private:
  constexpr timeout() noexcept = default;

  std::int64_t ns_ = DOCACHE_FOREVER;
};

/// Wait without a limit.
inline constexpr timeout forever = timeout::never();

namespace detail {

/// Receives an error from the C API and releases it.
class error_slot {
 public:
  error_slot() noexcept = default;
  error_slot(const error_slot&) = delete;
  error_slot& operator=(const error_slot&) = delete;
  ~error_slot() { docache_error_release(raw_); }

  docache_error** out() noexcept { return &raw_; }
  const docache_error* get() const noexcept { return raw_; }

 private:
  docache_error* raw_ = nullptr;
};

/// Copies a C error; `status` is what the call returned, used when there is no error object.
inline docache::error to_error(docache_status status, const docache_error* raw) {
  if (raw == nullptr) return docache::error(status, docache_status_name(status));
  std::size_t length = 0;
  const char* text = docache_error_message(raw, &length);
  return docache::error(docache_error_status(raw), std::string(text, length),
                        docache_error_code(raw));
}

/// Refuses what a caller gave by the name that it has in C++.
[[noreturn]] inline void refuse(const char* name, const std::string& given, const char* accepted) {
  throw docache::error(DOCACHE_INVALID_ARGUMENT,
                       std::string(name) + ": " + given + " is not accepted; " + accepted);
}

/// Passes on OK and the statuses in `also`; throws for every other.
template <class... Status>
docache_status expect(docache_status status, const error_slot& slot, Status... also) {
  if (status == DOCACHE_OK || ((status == also) || ...)) return status;
  throw to_error(status, slot.get());
}

inline std::chrono::nanoseconds from_unsigned(std::uint64_t ns) noexcept {
  constexpr auto most = static_cast<std::uint64_t>((std::numeric_limits<std::int64_t>::max)());
  return std::chrono::nanoseconds(static_cast<std::int64_t>(ns < most ? ns : most));
}

inline std::uint64_t to_unsigned(const char* name, docache::duration length) {
  if (length.nanoseconds() >= 0) return static_cast<std::uint64_t>(length.nanoseconds());
  refuse(name, std::to_string(length.nanoseconds()) + " ns", "give a duration of 0 or more");
}

inline std::uint64_t to_positive(const char* name, docache::duration length) {
  if (length.nanoseconds() > 0) return static_cast<std::uint64_t>(length.nanoseconds());
  refuse(name, std::to_string(length.nanoseconds()) + " ns", "give a duration greater than 0");
}

/// A limit for docache.h where 0 is none: of the shortest there is, for one of zero.
inline std::uint64_t to_limit(timeout limit) noexcept {
  if (limit.nanoseconds() < 0) return 0;
  return limit.nanoseconds() == 0 ? 1 : static_cast<std::uint64_t>(limit.nanoseconds());
}

template <class T>
void drop(std::uintptr_t object) noexcept {
  delete reinterpret_cast<T*>(object);
}

/// Hands `object` to the library: from here on the C value owns it, also when this throws.
template <class T>
docache_value* wrap(std::unique_ptr<T> object, const void* data, std::size_t size) {
  error_slot slot;
  docache_value* out = nullptr;
  const auto context = reinterpret_cast<std::uintptr_t>(object.release());
  expect(docache_value_wrap(static_cast<const std::uint8_t*>(data), size, context, &drop<T>, &out,
                            slot.out()),
         slot);
  return out;
}

/// Contiguous and made of bytes: string_view, string, vector<uint8_t>, span<const std::byte>,
/// array<char, N>...
template <class Bytes, class = void>
struct is_bytes : std::false_type {};
template <class Bytes>
struct is_bytes<Bytes, std::void_t<decltype(std::data(std::declval<const Bytes&>())),
                                   decltype(std::size(std::declval<const Bytes&>()))>> {
  using element =
      std::remove_cv_t<std::remove_pointer_t<decltype(std::data(std::declval<const Bytes&>()))>>;
  static constexpr bool value =
      !std::is_array_v<Bytes> && sizeof(element) == 1 && std::is_trivially_copyable_v<element>;
};

}  // namespace detail

/// Immutable bytes, shared by reference count: copying a value copies a pointer. Safe to copy and
/// read from any thread. Constructors throw docache::error or std::bad_alloc, str() std::bad_alloc;
/// everything else is noexcept and does not block.
class value {
 public:
  /// No bytes.
  value() noexcept = default;

  /// Copies `size` bytes; `data` may be null when `size` is 0.
  value(const void* data, std::size_t size) {
    detail::error_slot slot;
    detail::expect(
        docache_value_new(static_cast<const std::uint8_t*>(data), size, &raw_, slot.out()), slot);
  }

  /// Copies a NUL-terminated text.
  value(const char* text) : value(std::string_view(text)) {}

  /// Copies any contiguous range of bytes: string_view, span, array, an lvalue string or vector.
  template <class Bytes, std::enable_if_t<detail::is_bytes<Bytes>::value, int> = 0>
  value(const Bytes& bytes) : value(static_cast<const void*>(std::data(bytes)), std::size(bytes)) {}

  /// Takes the text over without copying it.
  value(std::string&& text) : raw_(adopt(std::move(text))) {}

  /// Takes the bytes over without copying them.
  value(std::vector<std::uint8_t>&& bytes) : raw_(adopt(std::move(bytes))) {}

  /// Takes the bytes over without copying them.
  value(std::vector<std::byte>&& bytes) : raw_(adopt(std::move(bytes))) {}

  value(const value& other) noexcept : raw_(docache_value_retain(other.raw_)) {}
  value(value&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  value& operator=(value other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~value() { docache_value_release(raw_); }

  const std::uint8_t* data() const noexcept { return docache_value_data(raw_); }
  std::size_t size() const noexcept { return docache_value_len(raw_); }
  bool empty() const noexcept { return size() == 0; }
  const std::uint8_t* begin() const noexcept { return data(); }
  const std::uint8_t* end() const noexcept { return data() + size(); }

  /// The bytes as text, valid as long as any handle to them lives.
  std::string_view view() const noexcept {
    const std::size_t length = size();
    return length == 0 ? std::string_view()
                       : std::string_view(reinterpret_cast<const char*>(data()), length);
  }

  /// The bytes as a text of their own.
  std::string str() const { return std::string(view()); }

  /// The handle for calls of docache.h, still owned by this value; null for a default-constructed
  /// one.
  docache_value* handle() const noexcept { return raw_; }

  /// Gives the handle away; the caller releases it. This value is empty afterwards.
  docache_value* release() noexcept { return std::exchange(raw_, nullptr); }

  /// Takes over one reference to a handle from docache.h.
  static value from_handle(docache_value* owned) noexcept {
    value out;
    out.raw_ = owned;
    return out;
  }

  friend bool operator==(const value& a, const value& b) noexcept { return a.view() == b.view(); }
  friend bool operator!=(const value& a, const value& b) noexcept { return a.view() != b.view(); }

 private:
  template <class Owner>
  static docache_value* adopt(Owner&& bytes) {
    auto owner = std::make_unique<std::decay_t<Owner>>(std::forward<Owner>(bytes));
    const void* data = owner->data();
    const std::size_t size = owner->size();
    return detail::wrap(std::move(owner), data, size);
  }

  docache_value* raw_ = nullptr;
};

namespace detail {

/// The T inside a C value that make_value made.
template <class T>
const T& object_in(const docache_value* raw) noexcept {
  return *static_cast<const T*>(static_cast<const void*>(docache_value_data(raw)));
}

/// What `owner`, which is not empty unless T is value, shows: itself, or the T inside.
template <class T>
const T& shown(const value& owner) noexcept {
  if constexpr (std::is_same_v<T, value>) {
    return owner;
  } else {
    return object_in<T>(owner.handle());
  }
}

template <class T>
const T* shown_or_null(const value& owner) noexcept {
  const bool is_there = std::is_same_v<T, value> || owner.handle() != nullptr;
  return is_there ? std::addressof(shown<T>(owner)) : nullptr;
}

/// Calls a user's work and makes a C value of the T that it returns.
template <class T, class F>
docache_value* make_value(F& call) {
  if constexpr (std::is_same_v<T, value>) {
    value made(std::invoke(call));
    return made.handle() != nullptr ? made.release() : value(nullptr, 0).release();
  } else {
    std::unique_ptr<T> made(new T(std::invoke(call)));
    const void* data = made.get();
    return detail::wrap(std::move(made), data, sizeof(T));
  }
}

inline docache_status fail(std::string_view message, std::int64_t code,
                           docache_error** out_error) noexcept {
  // Without memory for an error, the status alone has to do.
  docache_error_new(code, message.data(), message.size(), out_error, nullptr);
  return DOCACHE_DOER_FAILED;
}

/// Tells the library what was thrown. Called from a catch clause.
inline docache_status report(docache_error** out_error) noexcept {
  try {
    throw;
  } catch (const docache::error& failure) {
    return fail(failure.message(), failure.code(), out_error);
  } catch (const std::exception& failure) {
    const char* text = failure.what();
    return fail(text != nullptr ? text : "an exception without a text", 0, out_error);
  } catch (const std::string& failure) {
    return fail(failure, 0, out_error);
  } catch (const char* const& failure) {
    return fail(failure != nullptr ? failure : "the Doer threw a null pointer", 0, out_error);
  } catch (...) {
    return fail("the Doer threw something that is not a std::exception", 0, out_error);
  }
}

inline void check_version() {
  if (docache_abi_version() == DOCACHE_ABI_VERSION) return;
  throw docache::error(DOCACHE_VERSION_MISMATCH,
                       "docache.hpp is for ABI " + std::to_string(DOCACHE_ABI_VERSION) +
                           ", the library has " + std::to_string(docache_abi_version()));
}

}  // namespace detail

/// Ends the library's own threads, and waits until they have ended: before a search for leaks, or
/// before the library is unloaded. Returns true if none are left; destroy all handles first. Later
/// calls may start them again.
inline bool shutdown() noexcept { return docache_shutdown() == DOCACHE_OK; }

/// How severe a log record is; a logger is called for its own level and more severe ones.
enum class level : std::int32_t {
  error = DOCACHE_LEVEL_ERROR,
  warn = DOCACHE_LEVEL_WARN,
  info = DOCACHE_LEVEL_INFO,
  debug = DOCACHE_LEVEL_DEBUG,
  trace = DOCACHE_LEVEL_TRACE,
};

/// A hook for background events. Shared by reference count: copying copies a pointer, and the
/// callable is destroyed with the last copy and the last loop cache that uses it.
class logger {
 public:
  /// Logs nothing.
  logger() noexcept = default;

  /// Calls `log(level, target, message)` for records up to `most_verbose`. The callable may be
  /// called from several threads at once, the texts are valid only during the call, and what it
  /// throws is ignored. Throws docache::error or std::bad_alloc.
  template <
      class F,
      std::enable_if_t<std::is_invocable_v<F&, level, std::string_view, std::string_view>, int> = 0>
  logger(level most_verbose, F log) {
    using callable = F;
    auto hook = std::make_unique<callable>(std::move(log));
    const auto context = reinterpret_cast<std::uintptr_t>(hook.release());
    detail::error_slot slot;
    detail::expect(docache_logger_new(&call<callable>, context, &detail::drop<callable>,
                                      static_cast<std::int32_t>(most_verbose), &raw_, slot.out()),
                   slot);
  }

  logger(const logger& other) noexcept : raw_(docache_logger_retain(other.raw_)) {}
  logger(logger&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  logger& operator=(logger other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~logger() { docache_logger_release(raw_); }

  /// The handle for calls of docache.h, still owned by this logger; null for one that logs nothing.
  docache_logger* handle() const noexcept { return raw_; }

 private:
  template <class F>
  static void call(std::uintptr_t context, const docache_log_record* record) noexcept {
    try {
      (*reinterpret_cast<F*>(context))(static_cast<level>(record->level),
                                       std::string_view(record->target, record->target_len),
                                       std::string_view(record->message, record->message_len));
    } catch (...) {  // there is nobody to tell: the logger is who would be told
    }
  }

  docache_logger* raw_ = nullptr;
};

}  // namespace docache

#endif  // DOCACHE_BASE_HPP
