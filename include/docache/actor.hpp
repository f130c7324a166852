/// Actors of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_ACTOR_HPP
#define DOCACHE_ACTOR_HPP

#include "retry.hpp"

#include <mutex>

namespace docache {

/// Why a group or a loop stops.
enum class run_end : std::int32_t {
  /// All actors have returned, none with an exception.
  finished = DOCACHE_RUN_FINISHED,
  /// An actor has returned, under stop_on::any_return.
  returned = DOCACHE_RUN_RETURNED,
  /// An actor has thrown, or the system gave no thread for it.
  failed = DOCACHE_RUN_FAILED,
  /// An actor that is not written in C++ has reported a defect.
  panicked = DOCACHE_RUN_PANICKED,
  /// The process was sent a signal.
  signal = DOCACHE_RUN_SIGNAL,
  /// It was told to stop, or destroyed.
  stopped = DOCACHE_RUN_STOPPED,
  /// This process is the child of a fork, and the actors are the parent's.
  forked = DOCACHE_RUN_FORKED,
};

/// The cause of a stop, with what belongs to it.
struct run_cause {
  run_end kind = run_end::stopped;
  /// Whose return or failure it was; of an actor in an inner group "outer/inner".
  std::string actor{};
  /// What that actor failed with.
  std::optional<docache::error> error{};
  /// The number of the signal, else 0.
  int signal = 0;
  /// The cause as a sentence.
  std::string message{};
};

namespace detail {

inline run_cause to_cause(const docache_run_cause& raw) {
  run_cause out;
  out.kind = static_cast<run_end>(raw.kind);
  if (raw.actor != nullptr) out.actor.assign(raw.actor, raw.actor_len);
  if (raw.error != nullptr) out.error = to_error(raw.status, raw.error);
  out.signal = raw.signal;
  out.message.assign(raw.message, raw.message_len);
  return out;
}

/// What actors of a group, and of those inside it, have thrown.
class thrown {
 public:
  thrown() = default;
  thrown(const thrown&) = delete;
  thrown& operator=(const thrown&) = delete;
  ~thrown() {
    for (const auto& one : of_actors_) docache_error_release(one.first);
  }

  /// Notes what became an error of the library. Called from a catch clause.
  void keep(docache_error* error) noexcept {
    if (error == nullptr) return;
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      of_actors_.emplace_back(error, std::current_exception());
      docache_error_retain(error);
    } catch (...) {  // without memory for it, the error itself has to do
    }
  }

  /// Notes what an interrupt or a failure handler threw. Called from a catch clause.
  void keep_other() noexcept {
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!other_) other_ = std::current_exception();
    } catch (...) {  // as above
    }
  }

  /// Looks also there from now on.
  void include(std::shared_ptr<thrown> inner) noexcept {
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      inner_.push_back(std::move(inner));
    } catch (...) {  // as above
    }
  }

  /// What became this error; without one, the first that was thrown elsewhere.
  std::exception_ptr find(const docache_error* error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error == nullptr && other_) return other_;
    for (const auto& one : of_actors_) {
      if (one.first == error) return one.second;
    }
    for (const auto& inner : inner_) {
      if (auto found = inner->find(error)) return found;
    }
    return nullptr;
  }

 private:
  std::mutex mutex_{};
  std::vector<std::pair<docache_error*, std::exception_ptr>> of_actors_{};
  std::exception_ptr other_{};
  std::vector<std::shared_ptr<thrown>> inner_{};
};

/// The callables of an actor, and the functions through which the library calls and destroys them.
struct actor_body {
  std::function<void(const stop_token&)> execute{};
  std::function<void(const run_cause&)> interrupt{};
  std::function<void(const docache::error&)> on_failure{};
  /// Where what they throw goes; in a loop nowhere.
  std::shared_ptr<thrown> note{};

  template <class F>
  explicit actor_body(F work) {
    constexpr bool is_told = std::is_invocable_v<F&, const stop_token&>;
    static_assert(is_told || std::is_invocable_v<F&>,
                  "an actor is called without arguments, or with a const stop_token&");
    // Callables need not be copyable.
    auto shared = std::make_shared<F>(std::move(work));
    execute = [shared]([[maybe_unused]] const stop_token& stop) {
      if constexpr (is_told) {
        static_assert(std::is_void_v<std::invoke_result_t<F&, const stop_token&>>,
                      "an actor returns nothing: it fails by throwing");
        std::invoke(*shared, stop);
      } else {
        static_assert(std::is_void_v<std::invoke_result_t<F&>>,
                      "an actor returns nothing: it fails by throwing");
        std::invoke(*shared);
      }
    };
  }

