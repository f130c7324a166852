/* Frees of groups and loops: inside each of their callbacks, beside their runs, of each other, with
   actors that are stuck, and after all of it nothing of them is called. */
#define _POSIX_C_SOURCE 200809L
#include "../threads.h"
#include "check.h"
#include "run.h"

/* What one of the callbacks frees, and what is counted meanwhile. */
typedef struct freed {
  docache_run_group *group;
  gate begun, stays;
  atomic_uint frees, drops, calls;
} freed;

#define FREED_INIT {.begun = GATE_INIT, .stays = GATE_INIT}

static void free_it(freed *own) {
  if (atomic_fetch_add(&own->frees, 1) > 0) return;
  docache_run_group_free(own->group);
  CHECK_INT(atomic_load(&own->drops), ==, 0); /* inside a callback: not yet */
}

static void dropped(uintptr_t ctx) { atomic_fetch_add(&((freed *)ctx)->drops, 1); }

static void await_drops(freed *own, unsigned drops) {
  const struct timespec nap = {0, 1000000};
  for (int i = 0; i < CHECK_PATIENCE_S * 1000 && atomic_load(&own->drops) < drops; i++)
    nanosleep(&nap, NULL);
  CHECK_INT(atomic_load(&own->drops), ==, drops);
}

static docache_status free_in_execute(uintptr_t ctx, const docache_stop_token *stop,
                                      docache_error **out_error) {
  free_it((freed *)ctx);
  return docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error);
}

static docache_status begin_and_wait(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  gate_open(&((freed *)ctx)->begun, 1);
  return docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error);
}

static docache_status begin_and_fail(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  (void)stop, (void)out_error;
  gate_pass(&((freed *)ctx)->begun);
  return DOCACHE_DOER_FAILED;
}

static void free_in_interrupt(uintptr_t ctx, const docache_run_cause *cause) {
  CHECK_INT(cause->kind, ==, DOCACHE_RUN_FAILED);
  free_it((freed *)ctx);
}

static void free_in_failure(uintptr_t ctx, const docache_error *error) {
  CHECK_STATUS(docache_error_status(error), DOCACHE_DOER_FAILED);
  free_it((freed *)ctx);
}

static void add(docache_run_group *group, docache_run_actor actor, freed *own) {
  CHECK_OK(docache_run_group_add(group, &actor, (uintptr_t)own, dropped, NULL));
}

static void inside_each_callback(void) {
  freed own = FREED_INIT;
  own.group = new_run_group(0);
  add(own.group, actor_called("frees", free_in_execute), &own);
  add(own.group, actor_called("other", wait_for_stop), &own);
  docache_run_report *report = NULL;
  CHECK_OK(docache_run_group_run(own.group, &report, NULL));
  docache_run_report_free(report);
  await_drops(&own, 2);

  for (int in_interrupt = 0; in_interrupt < 2; in_interrupt++) {
    freed one = FREED_INIT;
    one.group = new_run_group(0);
    docache_run_actor waits = actor_called("waits", begin_and_wait);
    if (in_interrupt) waits.interrupt = free_in_interrupt;
    docache_run_actor fails = actor_called("fails", begin_and_fail);
    if (!in_interrupt) fails.on_failure = free_in_failure;
    add(one.group, waits, &one);
    add(one.group, fails, &one);
    CHECK_STATUS(docache_run_group_run(one.group, NULL, NULL), DOCACHE_DOER_FAILED);
    await_drops(&one, 2);
  }

  freed outer = FREED_INIT;
  outer.group = new_run_group(0);
  docache_run_group *inner = new_run_group(0), *middle = new_run_group(0);
  add(inner, actor_called("frees", free_in_execute), &outer);
  CHECK_OK(docache_run_group_add_group(middle, "inner", 5, 0, inner, NULL));
  CHECK_OK(docache_run_group_add_group(outer.group, "middle", 6, 0, middle, NULL));
  CHECK_OK(docache_run_group_run(outer.group, NULL, NULL));
  await_drops(&outer, 1);
  checked("frees inside each callback");
}

