/* 1,000 cycles of create, start, stop, free. Run it under valgrind: nothing may be left. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

enum { CYCLES = 1000 };

/* What a cycle does between start and free: nothing, wait, stop, restart, leave a wait pending. */
static void cycle(test_doer *doer, int kind) {
  docache_loop *loop = new_loop(doer, 1 * MS, (size_t)(kind % 3));
  docache_wait *wait = NULL;
  CHECK_OK(docache_loop_start(loop, NULL));
  switch (kind % 5) {
    case 1:
      CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
      break;
    case 2:
      CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
      break;
    case 3:
      CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
      CHECK_OK(docache_loop_start(loop, NULL));
      CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
      CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
      break;
    case 4:
      CHECK_STATUS(docache_loop_changed_begin(loop, UINT64_MAX, &wait, NULL), DOCACHE_PENDING);
      break;
    default:
      break;
  }
  docache_loop_free(loop);
  docache_wait_free(wait);
}

int main(void) {
  unsigned calls = 0;
  for (int i = 0; i < CYCLES; i++) {
    test_doer doer = TEST_DOER_INIT;
    cycle(&doer, i);
    CHECK_DOER_GONE(&doer);
    calls += atomic_load(&doer.calls);
  }
  CHECK_INT(calls, >=, CYCLES / 5);
  checked("1,000 cycles, every Doer and every value dropped");
  return all_checked("cycles.c");
}
