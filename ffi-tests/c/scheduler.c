/* Schedulers in C: calls that come later and those that are taken back, loop caches on a few
   threads, frees inside callbacks and of each other, shutdowns, and what is refused. */
#define _POSIX_C_SOURCE 200809L
#include "scheduler.h"

#include "../threads.h"

static void calls_and_cancels(void) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  docache_scheduler *scheduler = new_scheduler();
  CHECK_INT(threads_called("docache-sched"), ==, 0);
  docache_scheduled *later = call_after(scheduler, HOUR, count_call, &work);
  CHECK(docache_scheduled_is_waiting(later));
  CHECK_OK(docache_scheduled_cancel(later, NULL));
  CHECK_INT(atomic_load(&work.drops), ==, 1);
  CHECK_STATUS(docache_scheduled_cancel(later, NULL), DOCACHE_MISS);
  CHECK(!docache_scheduled_is_waiting(later));
  docache_scheduled_free(later);

  docache_scheduled *now = call_after(scheduler, 0, begin_and_stay, &work);
  gate_pass(&work.begun);
  CHECK_STATUS(docache_scheduled_cancel(now, NULL), DOCACHE_MISS);
  docache_scheduled_free(now);
  call_later(scheduler, 1 * MS, count_call, &work);
  await_work_drops(&work, 2);
  CHECK_INT(atomic_load(&work.calls), ==, 1);
  gate_open(&work.stays, 1);
  await_work_drops(&work, 3);

  docache_scheduler_counters counters = DOCACHE_SCHEDULER_COUNTERS_INIT;
  const struct timespec nap = {0, 1000000};
  for (int i = 0; i < CHECK_PATIENCE_S * 1000 && counters.calls < 2; i++) {
    CHECK_OK(docache_scheduler_stats(scheduler, &counters, NULL));
    nanosleep(&nap, NULL);
  }
  CHECK(counters.calls == 2 && counters.scheduled == 0 && counters.panics == 0);
  docache_scheduler_free(scheduler);
  checked("calls that come and calls that are taken back");
}

static void *free_it(void *scheduler) {
  docache_scheduler_free(scheduler);
  return NULL;
}

static void frees(void) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  docache_scheduler *scheduler = new_scheduler();
  docache_scheduled *later = call_after(scheduler, HOUR, count_call, &work);
  call_later(scheduler, UINT64_MAX, count_call, &work);
  call_later(scheduler, 0, begin_and_stay, &work);
  gate_pass(&work.begun);
  const pthread_t freeing = spawn(free_it, scheduler);
  const struct timespec nap = {0, 1000000};
  while (docache_scheduled_is_waiting(later)) nanosleep(&nap, NULL);
  CHECK_INT(atomic_load(&work.calls), ==, 0);
  gate_open(&work.stays, 1);
  join(freeing);
  CHECK_INT(atomic_load(&work.calls), ==, 1);
  CHECK_INT(atomic_load(&work.drops), ==, 3);
  CHECK_STATUS(docache_scheduled_cancel(later, NULL), DOCACHE_MISS);
  docache_scheduled_free(later);
  checked("a free waits for what is under way and lets go of what waits");
}

static void free_inside(uintptr_t ctx) {
  scheduled_work *work = (scheduled_work *)ctx;
  docache_scheduler_free(work->scheduler);
  CHECK_INT(atomic_load(&work->drops), ==, 0); /* inside a callback: not yet */
}

/* Frees the scheduler of another one, once all are there. */
typedef struct other {
  pthread_barrier_t *all_are_there;
  docache_scheduler *scheduler;
  atomic_uint *drops;
} other;

static void free_the_other(uintptr_t ctx) {
  other *own = (other *)ctx;
  pthread_barrier_wait(own->all_are_there);
  docache_scheduler_free(own->scheduler);
}

static void drop_other(uintptr_t ctx) { atomic_fetch_add(((other *)ctx)->drops, 1); }

