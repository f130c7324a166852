/* Schedulers and forks: in a child nothing is called that the parent has scheduled, and each `drop`
   still comes once; schedulers and loop caches on them go on there. */
#define _GNU_SOURCE
#include "child.h"
#include "scheduler.h"

enum { CHILDREN = 10 };

typedef struct state {
  docache_scheduler *scheduler;
  docache_scheduled *waits;
  docache_loop *loop;
  scheduled_work work, stuck;
  test_doer doer;
} state;

static void call_now(docache_scheduler *scheduler) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  call_later(scheduler, 1 * MS, count_call, &work);
  await_work_drops(&work, 1);
  CHECK_INT(atomic_load(&work.calls), ==, 1);
}

static void use_and_free(state *own) {
  const unsigned drops = atomic_load(&own->work.drops), calls = atomic_load(&own->work.calls);
  docache_scheduler_counters counters = DOCACHE_SCHEDULER_COUNTERS_INIT;
  CHECK_OK(docache_scheduler_stats(own->scheduler, &counters, NULL));
  CHECK(counters.workers == 0 && counters.busy == 0 && counters.scheduled == 0);
  CHECK(docache_scheduled_is_waiting(own->waits));
  CHECK_OK(docache_scheduled_cancel(own->waits, NULL));
  CHECK_INT(atomic_load(&own->work.drops), ==, drops + 1);
  docache_scheduled_free(own->waits);
  call_now(own->scheduler);
  CHECK(!docache_loop_is_running(own->loop));
  CHECK_OK(docache_loop_start(own->loop, NULL));
  refresh_now(own->loop);
  docache_scheduler_free(own->scheduler);
  CHECK_INT(atomic_load(&own->work.drops), ==, drops + 2);
  CHECK_INT(atomic_load(&own->work.calls), ==, calls);
  CHECK_INT(atomic_load(&own->stuck.drops), ==, 1);
  refresh_now(own->loop);
  docache_loop_free(own->loop);
}

static void shut_down(state *own) {
  CHECK_OK(docache_scheduler_shutdown(own->scheduler, DOCACHE_FOREVER, NULL));
  CHECK_INT(atomic_load(&own->work.drops), ==, 2);
  CHECK_INT(atomic_load(&own->stuck.drops), ==, 1);
  CHECK_STATUS(docache_scheduled_cancel(own->waits, NULL), DOCACHE_MISS);
  docache_scheduler_free(own->scheduler);
}

static void beside_calls(void) {
  state own = {.work = SCHEDULED_WORK_INIT, .stuck = SCHEDULED_WORK_INIT, .doer = TEST_DOER_INIT};
  own.scheduler = new_scheduler();
  own.loop = new_loop_on(own.scheduler, &own.doer, HOUR);
  CHECK_OK(docache_loop_start(own.loop, NULL));
  wait_for_version(own.loop, 1);
  own.waits = call_after(own.scheduler, HOUR, count_call, &own.work);
  call_later(own.scheduler, HOUR, count_call, &own.work);
  call_later(own.scheduler, 0, begin_and_stay, &own.stuck);
  gate_pass(&own.stuck.begun);
  for (int i = 0; i < CHILDREN; i++) IN_CHILD(i % 2 == 0 ? use_and_free : shut_down, &own);
  gate_open(&own.stuck.stays, 1);
  call_now(own.scheduler);
  refresh_now(own.loop);
  docache_loop_free(own.loop);
  CHECK_DOER_GONE(&own.doer);
  docache_scheduler_free(own.scheduler);
  docache_scheduled_free(own.waits);
  CHECK_INT(atomic_load(&own.work.drops), ==, 2);
  CHECK_INT(atomic_load(&own.stuck.drops), ==, 1);
  checked("children of a process whose scheduler is in a call");
}

/* A call that forks goes on in both processes; in the child it frees its scheduler. */
static void fork_inside(uintptr_t ctx) {
  scheduled_work *work = (scheduled_work *)ctx;
  const int report = fork_and_wait();
  if (report == 0) {
    atomic_fetch_add(&work->calls, 1);
    return;
  }
  call_now(work->scheduler);
  docache_scheduler_free(work->scheduler);
  CHECK_INT(atomic_load(&work->drops), ==, 0);
  end_well(report);
}

static void inside_a_call(void) {
  scheduled_work work = SCHEDULED_WORK_INIT;
  work.scheduler = new_scheduler();
  call_later(work.scheduler, 0, fork_inside, &work);
  await_work_drops(&work, 1);
  CHECK_INT(atomic_load(&work.calls), ==, 1);
  docache_scheduler_free(work.scheduler);
  checked("a call that forks");
}

int main(void) {
  beside_calls();
  inside_a_call();
  CHECK_OK(docache_shutdown());
  return all_checked("scheduler_fork.c");
}
