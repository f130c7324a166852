/* Groups of actors in C: how they end, who is interrupted with what, stages and deadlines, groups
   and loops inside groups, retries, and what is refused. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "run.h"

/* An actor that fails ends its group: the others are interrupted with the cause. */
typedef struct server {
  gate begun, closed, told;
  atomic_uint interrupts;
  int32_t seen_kind;
  char seen_actor[32];
} server;

static docache_status serve(uintptr_t ctx, const docache_stop_token *stop,
                            docache_error **out_error) {
  server *own = (server *)ctx;
  gate_open(&own->begun, 1);
  gate_pass(&own->closed);
  CHECK_OK(docache_stop_token_wait(stop, CHECK_PATIENCE_NS, out_error));
  CHECK(docache_stop_token_is_set(stop));
  return DOCACHE_OK;
}

static void close_server(uintptr_t ctx, const docache_run_cause *cause) {
  server *own = (server *)ctx;
  CHECK_INT(cause->size, >=, sizeof *cause);
  CHECK_INT(cause->actor_len, <, sizeof own->seen_actor);
  own->seen_kind = cause->kind;
  memcpy(own->seen_actor, cause->actor, cause->actor_len);
  atomic_fetch_add(&own->interrupts, 1);
  gate_open(&own->closed, 1);
}

static docache_status fail(uintptr_t ctx, const docache_stop_token *stop,
                           docache_error **out_error) {
  CHECK(!docache_stop_token_is_set(stop));
  CHECK_STATUS(docache_stop_token_wait(stop, 0, NULL), DOCACHE_TIMEOUT);
  gate_pass(&((server *)ctx)->begun);
  CHECK_OK(docache_error_new(28, "disk full", 9, out_error, NULL));
  return DOCACHE_DOER_FAILED;
}

static void told_of_failure(uintptr_t ctx, const docache_error *error) {
  CHECK_INT(docache_error_code(error), ==, 28);
  gate_open(&((server *)ctx)->told, 1);
}

static void a_failure_ends_the_group(void) {
  server own = {.begun = GATE_INIT, .closed = GATE_INIT, .told = GATE_INIT};
  docache_run_group *group = new_run_group(0);
  docache_run_actor actor = actor_called("server", serve);
  actor.interrupt = close_server;
  CHECK_OK(docache_run_group_add(group, &actor, (uintptr_t)&own, NULL, NULL));
  actor = actor_called("disk", fail);
  actor.on_failure = told_of_failure;
  CHECK_OK(docache_run_group_add(group, &actor, (uintptr_t)&own, NULL, NULL));

  docache_run_report *report = NULL;
  docache_error *error = NULL;
  CHECK_STATUS(docache_run_group_run(group, &report, &error), DOCACHE_DOER_FAILED);
  CHECK_INT(docache_error_code(error), ==, 28);
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "disk", "disk full");
  gate_pass(&own.told);
  CHECK_INT(atomic_load(&own.interrupts), ==, 1);
  CHECK_INT(own.seen_kind, ==, DOCACHE_RUN_FAILED);
  CHECK(strcmp(own.seen_actor, "disk") == 0);

  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  CHECK_INT(cause.kind, ==, DOCACHE_RUN_FAILED);
  CHECK_STATUS(cause.status, DOCACHE_DOER_FAILED);
  CHECK_INT(docache_error_code(cause.error), ==, 28);
  CHECK_INT(cause.actor_len, ==, 4);
  CHECK(memcmp(cause.actor, "disk", 4) == 0);
  CHECK_INT(cause.message_len, >, 4);
  CHECK_STATUS(docache_run_report_cut_short(report, &cause, NULL), DOCACHE_MISS);
  CHECK_INT(docache_run_report_failures(report), ==, 1);
  CHECK_INT(docache_run_report_error_count(report), ==, 1);
  size_t len = 0;
  docache_status status = DOCACHE_OK;
  CHECK(memcmp(docache_run_report_error_actor(report, 0, &len), "disk", 4) == 0);
  CHECK_INT(len, ==, 4);
  CHECK_INT(docache_error_code(docache_run_report_error(report, 0, &status)), ==, 28);
  CHECK_STATUS(status, DOCACHE_DOER_FAILED);
  CHECK_INT(docache_run_report_unfinished_count(report), ==, 0);
  docache_run_group_free(group);
  docache_run_report_free(report);
  checked("a failure ends the group, and all are told");
}