static void *run_it(void *argument) {
  docache_run_report *report = NULL;
  CHECK_OK(docache_run_group_run(argument, &report, NULL));
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  CHECK_INT(cause.kind, ==, DOCACHE_RUN_STOPPED);
  docache_run_report_free(report);
  return NULL;
}

static docache_status count_and_wait(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  freed *own = (freed *)ctx;
  gate_open(&own->begun, 1);
  const docache_status status = docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error);
  const struct timespec nap = {0, 5000000};
  nanosleep(&nap, NULL);
  atomic_fetch_add(&own->calls, 1);
  return status;
}

static void beside_the_run(void) {
  for (int i = 0; i < 20; i++) {
    freed own = FREED_INIT;
    docache_run_group *group = new_run_group(0);
    for (int actor = 0; actor < 3; actor++) add(group, actor_called("works", count_and_wait), &own);
    const pthread_t runner = spawn(run_it, group);
    for (int actor = 0; actor < 3; actor++) gate_pass(&own.begun);
    docache_run_group_free(group);
    CHECK_INT(atomic_load(&own.calls), ==, 3);
    CHECK_INT(atomic_load(&own.drops), ==, 3);
    join(runner);
  }
  checked("frees beside the run");
}

/* Frees the group that the context names, once all are there. */
typedef struct other {
  pthread_barrier_t *all_are_there;
  docache_run_group *group;
  freed *counted;
} other;

static docache_status free_the_other(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  (void)stop, (void)out_error;
  other *own = (other *)ctx;
  pthread_barrier_wait(own->all_are_there);
  docache_run_group_free(own->group);
  return DOCACHE_OK;
}

static void drop_other(uintptr_t ctx) { atomic_fetch_add(&((other *)ctx)->counted->drops, 1); }

static void each_other(void) {
  enum { GROUPS = 3 };
  for (int i = 0; i < 50; i++) {
    freed counted = FREED_INIT;
    pthread_barrier_t all_are_there;
    pthread_barrier_init(&all_are_there, NULL, GROUPS);
    docache_run_group *groups[GROUPS];
    other others[GROUPS];
    for (int at = 0; at < GROUPS; at++) groups[at] = new_run_group(0);
    for (int at = 0; at < GROUPS; at++) {
      others[at] = (other){&all_are_there, groups[(at + 1) % GROUPS], &counted};
      const docache_run_actor actor = actor_called("frees", free_the_other);
      CHECK_OK(
          docache_run_group_add(groups[at], &actor, (uintptr_t)&others[at], drop_other, NULL));
    }
    pthread_t runners[GROUPS];
    for (int at = 0; at < GROUPS; at++) runners[at] = spawn(run_it, groups[at]);
    for (int at = 0; at < GROUPS; at++) join(runners[at]);
    await_drops(&counted, GROUPS);
    pthread_barrier_destroy(&all_are_there);
  }
  checked("groups that free each other in a circle");
}

/* A group and a cache of another family that free each other. */
typedef struct mixed {
  docache_run_group *group;
  docache_loop *loop;
  gate in_actor, in_doer;
  atomic_uint drops;
} mixed;

static docache_status free_loop(uintptr_t ctx, const docache_stop_token *stop,
                                docache_error **out_error) {
  (void)stop, (void)out_error;
  mixed *own = (mixed *)ctx;
  gate_open(&own->in_actor, 1);
  gate_pass(&own->in_doer);
  docache_loop_free(own->loop);
  return DOCACHE_OK;
}

static docache_status free_group(uintptr_t ctx, docache_value **out, docache_error **out_error) {
  mixed *own = (mixed *)ctx;
  gate_open(&own->in_doer, 1);
  gate_pass(&own->in_actor);
  docache_run_group_free(own->group);
  return docache_value_new((const uint8_t *)"x", 1, out, out_error);
}

static void drop_mixed(uintptr_t ctx) { atomic_fetch_add(&((mixed *)ctx)->drops, 1); }