static void frees_inside(void) {
  for (int i = 0; i < 20; i++) {
    scheduled_work work = SCHEDULED_WORK_INIT;
    docache_scheduler *scheduler = work.scheduler = new_scheduler();
    call_later(scheduler, HOUR, count_call, &work);
    call_later(scheduler, 0, free_inside, &work); /* which may free it before this returns */
    await_work_drops(&work, 2);
    CHECK_INT(atomic_load(&work.calls), ==, 0);
  }
  checked("a call that frees its own scheduler");

  enum { SCHEDULERS = 3 };
  for (int i = 0; i < 20; i++) {
    atomic_uint drops = 0;
    pthread_barrier_t all_are_there;
    pthread_barrier_init(&all_are_there, NULL, SCHEDULERS);
    docache_scheduler *schedulers[SCHEDULERS];
    other others[SCHEDULERS];
    for (int at = 0; at < SCHEDULERS; at++) schedulers[at] = new_scheduler();
    for (int at = 0; at < SCHEDULERS; at++) {
      others[at] = (other){&all_are_there, schedulers[(at + 1) % SCHEDULERS], &drops};
      CHECK_OK(docache_scheduler_call_after(schedulers[at], 0, free_the_other,
                                            (uintptr_t)&others[at], drop_other, NULL, NULL));
    }
    const struct timespec nap = {0, 1000000};
    for (int j = 0; j < CHECK_PATIENCE_S * 1000 && atomic_load(&drops) < SCHEDULERS; j++)
      nanosleep(&nap, NULL);
    CHECK_INT(atomic_load(&drops), ==, SCHEDULERS);
    CHECK_OK(docache_shutdown()); /* nobody is at the barrier any more */
    pthread_barrier_destroy(&all_are_there);
  }
  checked("schedulers that free each other in a circle");
}

static void loops(void) {
  enum { LOOPS = 100 };
  static test_doer doers[LOOPS];
  docache_loop *of[LOOPS];
  docache_scheduler *scheduler = new_scheduler();
  for (int i = 0; i < LOOPS; i++) {
    doers[i] = (test_doer)TEST_DOER_INIT;
    of[i] = new_loop_on(scheduler, &doers[i], 1 * MS);
    CHECK_OK(docache_loop_start(of[i], NULL));
  }
  for (int i = 0; i < LOOPS; i++) wait_for_version(of[i], 3);
  docache_scheduler_counters counters = DOCACHE_SCHEDULER_COUNTERS_INIT;
  CHECK_OK(docache_scheduler_stats(scheduler, &counters, NULL));
  CHECK_INT(counters.scheduled, ==, LOOPS);
  CHECK_INT(threads_called("docache-loop"), ==, 0);

  docache_scheduler_free(scheduler); /* they have shares */
  refresh_now(of[0]);
  CHECK_OK(docache_loop_stop(of[0], DOCACHE_FOREVER, NULL));
  CHECK(!docache_loop_is_running(of[0]));
  CHECK_OK(docache_loop_start(of[0], NULL));
  refresh_now(of[0]);
  for (int i = 0; i < LOOPS; i++) {
    docache_loop_free(of[i]);
    CHECK_DOER_GONE(&doers[i]);
  }
  checked("many loop caches on a few threads, which outlive the scheduler's handle");
}

/* A loop whose Doer frees it, and one whose Doer and a call free each other's objects. */
typedef struct mixed {
  docache_scheduler *scheduler;
  docache_loop *loop;
  gate in_call, in_doer;
  atomic_uint drops;
} mixed;

static void drop_mixed(uintptr_t ctx) { atomic_fetch_add(&((mixed *)ctx)->drops, 1); }

static void free_loop(uintptr_t ctx) {
  mixed *own = (mixed *)ctx;
  gate_open(&own->in_call, 1);
  gate_pass(&own->in_doer);
  docache_loop_free(own->loop);
}

static docache_status free_scheduler(uintptr_t ctx, docache_value **out,
                                     docache_error **out_error) {
  mixed *own = (mixed *)ctx;
  gate_open(&own->in_doer, 1);
  gate_pass(&own->in_call);
  docache_scheduler_free(own->scheduler);
  return docache_value_new((const uint8_t *)"x", 1, out, out_error);
}

static docache_status free_own_loop(uintptr_t ctx, docache_value **out, docache_error **out_error) {
  mixed *own = (mixed *)ctx;
  docache_loop_free(own->loop);
  CHECK_INT(atomic_load(&own->drops), ==, 0); /* inside a callback: not yet */
  return docache_value_new((const uint8_t *)"x", 1, out, out_error);
}

static void loop_frees(void) {
  for (int i = 0; i < 40; i++) {
    const bool own_loop = i % 2 == 0;
    mixed own = {.in_call = GATE_INIT, .in_doer = GATE_INIT};
    docache_scheduler *scheduler = own.scheduler = new_scheduler();
    docache_loop_options options = loop_options(HOUR, 0);
    options.scheduler = scheduler;
    CHECK_OK(docache_loop_new(&options, own_loop ? free_own_loop : free_scheduler, (uintptr_t)&own,
                              drop_mixed, &own.loop, NULL));
    CHECK_OK(docache_loop_start(own.loop, NULL));
    if (!own_loop) {
      CHECK_OK(docache_scheduler_call_after(scheduler, 0, free_loop, (uintptr_t)&own, drop_mixed,
                                            NULL, NULL));
    }
    const unsigned expected = own_loop ? 1 : 2;
    const struct timespec nap = {0, 1000000};
    for (int j = 0; j < CHECK_PATIENCE_S * 1000 && atomic_load(&own.drops) < expected; j++)
      nanosleep(&nap, NULL);
    CHECK_INT(atomic_load(&own.drops), ==, expected);
    if (own_loop) docache_scheduler_free(scheduler);
    CHECK_OK(docache_shutdown()); /* nobody is in them any more */
  }
  checked("loop caches that are freed inside calls of their scheduler's threads");
}

