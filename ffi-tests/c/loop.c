/* The loop cache as a C program uses it: register a Doer, read while it runs, stop, restart, and
 * what outlives what. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>
#include <unistd.h>

#include "check.h"

enum { READERS = 4 };

typedef struct reader {
  const docache_loop *loop;
  atomic_bool *stop;
  atomic_uint *seen_enough;
  uint64_t reads;
} reader;

/* Every reading is whole, belongs to its sequence number, and never goes back in time. */
static void *read_latest(void *argument) {
  reader *self = argument;
  uint64_t last = 0, distinct = 0;
  while (!atomic_load(self->stop)) {
    docache_value *value = NULL;
    docache_entry entry;
    CHECK_OK(docache_loop_latest(self->loop, &value, &entry, NULL));
    char expected[24];
    snprintf(expected, sizeof expected, "call %" PRIu64, entry.sequence);
    CHECK_VALUE(value, expected);
    CHECK(entry.value == value && entry.error == NULL && entry.status == DOCACHE_OK);
    CHECK_INT(entry.sequence, >=, last);
    if (entry.sequence > last && ++distinct == 5) atomic_fetch_add(self->seen_enough, 1);
    last = entry.sequence;
    docache_value_release(value);
    uint8_t buffer[24];
    size_t len = 0;
    CHECK_OK(docache_loop_latest_copy(self->loop, buffer, sizeof buffer, &len, &entry, NULL));
    CHECK(entry.value == NULL && entry.error == NULL);
    CHECK_INT(snprintf(expected, sizeof expected, "call %" PRIu64, entry.sequence), ==, len);
    CHECK(memcmp(buffer, expected, len) == 0);
    self->reads++;
  }
  return NULL;
}

static void *read_snapshots(void *argument) {
  reader *self = argument;
  uint64_t last = 0, distinct = 0;
  while (!atomic_load(self->stop)) {
    docache_snapshot *snapshot = NULL;
    CHECK_OK(docache_loop_snapshot(self->loop, &snapshot, NULL));
    docache_entry entries[8];
    size_t count = 0;
    CHECK_OK(docache_snapshot_read(snapshot, 0, entries, 8, &count, NULL));
    CHECK_INT(count, ==, docache_snapshot_len(snapshot));
    CHECK_INT(count, >=, 1);
    CHECK_INT(entries[count - 1].sequence, ==, docache_snapshot_version(snapshot));
    for (size_t i = 1; i < count; i++)
      CHECK_INT(entries[i].sequence, ==, entries[i - 1].sequence + 1);
    const uint64_t version = docache_snapshot_version(snapshot);
    CHECK_INT(version, >=, last);
    if (version > last && ++distinct == 5) atomic_fetch_add(self->seen_enough, 1);
    last = version;
    docache_snapshot_release(snapshot);
    self->reads++;
  }
  return NULL;
}

static void read_while_it_runs(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, 1 * MS, 8);
  docache_value *none = NULL;
  CHECK_STATUS(docache_loop_latest(loop, &none, NULL, NULL), DOCACHE_MISS);
  CHECK(none == NULL && !docache_loop_is_running(loop));
  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK(docache_loop_is_running(loop));
  CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));

  atomic_bool stop = false;
  atomic_uint seen_enough = 0;
  reader readers[READERS];
  pthread_t threads[READERS];
  for (int i = 0; i < READERS; i++) {
    readers[i] = (reader){loop, &stop, &seen_enough, 0};
    threads[i] = spawn(i % 2 ? read_snapshots : read_latest, &readers[i]);
  }
  uint64_t version = docache_loop_version(loop);
  while (atomic_load(&seen_enough) < READERS) {
    CHECK_OK(docache_loop_changed(loop, version, CHECK_PATIENCE_NS, &version, NULL));
  }
  atomic_store(&stop, true);
  for (int i = 0; i < READERS; i++) join(threads[i]);
  for (int i = 0; i < READERS; i++) CHECK_INT(readers[i].reads, >=, 5);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("four threads read latest, copies and snapshots while the Doer runs");
}

