/// Groups of actors, and loops, of docache.hpp. Include docache.hpp.
#ifndef DOCACHE_RUN_HPP
#define DOCACHE_RUN_HPP

#include "actor.hpp"

namespace docache {

/// What makes a group stop by itself.
enum class stop_on : std::uint32_t {
  /// The first actor that fails, or that all have returned.
  failure = DOCACHE_STOP_ON_FAILURE,
  /// The first actor that returns, with an exception or without.
  any_return = DOCACHE_STOP_ON_RETURN,
};

/// An actor that failed, and what with.
struct actor_failure {
  std::string actor{};
  docache::error error;
};

/// An actor that had not stopped in time.
struct unfinished_actor {
  std::string name{};
  bool in_execute = false;
  bool in_interrupt = false;
};

/// How a group or a loop ended.
struct run_report {
  run_cause cause{};
  /// What ended the wait for the actors before their deadlines, if something did.
  std::optional<run_cause> cut_short{};
  /// The last failure of each actor that failed.
  std::vector<actor_failure> errors{};
  /// How many executions failed; in a loop there may be many of one actor.
  std::uint64_t failures = 0;
  /// Who had not stopped in time. Their threads go on.
  std::vector<unfinished_actor> unfinished{};
  /// What run() would throw; null if it would throw nothing.
  std::exception_ptr failure{};

  /// Whether it ended without a failure.
  bool ok() const noexcept { return failure == nullptr; }

  /// Throws what run() would throw, if there is something.
  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
  }
};

/// A run that failed with no exception of an actor's: actors had not stopped in time, or there was
/// no thread for one.
class run_error : public error {
 public:
  run_error(docache_status status, const std::string& message, std::shared_ptr<const run_report> of)
      : error(status, message), report_(std::move(of)) {}

  /// How the run ended.
  const run_report& report() const noexcept { return *report_; }

 private:
  std::shared_ptr<const run_report> report_;
};