/* Stages stop in order, and a stuck actor holds up nobody for longer than its deadline. */
typedef struct staged {
  atomic_uint *clock;
  unsigned stopped_at;
  gate *stuck; /* passed before it returns, if there is one */
  gate *begun;
} staged;

static docache_status wait_in_stage(uintptr_t ctx, const docache_stop_token *stop,
                                    docache_error **out_error) {
  (void)out_error;
  staged *own = (staged *)ctx;
  gate_open(own->begun, 1);
  CHECK_OK(docache_stop_token_wait(stop, CHECK_PATIENCE_NS, NULL));
  own->stopped_at = atomic_fetch_add(own->clock, 1) + 1;
  if (own->stuck != NULL) gate_pass(own->stuck);
  return DOCACHE_OK;
}

typedef struct stopper {
  docache_run_handle *handle;
  gate *begun;
  unsigned others;
} stopper;

/* Waits until the others have begun, and stops the group from inside. */
static docache_status stop_from_inside(uintptr_t ctx, const docache_stop_token *stop,
                                       docache_error **out_error) {
  (void)stop;
  stopper *own = (stopper *)ctx;
  for (unsigned i = 0; i < own->others; i++) gate_pass(own->begun);
  CHECK(!docache_run_handle_is_stopping(own->handle));
  CHECK_OK(docache_run_handle_stop(own->handle, out_error));
  CHECK_STATUS(docache_run_handle_stop(own->handle, out_error), DOCACHE_MISS);
  CHECK(docache_run_handle_is_stopping(own->handle));
  return DOCACHE_OK;
}

static void stages_and_a_stuck_actor(void) {
  atomic_uint clock = 0;
  gate stuck = GATE_INIT, begun = GATE_INIT;
  staged stages[3] = {
      {&clock, 0, NULL, &begun}, {&clock, 0, &stuck, &begun}, {&clock, 0, NULL, &begun}};
  docache_run_group *outer = new_run_group(0), *inner = new_run_group(1 * MS);
  docache_run_actor actor = actor_called("cache", wait_in_stage);
  actor.stage = 7;
  CHECK_OK(docache_run_group_add(outer, &actor, (uintptr_t)&stages[2], NULL, NULL));
  actor = actor_called("deaf", wait_in_stage);
  CHECK_OK(docache_run_group_add(inner, &actor, (uintptr_t)&stages[1], NULL, NULL));
  CHECK_OK(docache_run_group_add_group(outer, "storage", 7, 3, inner, NULL));
  actor = actor_called("server", wait_in_stage);
  CHECK_OK(docache_run_group_add(outer, &actor, (uintptr_t)&stages[0], NULL, NULL));
  CHECK_OK(docache_run_group_stage_deadline(outer, 0, DOCACHE_FOREVER, NULL));
  stopper stops = {NULL, &begun, 3};
  CHECK_OK(docache_run_group_handle(outer, &stops.handle, NULL));
  actor = actor_called("stops", stop_from_inside);
  CHECK_OK(docache_run_group_add(outer, &actor, (uintptr_t)&stops, NULL, NULL));

  docache_run_report *report = NULL;
  docache_error *error = NULL;
  CHECK_STATUS(docache_run_group_run(outer, &report, &error), DOCACHE_TIMEOUT);
  CHECK_ERROR(error, DOCACHE_TIMEOUT, "still running", "storage/deaf");
  CHECK_INT(stages[0].stopped_at, ==, 1);
  CHECK_INT(stages[2].stopped_at, >, 1);
  CHECK_INT(docache_run_report_unfinished_count(report), ==, 1);
  size_t len = 0;
  uint32_t parts = 0;
  const char *name = docache_run_report_unfinished(report, 0, &len, &parts);
  CHECK_INT(len, ==, strlen("storage/deaf"));
  CHECK(memcmp(name, "storage/deaf", len) == 0);
  CHECK_INT(parts, ==, DOCACHE_RUN_IN_EXECUTE);
  CHECK(docache_run_report_unfinished(report, 1, &len, &parts) == NULL);
  docache_run_report_free(report);
  gate_open(&stuck, 1);
  docache_run_group_free(outer); /* waits for it */
  CHECK_INT(stages[1].stopped_at, >, 0);
  docache_run_handle_release(stops.handle);
  checked("stages, and a stuck actor in an inner group");
}

