/* Threads that make, run, stop, free and detach groups inside groups, while the main thread forks
   children that do the same: whatever a thread is in the midst of when the process is copied, the
   child works. */
#define _GNU_SOURCE
#include "../threads.h"
#include "check.h"
#include "child.h"
#include "run.h"

/* The allocator of AddressSanitizer does not survive a fork in the midst of an allocation. */
#ifdef __SANITIZE_ADDRESS__
enum { CHILDREN = 0 };
#else
enum { CHILDREN = 40 };
#endif

enum { THREADS = 3, ROUNDS = 60 };

static atomic_uint made, dropped_all;

static void dropped(uintptr_t ctx) {
  (void)ctx;
  atomic_fetch_add(&dropped_all, 1);
}

static void add(docache_run_group *group, docache_run_execute_fn execute, uintptr_t ctx) {
  const docache_run_actor actor = actor_called("storm", execute);
  CHECK_OK(docache_run_group_add(group, &actor, ctx, dropped, NULL));
  atomic_fetch_add(&made, 1);
}

/* An actor that fails. */
static docache_status fail(uintptr_t ctx, const docache_stop_token *stop,
                           docache_error **out_error) {
  (void)ctx, (void)stop;
  CHECK_OK(docache_error_new(1, "no", 2, out_error, NULL));
  return DOCACHE_DOER_FAILED;
}

/* An actor that runs a group of its own. */
static docache_status run_another(uintptr_t ctx, const docache_stop_token *stop,
                                  docache_error **out_error) {
  (void)ctx, (void)stop, (void)out_error;
  docache_run_group *group = new_run_group(0);
  add(group, wait_for_stop, 0);
  add(group, fail, 0);
  CHECK_INT(run_and_free(group, DOCACHE_DOER_FAILED), ==, DOCACHE_RUN_FAILED);
  return DOCACHE_OK;
}

/* An actor that frees its own group. */
static docache_status free_own(uintptr_t ctx, const docache_stop_token *stop,
                               docache_error **out_error) {
  docache_run_group_free(*(docache_run_group **)ctx);
  return docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error);
}

static docache_status stop_by_handle(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  (void)stop;
  docache_run_handle *handle = (docache_run_handle *)ctx;
  docache_run_handle_stop(handle, out_error);
  return DOCACHE_OK;
}

/* One group of each kind. */
static void storm(unsigned round) {
  docache_run_group *outer = new_run_group(round % 2 * MS), *inner = new_run_group(0);
  add(inner, wait_for_stop, 0);
  add(inner, run_another, 0);
  CHECK_OK(docache_run_group_add_group(outer, "inner", 5, 0, inner, NULL));
  docache_run_handle *handle = NULL;
  CHECK_OK(docache_run_group_handle(outer, &handle, NULL));
  switch (round % 3) {
    case 0:
      add(outer, stop_by_handle, (uintptr_t)handle);
      CHECK_INT(docache_run_group_run(outer, NULL, NULL), >=, DOCACHE_OK);
      docache_run_group_free(outer);
      break;
    case 1:
      add(outer, free_own, (uintptr_t)&outer);
      CHECK_INT(docache_run_group_run(outer, NULL, NULL), >=, DOCACHE_OK);
      break;
    default:
      add(outer, fail, 0);
      CHECK_STATUS(docache_run_group_run(outer, NULL, NULL), DOCACHE_DOER_FAILED);
      docache_run_group_detach(outer);
      break;
  }
  docache_run_handle_release(handle);
}

static void await_drops(void) {
  const struct timespec nap = {0, 1000000};
  for (int i = 0; i < CHECK_PATIENCE_S * 1000; i++) {
    if (atomic_load(&dropped_all) == atomic_load(&made)) return;
    nanosleep(&nap, NULL);
  }
  CHECK_INT(atomic_load(&dropped_all), ==, atomic_load(&made));
}

static void *make_a_storm(void *first) {
  for (unsigned round = 0; round < ROUNDS; round++) storm(round + *(unsigned *)first);
  return NULL;
}

/* In a child the groups of the parent's threads are not there, nor are their drops. */
static void storm_in_child(void) {
  const int report = fork_and_wait();
  if (report == 0) return;
  atomic_store(&made, 0);
  atomic_store(&dropped_all, 0);
  for (unsigned round = 0; round < 3; round++) storm(round);
  await_drops();
  end_well(report);
}

int main(void) {
  unsigned firsts[THREADS];
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    firsts[i] = i;
    threads[i] = spawn(make_a_storm, &firsts[i]);
  }
  for (int i = 0; i < CHILDREN; i++) storm_in_child();
  for (unsigned i = 0; i < THREADS; i++) join(threads[i]);
  await_drops();
  CHECK_INT(atomic_load(&made), >=, THREADS * ROUNDS * 3);
  checked("a storm of groups, and children that are born in it");
  return all_checked("run_storm.c");
}