/// Stops a group or a loop from anywhere, one of its own actors included. Copies are of the same
/// group, which they may outlive.
class run_handle {
 public:
  run_handle(const run_handle& other) noexcept : raw_(docache_run_handle_retain(other.raw_)) {}
  run_handle(run_handle&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  run_handle& operator=(run_handle other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~run_handle() { docache_run_handle_release(raw_); }

  /// Has it stop, and returns at once; whether this call is what stops it.
  bool stop() const noexcept { return docache_run_handle_stop(raw_, nullptr) == DOCACHE_OK; }

  /// The same, and ends the wait for its actors.
  void stop_waiting() const noexcept { docache_run_handle_stop_waiting(raw_, nullptr); }

  /// Whether it is to stop, or has stopped.
  bool is_stopping() const noexcept { return docache_run_handle_is_stopping(raw_); }

 private:
  friend class run_group;
  friend class run_loop;
  explicit run_handle(docache_run_handle* owned) noexcept : raw_(owned) {}

  docache_run_handle* raw_;
};

namespace detail {

inline run_report to_report(const docache_run_report* raw) {
  run_report out;
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  error_slot slot;
  expect(docache_run_report_cause(raw, &cause, slot.out()), slot);
  out.cause = to_cause(cause);
  if (docache_run_report_cut_short(raw, &cause, nullptr) == DOCACHE_OK) {
    out.cut_short = to_cause(cause);
  }
  out.failures = docache_run_report_failures(raw);
  std::size_t length = 0;
  for (std::size_t i = 0; i < docache_run_report_error_count(raw); ++i) {
    docache_status status = DOCACHE_OK;
    const char* name = docache_run_report_error_actor(raw, i, &length);
    const docache_error* error = docache_run_report_error(raw, i, &status);
    out.errors.push_back(actor_failure{std::string(name, length), to_error(status, error)});
  }
  for (std::size_t i = 0; i < docache_run_report_unfinished_count(raw); ++i) {
    std::uint32_t parts = 0;
    const char* name = docache_run_report_unfinished(raw, i, &length, &parts);
    out.unfinished.push_back(unfinished_actor{std::string(name, length),
                                              (parts & DOCACHE_RUN_IN_EXECUTE) != 0,
                                              (parts & DOCACHE_RUN_IN_INTERRUPT) != 0});
  }
  return out;
}

/// Runs something, and says what came of it. Throws if it was not run.
template <class Run>
run_report run_to_end(Run run, thrown& note) {
  struct release {
    void operator()(docache_run_report* raw) const noexcept { docache_run_report_free(raw); }
  };
  error_slot slot;
  docache_run_report* out = nullptr;
  const docache_status status = run(&out, slot.out());
  const std::unique_ptr<docache_run_report, release> raw(out);
  if (!raw) throw to_error(status, slot.get());
  run_report report = to_report(raw.get());
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  docache_run_report_cause(raw.get(), &cause, nullptr);
  if (cause.error != nullptr) report.failure = note.find(cause.error);
  if (!report.failure) report.failure = note.find(nullptr);
  if (!report.failure && status != DOCACHE_OK) {
    const auto error = to_error(status, slot.get());
    report.failure = std::make_exception_ptr(
        run_error(error.status(), error.what(), std::make_shared<const run_report>(report)));
  }
  return report;
}

}  // namespace detail

/// How a loop is to be.
struct run_loop_options {
  /// The target of log records; "docache-loop" if empty.
  std::string name{};
  /// Told of failures, and of who has not stopped.
  docache::logger logger{};
  /// How long the actors of each stage may take to stop.
  timeout deadline = forever;
};

/// How a group is to be.
struct run_group_options {
  /// The target of log records; "docache-run" if empty.
  std::string name{};
  /// Told why the group stops, of failures, and of who has not stopped.
  docache::logger logger{};
  /// How long the actors of each stage may take to stop.
  timeout deadline = forever;
  docache::stop_on stop_on = docache::stop_on::failure;
};

/// Actors that are repeated, each on a thread of its own, until the loop is stopped, whatever they
/// throw. It is run once. See run_group for what else holds.
class run_loop {
 public:
  explicit run_loop(const run_loop_options& options = {}) : raw_(make(options)) {}

  run_loop(const run_loop&) = delete;
  run_loop& operator=(const run_loop&) = delete;
  run_loop(run_loop&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  run_loop& operator=(run_loop&& other) noexcept {
    docache_run_loop_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    return *this;
  }
  ~run_loop() { docache_run_loop_free(raw_); }

  /// Adds an actor.
  run_loop& add(loop_actor added) {
    docache_run_loop_actor raw = DOCACHE_RUN_LOOP_ACTOR_INIT;
    const auto context = added.give(raw, nullptr);
    raw.pause_ns = added.pause_ns_;
    raw.backoff = added.backoff_ ? &added.backoff_->raw() : nullptr;
    raw.failure_limit = added.failure_limit_;
    raw.failure_span_ns = added.failure_span_ns_;
    detail::error_slot slot;
    detail::expect(
        docache_run_loop_add(raw_, &raw, context, &detail::drop<detail::actor_body>, slot.out()),
        slot);
    return *this;
  }

  /// Gives a stage a deadline of its own.
  run_loop& stage_deadline(std::uint32_t stage, timeout limit) {
    detail::error_slot slot;
    detail::expect(
        docache_run_loop_stage_deadline(raw_, stage, limit.nanoseconds(), slot.out()), slot);
    return *this;
  }

  /// What stops it from anywhere.
  run_handle handle() const {
    detail::error_slot slot;
    docache_run_handle* owned = nullptr;
    detail::expect(docache_run_loop_handle(raw_, &owned, slot.out()), slot);
    return run_handle(owned);
  }

  /// Has it stop, and returns at once; whether this call is what stops it.
  bool stop() noexcept { return docache_run_loop_stop(raw_, nullptr) == DOCACHE_OK; }

  /// Repeats the actors, and blocks until it was stopped and they have stopped, or been given up.
  /// Throws run_error if they have not.
  run_report run() {
    run_report report = try_run();
    report.rethrow();
    return report;
  }

  /// The same, but what it would throw is in the report. Still throws DOCACHE_BUSY if it runs, and
  /// DOCACHE_CLOSED if it has run.
  run_report try_run() {
    detail::thrown nothing;
    const auto run = [this](docache_run_report** out, docache_error** error) {
      return docache_run_loop_run(raw_, out, error);
    };
    return detail::run_to_end(run, nothing);
  }

  /// Lets go of it without waiting; see run_group::detach.
  void detach() noexcept { docache_run_loop_detach(std::exchange(raw_, nullptr)); }

 private:
  friend class run_group;

  static docache_run_loop* make(const run_loop_options& options) {
    detail::check_version();
    docache_run_loop_options raw = DOCACHE_RUN_LOOP_OPTIONS_INIT;
    raw.name = options.name.data();
    raw.name_len = options.name.size();
    raw.logger = options.logger.handle();
    raw.deadline_ns = detail::to_limit(options.deadline);
    detail::error_slot slot;
    docache_run_loop* out = nullptr;
    detail::expect(docache_run_loop_new(&raw, &out, slot.out()), slot);
    return out;
  }

  docache_run_loop* raw_;
};

/// Actors that run together and stop together: when the first one throws, when it is told to, or at
/// a signal. It is run once.
///
/// Callables are called on threads of the library, and destroyed with the group. Everything but
/// move, assignment and the destructor may be called from any thread; add what there is to add
/// before run().
class run_group {
 public:
  explicit run_group(const run_group_options& options = {}) : raw_(make(options)) {}

  run_group(const run_group&) = delete;
  run_group& operator=(const run_group&) = delete;
  run_group(run_group&& other) noexcept
      : raw_(std::exchange(other.raw_, nullptr)), note_(std::move(other.note_)) {}
  run_group& operator=(run_group&& other) noexcept {
    docache_run_group_free(std::exchange(raw_, std::exchange(other.raw_, nullptr)));
    note_ = std::move(other.note_);
    return *this;
  }

  /// Stops it, and blocks until all of its callables have returned, those of actors that run() left
  /// behind included; then it destroys them. Inside one of them it does not block, and that happens
  /// when the run and the callable are over.
  ~run_group() { docache_run_group_free(raw_); }

  /// Adds an actor.
  run_group& add(actor added) {
    docache_run_actor raw = DOCACHE_RUN_ACTOR_INIT;
    const auto context = added.give(raw, note_);
    detail::error_slot slot;
    detail::expect(
        docache_run_group_add(raw_, &raw, context, &detail::drop<detail::actor_body>, slot.out()),
        slot);
    return *this;
  }

  /// Adds another group as an actor, with stages and deadlines of its own. Its failures are this
  /// one's too. If this throws, `inner` is as it was.
  run_group& add(const std::string& name, run_group&& inner, std::uint32_t stage = 0) {
    detail::error_slot slot;
    detail::expect(docache_run_group_add_group(raw_, name.data(), name.size(), stage, inner.raw_,
                                               slot.out()),
                   slot);
    inner.raw_ = nullptr;
    note_->include(std::move(inner.note_));
    return *this;
  }

  /// Adds a loop as an actor, which stops only when it is interrupted. If this throws, `inner` is
  /// as it was.
  run_group& add(const std::string& name, run_loop&& inner, std::uint32_t stage = 0) {
    detail::error_slot slot;
    detail::expect(docache_run_group_add_loop(raw_, name.data(), name.size(), stage, inner.raw_,
                                              slot.out()),
                   slot);
    inner.raw_ = nullptr;
    return *this;
  }

  /// Has the group stop when the process is sent one of these signals, by number; with none, SIGINT
  /// or SIGTERM. A second one while it stops ends the wait for its actors. Throws
  /// DOCACHE_UNSUPPORTED if the library was built without signals.
  run_group& add_signals(const std::vector<int>& signals = {}) {
    detail::error_slot slot;
    detail::expect(
        docache_run_group_add_signals(raw_, signals.data(), signals.size(), slot.out()), slot);
    return *this;
  }

  /// Gives a stage a deadline of its own.
  run_group& stage_deadline(std::uint32_t stage, timeout limit) {
    detail::error_slot slot;
    detail::expect(
        docache_run_group_stage_deadline(raw_, stage, limit.nanoseconds(), slot.out()), slot);
    return *this;
  }

  /// What stops it from anywhere.
  run_handle handle() const {
    detail::error_slot slot;
    docache_run_handle* owned = nullptr;
    detail::expect(docache_run_group_handle(raw_, &owned, slot.out()), slot);
    return run_handle(owned);
  }

  /// Has it stop, and returns at once; whether this call is what stops it.
  bool stop() noexcept { return docache_run_group_stop(raw_, nullptr) == DOCACHE_OK; }

  /// Runs the actors, each on a thread of its own, and blocks until they have stopped, or been
  /// given up at the deadlines of their stages.
  ///
  /// Throws what the actor threw that was the cause, unchanged; else what an interrupt or a failure
  /// handler threw; else run_error, if actors have not stopped or there was no thread for one.
  run_report run() {
    run_report report = try_run();
    report.rethrow();
    return report;
  }

  /// The same, but what it would throw is in the report. Still throws DOCACHE_BUSY if it runs, and
  /// DOCACHE_CLOSED if it has run.
  run_report try_run() {
    // The group may be destroyed meanwhile.
    const std::shared_ptr<detail::thrown> note = note_;
    if (!note) detail::refuse("group", "one that was moved from", "run a group once");
    const auto run = [this](docache_run_report** out, docache_error** error) {
      return docache_run_group_run(raw_, out, error);
    };
    return detail::run_to_end(run, *note);
  }

  /// Lets go of it without waiting, for programs that go on although an actor is stuck. What runs
  /// goes on until it is over, so what its callables refer to must be there until then.
  void detach() noexcept { docache_run_group_detach(std::exchange(raw_, nullptr)); }

 private:
  static docache_run_group* make(const run_group_options& options) {
    detail::check_version();
    docache_run_group_options raw = DOCACHE_RUN_GROUP_OPTIONS_INIT;
    raw.name = options.name.data();
    raw.name_len = options.name.size();
    raw.logger = options.logger.handle();
    raw.deadline_ns = detail::to_limit(options.deadline);
    raw.stop_on = static_cast<std::uint32_t>(options.stop_on);
    detail::error_slot slot;
    docache_run_group* out = nullptr;
    detail::expect(docache_run_group_new(&raw, &out, slot.out()), slot);
    return out;
  }

  docache_run_group* raw_;
  std::shared_ptr<detail::thrown> note_ = std::make_shared<detail::thrown>();
};

}  // namespace docache

#endif  // DOCACHE_RUN_HPP