/* A loop that is a part of a group, retries inside it, and the end of both. */
typedef struct poller {
  atomic_uint polls, attempts, failures;
  docache_run_group *group;
} poller;

static docache_status try_it(uintptr_t ctx, docache_retrier *retrier, docache_error **out_error) {
  poller *own = (poller *)ctx;
  atomic_fetch_add(&own->attempts, 1);
  CHECK_OK(docache_retrier_set_delay(retrier, 1, NULL));
  if (docache_retrier_iteration(retrier) < 3) return DOCACHE_TIMEOUT;
  CHECK_OK(docache_error_new(404, "gone", 4, out_error, NULL));
  return docache_retrier_permanent(retrier, DOCACHE_DOER_FAILED);
}

static docache_status poll_once(uintptr_t ctx, const docache_stop_token *stop,
                                docache_error **out_error) {
  poller *own = (poller *)ctx;
  if (atomic_fetch_add(&own->polls, 1) == 2) CHECK_OK(docache_run_group_stop(own->group, NULL));
  docache_backoff backoff = DOCACHE_BACKOFF_INIT;
  backoff.first_ns = 1000;
  backoff.most_ns = 1 * MS;
  docache_run_retry_options options = DOCACHE_RUN_RETRY_OPTIONS_INIT;
  options.backoff = &backoff;
  options.stop = stop;
  options.budget_ns = HOUR;
  uint64_t attempts = 0;
  const docache_status status = docache_run_retry(&options, try_it, ctx, &attempts, out_error);
  if (status != DOCACHE_CANCELLED) {
    CHECK_STATUS(status, DOCACHE_DOER_FAILED);
    CHECK_INT(docache_error_code(*out_error), ==, 404);
    CHECK_INT(attempts, ==, 3);
  }
  return status;
}

static void count_failure(uintptr_t ctx, const docache_error *error) {
  (void)error;
  atomic_fetch_add(&((poller *)ctx)->failures, 1);
}

static void a_loop_in_a_group(void) {
  poller own = {0};
  own.group = new_run_group(0);
  docache_run_loop *loop = NULL;
  CHECK_OK(docache_run_loop_new(NULL, &loop, NULL));
  docache_run_loop_actor actor = DOCACHE_RUN_LOOP_ACTOR_INIT;
  actor.name = "poll";
  actor.name_len = 4;
  actor.execute = poll_once;
  actor.on_failure = count_failure;
  actor.pause_ns = 1000;
  CHECK_OK(docache_run_loop_add(loop, &actor, (uintptr_t)&own, NULL, NULL));
  docache_run_handle *handle = NULL;
  CHECK_OK(docache_run_loop_handle(loop, &handle, NULL));
  CHECK_OK(docache_run_group_add_loop(own.group, "loop", 4, 0, loop, NULL));
  docache_run_report *report = NULL;
  CHECK_OK(docache_run_group_run(own.group, &report, NULL));
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  CHECK_INT(cause.kind, ==, DOCACHE_RUN_STOPPED);
  CHECK(docache_run_handle_is_stopping(handle));
  CHECK_INT(atomic_load(&own.polls), >=, 3);
  CHECK_INT(atomic_load(&own.failures), >=, 2);
  docache_run_report_free(report);
  docache_run_group_free(own.group);
  docache_run_handle_release(handle);
  checked("a loop inside a group, with retries");
}

static docache_status return_at_once(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  (void)ctx, (void)stop, (void)out_error;
  return DOCACHE_OK;
}