static void stop_and_restart(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, 1 * MS, 4);
  uint64_t version = 0;
  for (int round = 0; round < 3; round++) {
    CHECK_OK(docache_loop_start(loop, NULL));
    CHECK_OK(docache_loop_changed(loop, version, CHECK_PATIENCE_NS, &version, NULL));
    CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
    CHECK_OK(docache_loop_stop(loop, 0, NULL));
    CHECK(!docache_loop_is_running(loop));
    version = docache_loop_version(loop);
    CHECK_INT(version, ==, atomic_load(&doer.calls));
    docache_loop_counters stats = {.size = sizeof stats};
    CHECK_OK(docache_loop_stats(loop, &stats, NULL));
    CHECK_INT(stats.calls, ==, version);
    CHECK_INT(stats.running, ==, 0);
    CHECK_INT(stats.failures + stats.panics + stats.consecutive_failures, ==, 0);
  }
  docache_value *value = NULL;
  CHECK_OK(docache_loop_latest(loop, &value, NULL, NULL));
  docache_loop_free(loop);
  CHECK_INT(atomic_load(&doer.drops), ==, 1);
  CHECK(memcmp(docache_value_data(value), "call ", 5) == 0);
  docache_value_release(value);
  CHECK_DOER_GONE(&doer);
  checked("stop waits for the call, start continues the count, a value outlives the loop");
}

static void *run_body(void *loop) {
  CHECK_OK(docache_loop_run(loop, NULL));
  return NULL;
}

static void run_on_own_thread(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_loop *loop = new_loop(&doer, 1 * MS, 0);
  pthread_t thread = spawn(run_body, loop);
  gate_pass(&doer.entered);
  CHECK(docache_loop_is_running(loop));
  docache_error *error = NULL;
  CHECK_STATUS(docache_loop_run(loop, &error), DOCACHE_BUSY);
  CHECK_ERROR(error, DOCACHE_BUSY, "running");
  CHECK_OK(docache_loop_start(loop, NULL));
  error = NULL;
  CHECK_STATUS(docache_loop_stop(loop, 1 * (int64_t)MS, &error), DOCACHE_TIMEOUT);
  CHECK_ERROR(error, DOCACHE_TIMEOUT, "");
  CHECK_STATUS(docache_loop_stop(loop, 0, NULL), DOCACHE_TIMEOUT);
  gate_open(&doer.may_leave, 1);
  join(thread);
  CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  CHECK(!docache_loop_is_running(loop));
  CHECK_INT(atomic_load(&doer.calls), ==, 1);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked(
      "run blocks its own thread, a second run is refused, stop with a deadline reports a Doer "
      "that is blocked");
}

typedef struct refresher {
  const docache_loop *loop;
  gate *about_to;
  uint64_t version;
} refresher;

static void *refresh_body(void *argument) {
  refresher *self = argument;
  gate_open(self->about_to, 1);
  CHECK_OK(docache_loop_refresh(self->loop, CHECK_PATIENCE_NS, &self->version, NULL));
  return NULL;
}

/* The interval is an hour: every call but the first is one that refresh asked for. */
static void refresh_runs_now(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, HOUR, 4);
  docache_error *error = NULL;
  uint64_t version = 77;
  CHECK_STATUS(docache_loop_refresh(loop, CHECK_PATIENCE_NS, &version, &error), DOCACHE_CLOSED);
  CHECK_INT(version, ==, 77);
  CHECK_ERROR(error, DOCACHE_CLOSED, "running");
  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
  CHECK_OK(docache_loop_refresh(loop, CHECK_PATIENCE_NS, &version, NULL));
  CHECK_INT(version, ==, 2);
  refresh_now(loop);
  CHECK_INT(docache_loop_version(loop), ==, 3);

  gate about_to = GATE_INIT;
  refresher all[READERS];
  pthread_t threads[READERS];
  for (int i = 0; i < READERS; i++) {
    all[i] = (refresher){loop, &about_to, 0};
    threads[i] = spawn(refresh_body, &all[i]);
  }
  for (int i = 0; i < READERS; i++) gate_pass(&about_to);
  for (int i = 0; i < READERS; i++) {
    join(threads[i]);
    CHECK_INT(all[i].version, >=, 4);
    CHECK_INT(all[i].version, <=, 3 + READERS);
  }
  CHECK_INT(docache_loop_version(loop), <=, 3 + READERS);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("refresh calls the Doer at once, from one thread and from four");
}