static void shutdowns(void) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  test_doer doer = TEST_DOER_INIT;
  docache_scheduler *scheduler = new_scheduler();
  docache_loop *loop = new_loop_on(scheduler, &doer, HOUR);
  CHECK_OK(docache_loop_start(loop, NULL));
  wait_for_version(loop, 1);
  call_later(scheduler, HOUR, count_call, &work);
  call_later(scheduler, 0, begin_and_stay, &work);
  gate_pass(&work.begun);
  docache_error *error = NULL;
  CHECK_STATUS(docache_scheduler_shutdown(scheduler, 1, &error), DOCACHE_TIMEOUT);
  CHECK_ERROR(error, DOCACHE_TIMEOUT, "under way");
  CHECK_INT(atomic_load(&work.drops), ==, 1);
  gate_open(&work.stays, 1);
  CHECK_OK(docache_scheduler_shutdown(scheduler, DOCACHE_FOREVER, NULL));
  CHECK_INT(atomic_load(&work.drops), ==, 2);
  CHECK_STATUS(docache_scheduler_call_after(scheduler, 0, count_call, (uintptr_t)&work,
                                            work_dropped, NULL, &error),
               DOCACHE_CLOSED);
  CHECK_ERROR(error, DOCACHE_CLOSED, "shut down");
  CHECK_INT(atomic_load(&work.drops), ==, 3);
  CHECK(!docache_loop_is_running(loop));
  CHECK_STATUS(docache_loop_start(loop, NULL), DOCACHE_CLOSED);
  docache_scheduler_free(scheduler);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("a shutdown ends calls and loop caches");
}

/* While the only worker is in a call, an alarm watches what is due. */
static void alarms(void) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  docache_scheduler_options options = DOCACHE_SCHEDULER_OPTIONS_INIT;
  options.workers = options.max_workers = 1;
  docache_scheduler *scheduler = NULL;
  CHECK_OK(docache_scheduler_new(&options, &scheduler, NULL));
  call_later(scheduler, 0, begin_and_stay, &work);
  gate_pass(&work.begun);
  call_later(scheduler, HOUR, count_call, &work);
  gate_open(&work.stays, 1);
  docache_scheduler_free(scheduler);
  CHECK_OK(docache_shutdown());
  checked("nothing is left of a scheduler that was freed");
}

static void what_is_refused(void) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  docache_scheduler *scheduler = NULL;
  docache_scheduler_options options = DOCACHE_SCHEDULER_OPTIONS_INIT;
  options.workers = 3;
  options.max_workers = 2;
  REFUSED(docache_scheduler_new(&options, &scheduler, &error), "max_workers", "2", "3");
  options.size = 8;
  REFUSED(docache_scheduler_new(&options, &scheduler, &error), "options.size", "8");
  options = (docache_scheduler_options)DOCACHE_SCHEDULER_OPTIONS_INIT;
  options.name = "upkeep";
  options.name_len = strlen("upkeep");
  options.workers = options.max_workers = 1;
  options.grace_ns = 1 * MS;
  CHECK_OK(docache_scheduler_new(&options, &scheduler, NULL));
  call_later(scheduler, 0, begin_and_stay, &work);
  gate_pass(&work.begun);
  CHECK_INT(threads_called("upkeep"), ==, 1);
  gate_open(&work.stays, 1);
  REFUSED(docache_scheduler_call_after(scheduler, 0, NULL, (uintptr_t)&work, work_dropped, NULL,
                                       &error),
          "callback", "NULL");
  REFUSED(docache_scheduler_call_after(NULL, 0, count_call, (uintptr_t)&work, work_dropped, NULL,
                                       &error),
          "scheduler", "NULL");
  await_work_drops(&work, 3);
  REFUSED(docache_scheduled_cancel(NULL, &error), "scheduled", "NULL");
  docache_scheduled_free(NULL);
  docache_scheduler_free(NULL);
  docache_scheduler_free(scheduler);
  checked("what is refused, and let go of all the same");
}

int main(void) {
  calls_and_cancels();
  frees();
  frees_inside();
  loops();
  loop_frees();
  shutdowns();
  alarms();
  what_is_refused();
  CHECK_OK(docache_shutdown());
  return all_checked("scheduler.c");
}
