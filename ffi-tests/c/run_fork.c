/* Groups and forks: a child makes and runs its own, runs what its parent had not run yet, and frees
   what its parent runs, also if the fork fell into an actor or came from one. */
#define _GNU_SOURCE
#include "check.h"
#include "child.h"
#include "run.h"

enum { CHILDREN = 10 };

typedef struct state {
  docache_run_group *group, *idle;
  docache_run_handle *handle;
  gate begun;
  atomic_uint runs, drops;
  int report; /* in a child of the logger's: where it reports to */
} state;

static docache_status count(uintptr_t ctx, const docache_stop_token *stop,
                            docache_error **out_error) {
  (void)stop, (void)out_error;
  atomic_fetch_add(&((state *)ctx)->runs, 1);
  return DOCACHE_OK;
}

static docache_status begin(uintptr_t ctx, const docache_stop_token *stop,
                            docache_error **out_error) {
  gate_open(&((state *)ctx)->begun, 1);
  return wait_for_stop(ctx, stop, out_error);
}

static void dropped(uintptr_t ctx) { atomic_fetch_add(&((state *)ctx)->drops, 1); }

static docache_run_group *group_of(state *own, docache_run_execute_fn execute) {
  docache_run_group *group = new_run_group(0);
  const docache_run_actor actor = actor_called("actor", execute);
  CHECK_OK(docache_run_group_add(group, &actor, (uintptr_t)own, dropped, NULL));
  return group;
}

/* A group of the child's own, with an inner one and with signals. */
static void run_own(state *own) {
  const unsigned runs = atomic_load(&own->runs);
  docache_run_group *outer = group_of(own, count);
  CHECK_OK(
      docache_run_group_add_group(outer, "inner", 5, 0, group_of(own, count), NULL));
  const docache_status signals = docache_run_group_add_signals(outer, NULL, 0, NULL);
  CHECK(signals == DOCACHE_OK || signals == DOCACHE_UNSUPPORTED);
  CHECK_INT(run_and_free(outer, DOCACHE_OK), ==, DOCACHE_RUN_FINISHED);
  CHECK_INT(atomic_load(&own->runs), ==, runs + 2);
}

/* The parent's that runs is over; it can be freed, and the one that does not run yet can be run. */
static void use_and_free(state *own) {
  const unsigned drops = atomic_load(&own->drops);
  CHECK_STATUS(docache_run_handle_stop(own->handle, NULL), DOCACHE_MISS);
  CHECK(docache_run_handle_is_stopping(own->handle));
  CHECK_STATUS(docache_run_group_run(own->group, NULL, NULL), DOCACHE_CLOSED);
  docache_run_group_free(own->group);
  CHECK_INT(atomic_load(&own->drops), ==, drops + 1);
  docache_run_handle_release(own->handle);
  CHECK_INT(run_and_free(own->idle, DOCACHE_OK), ==, DOCACHE_RUN_FINISHED);
  CHECK_INT(atomic_load(&own->drops), ==, drops + 2);
  run_own(own);
}

static void *run_it(void *argument) {
  CHECK_OK(docache_run_group_run(argument, NULL, NULL));
  return NULL;
}

static void beside_a_run(void) {
  state own = {.begun = GATE_INIT};
  own.group = group_of(&own, begin);
  own.idle = group_of(&own, count);
  CHECK_OK(docache_run_group_handle(own.group, &own.handle, NULL));
  const pthread_t runner = spawn(run_it, own.group);
  gate_pass(&own.begun);
  for (int i = 0; i < CHILDREN; i++) IN_CHILD(use_and_free, &own);
  CHECK_OK(docache_run_handle_stop(own.handle, NULL));
  join(runner);
  docache_run_handle_release(own.handle);
  docache_run_group_free(own.group);
  CHECK_INT(run_and_free(own.idle, DOCACHE_OK), ==, DOCACHE_RUN_FINISHED);
  CHECK_INT(atomic_load(&own.drops), ==, 2);
  checked("children of a process that runs a group");
}

