/* What the programs about schedulers share. */
#ifndef DOCACHE_TEST_SCHEDULER_H
#define DOCACHE_TEST_SCHEDULER_H

#include "check.h"

/* What calls of a scheduler do, and what is counted of them. */
typedef struct scheduled_work {
  docache_scheduler *scheduler;
  gate begun, stays;
  atomic_uint calls, drops;
} scheduled_work;

#define SCHEDULED_WORK_INIT {.begun = GATE_INIT, .stays = GATE_INIT}

CHECK_UNUSED static docache_scheduler *new_scheduler(void) {
  docache_scheduler *scheduler = NULL;
  CHECK_OK(docache_scheduler_new(NULL, &scheduler, NULL));
  CHECK(scheduler != NULL);
  return scheduler;
}

CHECK_UNUSED static void work_dropped(uintptr_t ctx) {
  atomic_fetch_add(&((scheduled_work *)ctx)->drops, 1);
}

CHECK_UNUSED static void count_call(uintptr_t ctx) {
  atomic_fetch_add(&((scheduled_work *)ctx)->calls, 1);
}

CHECK_UNUSED static void begin_and_stay(uintptr_t ctx) {
  scheduled_work *work = (scheduled_work *)ctx;
  gate_open(&work->begun, 1);
  gate_pass(&work->stays);
  atomic_fetch_add(&work->calls, 1);
}

CHECK_UNUSED static docache_scheduled *call_after(docache_scheduler *scheduler, uint64_t delay_ns,
                                                  docache_scheduler_call_fn callback,
                                                  scheduled_work *work) {
  docache_scheduled *scheduled = NULL;
  CHECK_OK(docache_scheduler_call_after(scheduler, delay_ns, callback, (uintptr_t)work,
                                        work_dropped, &scheduled, NULL));
  CHECK(scheduled != NULL);
  return scheduled;
}

/* The same without a handle. */
CHECK_UNUSED static void call_later(docache_scheduler *scheduler, uint64_t delay_ns,
                                    docache_scheduler_call_fn callback, scheduled_work *work) {
  CHECK_OK(docache_scheduler_call_after(scheduler, delay_ns, callback, (uintptr_t)work,
                                        work_dropped, NULL, NULL));
}

CHECK_UNUSED static void await_work_drops(scheduled_work *work, unsigned drops) {
  const struct timespec nap = {0, 1000000};
  for (int i = 0; i < CHECK_PATIENCE_S * 1000 && atomic_load(&work->drops) < drops; i++)
    nanosleep(&nap, NULL);
  CHECK_INT(atomic_load(&work->drops), ==, drops);
}

CHECK_UNUSED static docache_loop *new_loop_on(docache_scheduler *scheduler, test_doer *doer,
                                              uint64_t interval_ns) {
  docache_loop_options options = loop_options(interval_ns, 1);
  docache_loop *loop = NULL;
  options.scheduler = scheduler;
  CHECK_OK(
      docache_loop_new(&options, test_doer_perform, (uintptr_t)doer, test_doer_drop, &loop, NULL));
  return loop;
}

#endif /* DOCACHE_TEST_SCHEDULER_H */