/* NULL, where it is fine and where it is refused, and what is done too late. */
static void nothing_and_too_late(void) {
  docache_run_group_free(NULL);
  docache_run_group_detach(NULL);
  docache_run_loop_free(NULL);
  docache_run_loop_detach(NULL);
  docache_run_report_free(NULL);
  docache_run_handle_release(NULL);
  CHECK(docache_run_handle_retain(NULL) == NULL);
  CHECK(!docache_run_handle_is_stopping(NULL) && !docache_stop_token_is_set(NULL));
  CHECK_INT(docache_run_report_failures(NULL), ==, 0);
  CHECK_INT(docache_run_report_error_count(NULL), ==, 0);
  CHECK_INT(docache_run_report_unfinished_count(NULL), ==, 0);
  CHECK(docache_run_report_error(NULL, 0, NULL) == NULL);
  CHECK(docache_run_report_error_actor(NULL, 0, NULL) == NULL);
  CHECK(docache_run_report_unfinished(NULL, 0, NULL, NULL) == NULL);
  CHECK_INT(docache_retrier_iteration(NULL), ==, 0);
  CHECK_INT(docache_retrier_remaining_ns(NULL), ==, DOCACHE_FOREVER);
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  REFUSED(docache_run_report_cause(NULL, &cause, &error), "report", "NULL");
  REFUSED(docache_run_report_cut_short(NULL, &cause, &error), "report", "NULL");
  REFUSED(docache_run_group_run(NULL, NULL, &error), "group", "NULL");
  REFUSED(docache_run_group_stop(NULL, &error), "group", "NULL");
  REFUSED(docache_run_group_add_group(NULL, "x", 1, 0, NULL, &error), "group", "NULL");
  REFUSED(docache_run_group_add_signals(NULL, NULL, 0, &error), "group", "NULL");
  REFUSED(docache_run_group_stage_deadline(NULL, 0, 0, &error), "group", "NULL");
  REFUSED(docache_run_loop_run(NULL, NULL, &error), "handle", "NULL");
  REFUSED(docache_run_loop_stop(NULL, &error), "handle", "NULL");
  REFUSED(docache_run_loop_stage_deadline(NULL, 0, 0, &error), "handle", "NULL");
  REFUSED(docache_run_handle_stop(NULL, &error), "handle", "NULL");
  REFUSED(docache_run_handle_stop_waiting(NULL, &error), "handle", "NULL");
  REFUSED(docache_stop_token_wait(NULL, 0, &error), "token", "NULL");
  REFUSED(docache_retrier_set_delay(NULL, 1, &error), "retrier", "NULL");
  REFUSED(docache_retrier_stop(NULL, &error), "retrier", "NULL");
  REFUSED(docache_run_retry(NULL, NULL, 0, NULL, &error), "attempt", "NULL");

  docache_run_group *group = new_run_group(0), *other = new_run_group(0);
  atomic_uint drops = 0;
  docache_run_actor actor = actor_called("late", return_at_once);
  REFUSED(docache_run_group_add(group, NULL, (uintptr_t)&drops, count_up, &error), "actor");
  CHECK_INT(atomic_load(&drops), ==, 1);
  REFUSED(docache_run_group_add_group(group, "x", 1, 0, NULL, &error), "inner", "NULL");
  REFUSED(docache_run_group_add_loop(group, "x", 1, 0, NULL, &error), "inner", "NULL");
  CHECK_OK(docache_run_group_add(group, &actor, (uintptr_t)&drops, count_up, NULL));
  docache_error *error = NULL;
  docache_run_report *report = NULL;
  CHECK_OK(docache_run_group_run(group, &report, &error));
  CHECK(report != NULL && error == NULL);
  docache_run_report_free(report);
  CHECK_STATUS(docache_run_group_run(group, &report, &error), DOCACHE_CLOSED);
  CHECK(report == NULL);
  CHECK_ERROR(error, DOCACHE_CLOSED, "has run already");
  CHECK_STATUS(docache_run_group_add(group, &actor, (uintptr_t)&drops, count_up, NULL),
               DOCACHE_CLOSED);
  CHECK_INT(atomic_load(&drops), ==, 2);
  CHECK_STATUS(docache_run_group_add_group(group, "x", 1, 0, other, NULL), DOCACHE_CLOSED);
  docache_run_group_free(other);
  docache_run_group_free(group);
  CHECK_INT(atomic_load(&drops), ==, 3);
  checked("nothing, and what is too late");
}

int main(void) {
  a_failure_ends_the_group();
  stages_and_a_stuck_actor();
  a_loop_in_a_group();
  nothing_and_too_late();
  return all_checked("run.c");
}