static void a_group_and_a_loop_cache(void) {
  for (int i = 0; i < 20; i++) {
    mixed own = {.in_actor = GATE_INIT, .in_doer = GATE_INIT};
    own.group = new_run_group(0);
    docache_loop_options options = loop_options(HOUR, 0);
    CHECK_OK(
        docache_loop_new(&options, free_group, (uintptr_t)&own, drop_mixed, &own.loop, NULL));
    const docache_run_actor actor = actor_called("frees", free_loop);
    CHECK_OK(docache_run_group_add(own.group, &actor, (uintptr_t)&own, drop_mixed, NULL));
    CHECK_OK(docache_loop_start(own.loop, NULL));
    CHECK_OK(docache_run_group_run(own.group, NULL, NULL));
    const struct timespec nap = {0, 1000000};
    for (int j = 0; j < CHECK_PATIENCE_S * 1000 && atomic_load(&own.drops) < 2; j++)
      nanosleep(&nap, NULL);
    CHECK_INT(atomic_load(&own.drops), ==, 2);
  }
  checked("a group and a loop cache that free each other");
}

static docache_status stop_waiting_and_stay(uintptr_t ctx, const docache_stop_token *stop,
                                            docache_error **out_error) {
  (void)stop;
  freed *own = (freed *)ctx;
  docache_run_handle *handle = NULL;
  CHECK_OK(docache_run_group_handle(own->group, &handle, out_error));
  CHECK_OK(docache_run_handle_stop_waiting(handle, out_error));
  docache_run_handle_release(handle);
  gate_pass(&own->stays);
  atomic_fetch_add(&own->calls, 1);
  return DOCACHE_DOER_FAILED;
}

static void let_go(uintptr_t ctx, const docache_run_cause *cause) {
  CHECK_INT(cause->kind, ==, DOCACHE_RUN_STOPPED);
  gate_open(&((freed *)ctx)->stays, 1);
}

static void tell_of_it(uintptr_t ctx, const docache_error *error) {
  CHECK(error != NULL);
  atomic_fetch_add(&((freed *)ctx)->calls, 1);
}

/* The run waits for nobody, so the actor and its interrupt may be anywhere when it is freed. */
static void what_was_left_behind(bool detached) {
  for (int i = 0; i < 100; i++) {
    freed own = FREED_INIT;
    own.group = new_run_group(0);
    docache_run_actor actor = actor_called("stays", stop_waiting_and_stay);
    actor.interrupt = let_go;
    actor.on_failure = tell_of_it;
    add(own.group, actor, &own);
    docache_run_report *report = NULL;
    const docache_status status = docache_run_group_run(own.group, &report, NULL);
    CHECK(status == DOCACHE_OK || status == DOCACHE_TIMEOUT);
    docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
    CHECK_OK(docache_run_report_cut_short(report, &cause, NULL));
    docache_run_report_free(report);
    if (detached) {
      docache_run_group_detach(own.group);
      await_drops(&own, 1);
    } else {
      docache_run_group_free(own.group);
      CHECK_INT(atomic_load(&own.drops), ==, 1);
    }
    CHECK_INT(atomic_load(&own.calls), ==, 2);
  }
  checked(detached ? "what was left behind, detached" : "what was left behind, and waited for");
}

static docache_status free_own_loop(uintptr_t ctx, const docache_stop_token *stop,
                                    docache_error **out_error) {
  (void)stop, (void)out_error;
  docache_run_loop **place = (docache_run_loop **)ctx;
  docache_run_loop_free(*place);
  *place = NULL;
  return DOCACHE_DOER_FAILED;
}

static void loops(void) {
  docache_run_loop *loop = NULL;
  CHECK_OK(docache_run_loop_new(NULL, &loop, NULL));
  docache_run_loop_actor actor = DOCACHE_RUN_LOOP_ACTOR_INIT;
  actor.name = "frees";
  actor.name_len = 5;
  actor.execute = free_own_loop;
  docache_run_loop *freed_inside = loop;
  CHECK_OK(docache_run_loop_add(loop, &actor, (uintptr_t)&freed_inside, NULL, NULL));
  CHECK_OK(docache_run_loop_run(loop, NULL, NULL));
  CHECK(freed_inside == NULL);
  checked("a loop that its own actor frees");
}

int main(void) {
  inside_each_callback();
  beside_the_run();
  each_other();
  a_group_and_a_loop_cache();
  what_was_left_behind(false);
  what_was_left_behind(true);
  loops();
  CHECK(await_end_of_threads());
  CHECK_OK(docache_shutdown());
  return all_checked("run_free.c");
}