static void coalescing_refresh(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_loop *loop = new_loop(&doer, HOUR, 0);
  CHECK_OK(docache_loop_start(loop, NULL));
  gate_pass(&doer.entered);
  /* The first call is under way, so none of these may be answered by it: all share the second. */
  docache_wait *waits[READERS];
  for (int i = 0; i < READERS; i++)
    CHECK_STATUS(docache_loop_refresh_begin(loop, &waits[i], NULL), DOCACHE_PENDING);
  uint64_t version = 77;
  CHECK_STATUS(docache_loop_refresh(loop, 0, &version, NULL), DOCACHE_TIMEOUT);
  CHECK_INT(version, ==, 77);
  gate_open(&doer.may_leave, 1);
  gate_pass(&doer.entered);
  for (int i = 0; i < READERS; i++)
    CHECK_STATUS(docache_wait_poll(waits[i], NULL, NULL), DOCACHE_PENDING);
  gate_open(&doer.may_leave, 1);
  wait_for_version(loop, 2);
  CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  for (int i = 0; i < READERS; i++) {
    CHECK_OK(docache_wait_poll(waits[i], &version, NULL));
    CHECK_INT(version, ==, 2);
    docache_wait_free(waits[i]);
  }
  CHECK_INT(atomic_load(&doer.calls), ==, 2);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("refreshes asked for during a call share the next one");
}

static void failures_are_recorded(void) {
  test_doer doer = TEST_DOER_INIT;
  atomic_store(&doer.failing, true);
  docache_loop *loop = new_loop(&doer, HOUR, 4);
  docache_error *error = NULL;
  CHECK_STATUS(docache_loop_last_error(loop, &error, NULL), DOCACHE_MISS);
  CHECK_OK(docache_loop_start(loop, NULL));
  wait_for_version(loop, 1);
  CHECK_STATUS(docache_loop_wait_first(loop, 0, NULL), DOCACHE_TIMEOUT);
  docache_value *value = NULL;
  CHECK_STATUS(docache_loop_latest(loop, &value, NULL, NULL), DOCACHE_MISS);
  atomic_store(&doer.failing, false);
  refresh_now(loop);
  CHECK_OK(docache_loop_latest(loop, &value, NULL, NULL));
  CHECK_VALUE(value, "call 2");
  docache_value_release(value);

  docache_snapshot *snapshot = NULL;
  CHECK_OK(docache_loop_snapshot(loop, &snapshot, NULL));
  docache_entry entries[2];
  size_t count = 0;
  CHECK_OK(docache_snapshot_read(snapshot, 0, entries, 2, &count, NULL));
  CHECK_INT(count, ==, 2);
  CHECK(entries[0].status == DOCACHE_DOER_FAILED && entries[0].value == NULL &&
        entries[0].error != NULL);
  CHECK_INT(docache_error_code(entries[0].error), ==, 42);
  CHECK(entries[1].status == DOCACHE_OK && entries[1].error == NULL);
  CHECK_OK(docache_loop_last_error(loop, &error, NULL));
  CHECK_INT(docache_error_code(error), ==, 42);
  docache_loop_counters stats = {.size = sizeof stats};
  CHECK_OK(docache_loop_stats(loop, &stats, NULL));
  CHECK(stats.calls == 2 && stats.failures == 1 && stats.consecutive_failures == 0 &&
        stats.running == 1);
  docache_loop_free(loop);
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "as told");
  CHECK_VALUE(entries[1].value, "call 2");
  docache_snapshot_release(snapshot);
  CHECK_DOER_GONE(&doer);
  checked("failures are recorded with code and message, and the snapshot outlives the loop");
}

typedef struct self_stopper {
  _Atomic(docache_loop *) loop;
  atomic_uint calls;
  gate *frees; /* NULL: the Doer stops its loop; else it passes this gate and frees it */
  char thread[64]; /* of the Doer that frees: its name in /proc; "self/none" without a /proc */
} self_stopper;

static docache_status stop_from_inside(uintptr_t context, docache_value **out,
                                       docache_error **out_error) {
  self_stopper *self = (self_stopper *)context;
  atomic_fetch_add(&self->calls, 1);
  docache_loop *loop = atomic_load(&self->loop);
  if (self->frees != NULL) {
    const ssize_t len = readlink("/proc/thread-self", self->thread, sizeof self->thread - 1);
    strcpy(self->thread + (len > 0 ? len : 0), len > 0 ? "" : "self/none");
    gate_pass(self->frees);
    docache_loop_free(loop);
  } else {
    CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  }
  return docache_value_new((const uint8_t *)"end", 3, out, out_error);
}