/* In the child the actor goes on; its group is over, and ends when the actor has returned. */
static void free_in_child(state *own) {
  docache_run_group_free(own->group);
  CHECK_INT(atomic_load(&own->drops), ==, 0);
  run_own(own);
}

static docache_status fork_inside(uintptr_t ctx, const docache_stop_token *stop,
                                  docache_error **out_error) {
  (void)stop, (void)out_error;
  IN_CHILD(free_in_child, (state *)ctx);
  return DOCACHE_OK;
}

static void inside_an_actor(void) {
  state own = {.begun = GATE_INIT};
  own.group = group_of(&own, fork_inside);
  CHECK_INT(run_and_free(own.group, DOCACHE_OK), ==, DOCACHE_RUN_FINISHED);
  CHECK_INT(atomic_load(&own.drops), ==, 1);
  checked("an actor that forks");
}

/* The logger, on the thread of the run, forks: in the child the run returns at once. */
static void fork_in_logger(uintptr_t ctx, const docache_log_record *record) {
  (void)record;
  state *own = (state *)ctx;
  if (atomic_fetch_add(&own->runs, 1) == 0) own->report = fork_and_wait();
}

static docache_status stop_it(uintptr_t ctx, const docache_stop_token *stop,
                              docache_error **out_error) {
  (void)stop;
  gate_pass(&((state *)ctx)->begun);
  return docache_run_group_stop(((state *)ctx)->group, out_error);
}

static void inside_the_run(void) {
  state own = {.begun = GATE_INIT};
  docache_run_group_options options = DOCACHE_RUN_GROUP_OPTIONS_INIT;
  CHECK_OK(docache_logger_new(fork_in_logger, (uintptr_t)&own, NULL, DOCACHE_LEVEL_INFO,
                              &options.logger, NULL));
  CHECK_OK(docache_run_group_new(&options, &own.group, NULL));
  docache_logger_release(options.logger);
  docache_run_actor actor = actor_called("waits", begin);
  CHECK_OK(docache_run_group_add(own.group, &actor, (uintptr_t)&own, dropped, NULL));
  actor = actor_called("stops", stop_it);
  CHECK_OK(docache_run_group_add(own.group, &actor, (uintptr_t)&own, dropped, NULL));
  docache_run_report *report = NULL;
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_OK(docache_run_group_run(own.group, &report, NULL));
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  docache_run_report_free(report);
  docache_run_group_free(own.group);
  CHECK_INT(atomic_load(&own.drops), ==, 2);
  CHECK_INT(cause.kind, ==, own.report != 0 ? DOCACHE_RUN_FORKED : DOCACHE_RUN_STOPPED);
  if (own.report != 0) end_well(own.report);
  CHECK_INT(atomic_load(&own.runs), >, 0);
  checked("a run that forks");
}

/* Who listens to signals does so in the process in which that was asked for. */
static void run_the_parents_signals(state *own) {
  docache_run_report *report = NULL;
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  docache_error *error = NULL;
  CHECK_STATUS(docache_run_group_run(own->idle, &report, &error), DOCACHE_DOER_FAILED);
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "signals", "parent");
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  CHECK(cause.kind == DOCACHE_RUN_FAILED && cause.status == DOCACHE_DOER_FAILED);
  docache_run_report_free(report);
  docache_run_group_free(own->idle);
  run_own(own);
}

static void signals_of_the_parent(void) {
  state own = {.begun = GATE_INIT};
  own.idle = group_of(&own, wait_for_stop);
  const docache_status added = docache_run_group_add_signals(own.idle, NULL, 0, NULL);
  if (added == DOCACHE_OK) IN_CHILD(run_the_parents_signals, &own);
  docache_run_group_free(own.idle);
  checked("a child does not listen to its parent's signals");
}

int main(void) {
  state own = {.begun = GATE_INIT};
  for (int i = 0; i < CHILDREN; i++) IN_CHILD(run_own, &own);
  checked("children that run groups of their own");
  beside_a_run();
  inside_an_actor();
  inside_the_run();
  signals_of_the_parent();
  return all_checked("run_fork.c");
}
