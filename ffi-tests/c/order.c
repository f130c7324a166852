/* Handles freed in every order: a loop, a value, an error, a logger, a snapshot and a wait in all
   720 permutations, with the loop running and stopped. Whatever is left stays usable, and
   everything is dropped exactly once. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

enum handle { LOOP, VALUE, ERROR, LOGGER, SNAPSHOT, WAIT, HANDLES };

typedef struct world {
  test_doer doer;
  atomic_uint logger_drops;
  docache_loop *loop;
  docache_value *value;
  docache_error *error;
  docache_logger *logger;
  docache_snapshot *snapshot;
  docache_wait *wait;
  bool freed[HANDLES];
} world;

static void ignore_record(uintptr_t context, const docache_log_record *record) {
  (void)context;
  CHECK(record != NULL);
}

/* Two results, one failure and one success, and a handle to each kind of thing. */
static void build(world *w, bool running) {
  *w = (world){.doer = TEST_DOER_INIT};
  docache_loop_options options = loop_options(HOUR, 4);
  CHECK_OK(docache_logger_new(ignore_record, (uintptr_t)&w->logger_drops, count_up,
                              DOCACHE_LEVEL_TRACE, &w->logger, NULL));
  options.logger = w->logger;
  CHECK_OK(docache_loop_new(&options, test_doer_perform, (uintptr_t)&w->doer, test_doer_drop,
                            &w->loop, NULL));
  atomic_store(&w->doer.failing, true);
  CHECK_OK(docache_loop_start(w->loop, NULL));
  wait_for_version(w->loop, 1);
  atomic_store(&w->doer.failing, false);
  refresh_now(w->loop);
  CHECK_OK(docache_loop_latest(w->loop, &w->value, NULL, NULL));
  CHECK_OK(docache_loop_last_error(w->loop, &w->error, NULL));
  CHECK_OK(docache_loop_snapshot(w->loop, &w->snapshot, NULL));
  CHECK_STATUS(docache_loop_changed_begin(w->loop, 2, &w->wait, NULL), DOCACHE_PENDING);
  if (!running) CHECK_OK(docache_loop_stop(w->loop, DOCACHE_FOREVER, NULL));
}

static void check_snapshot(const docache_snapshot *snapshot) {
  docache_entry entries[2];
  size_t count = 0;
  CHECK_OK(docache_snapshot_read(snapshot, 0, entries, 2, &count, NULL));
  CHECK_INT(count, ==, 2);
  CHECK_INT(docache_error_code(entries[0].error), ==, 42);
  CHECK_VALUE(entries[1].value, "call 2");
}

/* Every handle that is left works. */
static void use_the_rest(const world *w) {
  if (!w->freed[LOOP]) CHECK_INT(docache_loop_version(w->loop), ==, 2);
  if (!w->freed[VALUE]) CHECK_VALUE(w->value, "call 2");
  if (!w->freed[ERROR]) CHECK(strcmp(docache_error_message(w->error, NULL), "as told") == 0);
  if (!w->freed[LOGGER]) CHECK_INT(atomic_load(&w->logger_drops), ==, 0);
  if (!w->freed[SNAPSHOT]) check_snapshot(w->snapshot);
  if (!w->freed[WAIT]) {
    CHECK_STATUS(docache_wait_poll(w->wait, NULL, NULL),
                 w->freed[LOOP] ? DOCACHE_CLOSED : DOCACHE_PENDING);
  }
}

static void free_one(world *w, enum handle which) {
  w->freed[which] = true;
  switch (which) {
    case LOOP:
      docache_loop_free(w->loop);
      CHECK_INT(atomic_load(&w->doer.drops), ==, 1);
      break;
    case VALUE: docache_value_release(w->value); break;
    case ERROR: docache_error_release(w->error); break;
    case LOGGER: docache_logger_release(w->logger); break;
    case SNAPSHOT: docache_snapshot_release(w->snapshot); break;
    case WAIT: docache_wait_free(w->wait); break;
    case HANDLES: break;
  }
}

static void run_order(const enum handle order[HANDLES], bool running) {
  world w;
  build(&w, running);
  use_the_rest(&w);
  for (int i = 0; i < HANDLES; i++) {
    free_one(&w, order[i]);
    use_the_rest(&w);
  }
  CHECK_INT(atomic_load(&w.logger_drops), ==, 1);
  CHECK_DOER_GONE(&w.doer);
}

/* The next permutation in lexicographic order; false after the last. */
static bool next_order(enum handle order[HANDLES]) {
  int i = HANDLES - 2, j = HANDLES - 1;
  while (i >= 0 && order[i] > order[i + 1]) i--;
  if (i < 0) return false;
  while (order[j] < order[i]) j--;
  enum handle swapped = order[i];
  order[i] = order[j];
  order[j] = swapped;
  for (int a = i + 1, b = HANDLES - 1; a < b; a++, b--) {
    swapped = order[a];
    order[a] = order[b];
    order[b] = swapped;
  }
  return true;
}

static void every_order(bool running) {
  enum handle order[HANDLES] = {LOOP, VALUE, ERROR, LOGGER, SNAPSHOT, WAIT};
  unsigned orders = 0;
  do {
    run_order(order, running);
    orders++;
  } while (next_order(order));
  CHECK_INT(orders, ==, 720);
}

static void extra_references(void) {
  world w;
  build(&w, true);
  CHECK(docache_value_retain(w.value) == w.value && docache_error_retain(w.error) == w.error);
  CHECK(docache_logger_retain(w.logger) == w.logger &&
        docache_snapshot_retain(w.snapshot) == w.snapshot);
  for (int which = 0; which < HANDLES; which++) free_one(&w, (enum handle)which);
  CHECK_VALUE(w.value, "call 2");
  CHECK_INT(docache_error_code(w.error), ==, 42);
  check_snapshot(w.snapshot);
  CHECK_INT(atomic_load(&w.logger_drops), ==, 0);
  docache_logger_release(w.logger);
  CHECK_INT(atomic_load(&w.logger_drops), ==, 1);
  docache_snapshot_release(w.snapshot);
  CHECK_INT(atomic_load(&w.doer.values_dropped), ==, 0);
  docache_value_release(w.value);
  docache_error_release(w.error);
  CHECK_DOER_GONE(&w.doer);
}

int main(void) {
  every_order(true);
  checked("720 orders with the loop running");
  every_order(false);
  checked("720 orders with the loop stopped");
  extra_references();
  checked("a retained handle outlives its first owner");
  return all_checked("order.c");
}