  static docache_status call(std::uintptr_t context, const docache_stop_token* stop,
                             docache_error** out_error) noexcept {
    auto& body = *reinterpret_cast<actor_body*>(context);
    try {
      body.execute(stop_token(stop));
      return DOCACHE_OK;
    } catch (...) {
      const auto status = report(out_error);
      if (body.note) body.note->keep(*out_error);
      return status;
    }
  }

  static void stop(std::uintptr_t context, const docache_run_cause* cause) noexcept {
    auto& body = *reinterpret_cast<actor_body*>(context);
    try {
      body.interrupt(to_cause(*cause));
    } catch (...) {
      if (body.note) body.note->keep_other();
    }
  }

  static void tell(std::uintptr_t context, const docache_error* error) noexcept {
    auto& body = *reinterpret_cast<actor_body*>(context);
    try {
      body.on_failure(to_error(docache_error_status(error), error));
    } catch (...) {
      if (body.note) body.note->keep_other();
    }
  }
};

/// What the actors of groups and of loops have in common.
template <class Self>
class actor_base {
 public:
  /// Makes a call of the work that is under way return. Called at most once, on another thread,
  /// when the group or loop stops.
  template <class F>
  Self interrupt(F call) && {
    auto shared = std::make_shared<F>(std::move(call));
    if constexpr (std::is_invocable_v<F&, const run_cause&>) {
      body_->interrupt = [shared](const run_cause& cause) { std::invoke(*shared, cause); };
    } else {
      body_->interrupt = [shared](const run_cause&) { std::invoke(*shared); };
    }
    return std::move(*self());
  }

  /// Told, as a docache::error, what the work threw, on the actor's thread.
  template <class F>
  Self on_failure(F call) && {
    auto shared = std::make_shared<F>(std::move(call));
    body_->on_failure = [shared](const docache::error& error) { std::invoke(*shared, error); };
    return std::move(*self());
  }

  /// The stage in which it is interrupted, else 0: stages go in the order of their numbers.
  Self stage(std::uint32_t stage) && {
    stage_ = stage;
    return std::move(*self());
  }

 protected:
  template <class F>
  actor_base(std::string name, F work)
      : name_(std::move(name)), body_(std::make_unique<actor_body>(std::move(work))) {}

  /// Writes what both of the structs of docache.h have, and gives the callables away.
  template <class Raw>
  std::uintptr_t give(Raw& raw, std::shared_ptr<thrown> note) {
    if (!body_) refuse("actor", "one that was moved from", "give an actor once");
    raw.size = sizeof raw;
    raw.name = name_.data();
    raw.name_len = name_.size();
    raw.execute = &actor_body::call;
    raw.interrupt = body_->interrupt ? &actor_body::stop : nullptr;
    raw.on_failure = body_->on_failure ? &actor_body::tell : nullptr;
    raw.stage = stage_;
    body_->note = std::move(note);
    return reinterpret_cast<std::uintptr_t>(body_.release());
  }

 private:
  Self* self() noexcept { return static_cast<Self*>(this); }

  std::string name_;
  std::unique_ptr<actor_body> body_;
  std::uint32_t stage_ = 0;
};

}  // namespace detail

/// An actor of a group: work, on a thread of its own, and what makes it return.
///
///     docache::actor("server", [&] { serve(); }).interrupt([&] { server.close(); }).stage(1)
///
/// The work is called without arguments, or with a `const docache::stop_token&` to watch. It fails
/// by throwing. The callables are destroyed with the group.
class actor : public detail::actor_base<actor> {
 public:
  template <class F>
  actor(std::string name, F work) : actor_base(std::move(name), std::move(work)) {}

 private:
  friend class run_group;
};

/// An actor of a loop: its work is called again and again.
///
///     docache::loop_actor("poll", [&] { poll(); }).pause(1s).backoff(backoff::exponential(1s))
class loop_actor : public detail::actor_base<loop_actor> {
 public:
  template <class F>
  loop_actor(std::string name, F work) : actor_base(std::move(name), std::move(work)) {}

  /// How long to wait between the end of a call and the next one, at least.
  loop_actor pause(docache::duration pause) && {
    pause_ns_ = detail::to_unsigned("pause", pause);
    return std::move(*this);
  }

  /// How long to wait after a failure, by the number of failures since the last success.
  loop_actor backoff(const docache::backoff& backoff) && {
    backoff_ = backoff;
    return std::move(*this);
  }

  /// At most `failures` in any span of this length; the next call waits for that.
  loop_actor failure_limit(std::size_t failures, docache::duration span) && {
    failure_limit_ = failures;
    failure_span_ns_ = detail::to_positive("span", span);
    return std::move(*this);
  }

 private:
  friend class run_loop;

  std::uint64_t pause_ns_ = 0;
  std::optional<docache::backoff> backoff_{};
  std::size_t failure_limit_ = 0;
  std::uint64_t failure_span_ns_ = 0;
};

}  // namespace docache

#endif  // DOCACHE_ACTOR_HPP