static void stop_inside_the_doer(void) {
  self_stopper self = {.frees = NULL};
  const docache_loop_options options = loop_options(1 * MS, 0);
  docache_loop *loop = NULL;
  CHECK_OK(docache_loop_new(&options, stop_from_inside, (uintptr_t)&self, NULL, &loop, NULL));
  atomic_store(&self.loop, loop);
  for (unsigned round = 1; round <= 2; round++) {
    CHECK_OK(docache_loop_run(loop, NULL));
    CHECK_INT(atomic_load(&self.calls), ==, round);
  }
  CHECK_OK(docache_loop_start(loop, NULL));
  wait_for_version(loop, 3);
  CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  CHECK_INT(atomic_load(&self.calls), ==, 3);
  docache_loop_free(loop);
  checked("the Doer stops its own loop, on a foreign thread and on the loop's own");
}

static void open_gate(uintptr_t g) { gate_open((gate *)g, 1); }

typedef struct self_freer {
  self_stopper stopper;
  gate dropped;
} self_freer;

static void self_freer_drop(uintptr_t context) {
  open_gate((uintptr_t)&((self_freer *)context)->dropped);
}

/* Nobody can join the thread of a loop that freed itself: waits until it has left the process, so
   that tools that look for leaks at the end do not see it half gone. */
static void outlive(const char *thread) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%s", thread);
  while (access(path, F_OK) == 0) sched_yield();
}

static void free_inside_the_doer(void) {
  gate started = GATE_INIT;
  self_freer self = {.stopper = {.frees = &started}, .dropped = GATE_INIT};
  const docache_loop_options options = loop_options(1 * MS, 4);
  docache_loop *loop = NULL;
  CHECK_OK(
      docache_loop_new(&options, stop_from_inside, (uintptr_t)&self, self_freer_drop, &loop, NULL));
  atomic_store(&self.stopper.loop, loop);
  CHECK_OK(docache_loop_start(loop, NULL));
  gate_open(&started, 1); /* nobody else may be using a handle that is being freed */
  gate_pass(&self.dropped);
  CHECK_INT(atomic_load(&self.stopper.calls), ==, 1);
  outlive(self.stopper.thread);
  checked("the Doer frees its own loop; it is dropped after its call");
}

typedef struct log_tally {
  atomic_uint records;
  atomic_uint drops;
} log_tally;

static void log_record(uintptr_t context, const docache_log_record *record) {
  CHECK_INT(record->size, >=, sizeof(docache_log_record));
  CHECK_INT(record->level, >=, DOCACHE_LEVEL_ERROR);
  CHECK_INT(record->level, <=, DOCACHE_LEVEL_WARN);
  CHECK(record->message_len > 0 && record->message != NULL && record->target != NULL);
  atomic_fetch_add(&((log_tally *)context)->records, 1);
}

static void log_drop(uintptr_t context) { atomic_fetch_add(&((log_tally *)context)->drops, 1); }

static void logger_hears_failures(void) {
  test_doer doer = TEST_DOER_INIT;
  atomic_store(&doer.failing, true);
  log_tally tally = {0};
  docache_logger *logger = NULL;
  CHECK_OK(docache_logger_new(log_record, (uintptr_t)&tally, log_drop, DOCACHE_LEVEL_WARN, &logger,
                              NULL));
  docache_loop_options options = loop_options(HOUR, 0);
  options.logger = logger;
  options.name = "weather";
  options.name_len = strlen(options.name);
  docache_loop *loop = NULL;
  CHECK_OK(
      docache_loop_new(&options, test_doer_perform, (uintptr_t)&doer, test_doer_drop, &loop, NULL));
  docache_logger_release(logger);
  CHECK_OK(docache_loop_start(loop, NULL));
  wait_for_version(loop, 1);
  CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  CHECK_INT(atomic_load(&tally.records), >=, 1);
  CHECK_INT(atomic_load(&tally.drops), ==, 0);
  docache_loop_free(loop);
  CHECK_INT(atomic_load(&tally.drops), ==, 1);
  CHECK_DOER_GONE(&doer);
  checked("a logger hears of failures and lives as long as the loop that uses it");
}

int main(void) {
  read_while_it_runs();
  stop_and_restart();
  run_on_own_thread();
  refresh_runs_now();
  coalescing_refresh();
  failures_are_recorded();
  stop_inside_the_doer();
  free_inside_the_doer();
  logger_hears_failures();
  return all_checked("loop.c");
}
