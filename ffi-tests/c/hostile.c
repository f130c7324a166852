/* Everything a caller can get wrong: each is answered with a status and an error that names the
   argument; nothing is written, nothing leaks, and what was handed over is dropped exactly once. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

static const uint8_t BYTES[] = {1, 2, 3};

static void null_values(void) {
  docache_value *value = NULL;
  atomic_uint drops = 0;
  const uintptr_t counter = (uintptr_t)&drops;
  REFUSED(docache_value_new(NULL, 3, &value, &error), "data", "NULL");
  REFUSED(docache_value_new(BYTES, SIZE_MAX, &value, &error), "len");
  REFUSED(docache_value_new(BYTES, 3, NULL, &error), "out");
  REFUSED(docache_value_wrap(NULL, 3, counter, count_up, &value, &error), "data", "NULL");
  CHECK_INT(atomic_load(&drops), ==, 1);
  REFUSED(docache_value_wrap(BYTES, 3, counter, count_up, NULL, &error), "out");
  CHECK_INT(atomic_load(&drops), ==, 2);
  CHECK_STATUS(docache_value_wrap(BYTES, 3, counter, count_up, NULL, NULL),
               DOCACHE_INVALID_ARGUMENT);
  CHECK_INT(atomic_load(&drops), ==, 3);
  REFUSED(docache_value_wrap(BYTES, SIZE_MAX, counter, count_up, &value, &error), "len");
  CHECK_INT(atomic_load(&drops), ==, 4);
  REFUSED(docache_value_wrap(BYTES, SIZE_MAX, counter, NULL, &value, &error), "len");
  CHECK(value == NULL);
  CHECK(docache_value_retain(NULL) == NULL);
  docache_value_release(NULL);
  CHECK(docache_value_data(NULL) == NULL);
  CHECK_INT(docache_value_len(NULL), ==, 0);
  checked("values: NULL and impossible lengths");
}

static void empty_values(void) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new(NULL, 0, &value, NULL));
  CHECK_INT(docache_value_len(value), ==, 0);
  docache_value_release(value);
  CHECK_OK(docache_value_new(BYTES, 0, &value, NULL));
  CHECK_INT(docache_value_len(value), ==, 0);
  docache_value_release(value);
  atomic_uint drops = 0;
  CHECK_OK(docache_value_wrap(NULL, 0, (uintptr_t)&drops, count_up, &value, NULL));
  CHECK_INT(docache_value_len(value), ==, 0);
  CHECK(docache_value_retain(value) == value);
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 0);
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 1);
  CHECK_OK(docache_value_wrap(BYTES, 3, 0, NULL, &value, NULL));
  CHECK(docache_value_data(value) == BYTES);
  docache_value_release(value);
  checked("values: length 0 with and without a pointer, no drop function");
}

static void errors(void) {
  docache_error *made = NULL;
  REFUSED(docache_error_new(1, NULL, 3, &made, &error), "message", "NULL");
  REFUSED(docache_error_new(1, "abc", SIZE_MAX, &made, &error), "len");
  REFUSED(docache_error_new(1, "abc", 3, NULL, &error), "out");
  CHECK(made == NULL);
  CHECK(docache_error_retain(NULL) == NULL);
  docache_error_release(NULL);
  CHECK_INT(docache_error_code(NULL), ==, 0);
  CHECK_INT(docache_error_status(NULL), ==, DOCACHE_OK);
  size_t len = 77;
  CHECK(docache_error_message(NULL, &len) == NULL);
  CHECK_INT(len, ==, 0);
  CHECK(docache_error_message(NULL, NULL) == NULL);

  CHECK_OK(docache_error_new(INT64_MIN, NULL, 0, &made, NULL));
  CHECK_INT(docache_error_code(made), ==, INT64_MIN);
  CHECK_INT(docache_error_status(made), ==, DOCACHE_DOER_FAILED);
  CHECK(docache_error_message(made, NULL) != NULL);
  docache_error_release(made);
  made = NULL;
  CHECK_OK(docache_error_new(5, "caf\xe9!", 5, &made, NULL));
  CHECK(strcmp(docache_error_message(made, &len), "caf\xef\xbf\xbd!") == 0);
  CHECK_INT(len, ==, 7);
  CHECK_INT(docache_error_code(made), ==, 5);
  docache_error_release(made);
  checked("errors: NULL, empty, not UTF-8");
}

static void ignore_record(uintptr_t context, const docache_log_record *record) {
  (void)context;
  (void)record;
}

static void loggers(void) {
  docache_logger *logger = NULL;
  atomic_uint drops = 0;
  const uintptr_t counter = (uintptr_t)&drops;
  REFUSED(docache_logger_new(NULL, counter, count_up, DOCACHE_LEVEL_INFO, &logger, &error), "log");
  REFUSED(docache_logger_new(ignore_record, counter, count_up, DOCACHE_LEVEL_INFO, NULL, &error),
          "out");
  REFUSED(docache_logger_new(ignore_record, counter, count_up, 99, &logger, &error), "level", "99",
          "5");
  REFUSED(docache_logger_new(ignore_record, counter, count_up, -1, &logger, &error), "level", "-1");
  REFUSED(docache_logger_new(ignore_record, counter, NULL, INT32_MIN, &logger, &error), "level");
  CHECK_INT(atomic_load(&drops), ==, 4);
  CHECK(logger == NULL && docache_logger_retain(NULL) == NULL);
  docache_logger_release(NULL);
  checked("loggers: NULL and levels that do not exist");
}

static void null_everywhere_without_a_loop(void) {
  docache_value *value = NULL;
  docache_entry entry;
  docache_snapshot *snapshot = NULL;
  docache_error *last = NULL;
  docache_wait *wait = NULL;
  docache_loop_counters stats = {.size = sizeof stats};
  uint64_t version = 77;
  size_t len = 77;
  uint8_t buffer[8];
  docache_loop_free(NULL);
  CHECK(!docache_loop_is_running(NULL) && docache_loop_version(NULL) == 0 &&
        docache_loop_version_word(NULL) == NULL);
  REFUSED(docache_loop_start(NULL, &error), "handle", "NULL");
  REFUSED(docache_loop_run(NULL, &error), "handle");
  REFUSED(docache_loop_stop(NULL, 0, &error), "handle");
  REFUSED(docache_loop_latest(NULL, &value, &entry, &error), "handle");
  REFUSED(docache_loop_latest_copy(NULL, buffer, sizeof buffer, &len, &entry, &error), "handle");
  REFUSED(docache_loop_snapshot(NULL, &snapshot, &error), "handle");
  REFUSED(docache_loop_stats(NULL, &stats, &error), "handle");
  REFUSED(docache_loop_last_error(NULL, &last, &error), "handle");
  REFUSED(docache_loop_wait_first(NULL, 0, &error), "handle");
  REFUSED(docache_loop_changed(NULL, 0, 0, &version, &error), "handle");
  REFUSED(docache_loop_refresh(NULL, 0, &version, &error), "handle");
  REFUSED(docache_loop_wait_first_begin(NULL, &wait, &error), "handle");
  REFUSED(docache_loop_changed_begin(NULL, 0, &wait, &error), "handle");
  REFUSED(docache_loop_refresh_begin(NULL, &wait, &error), "handle");
  REFUSED(docache_loop_stop_begin(NULL, &wait, &error), "handle");
  CHECK_STATUS(docache_loop_start(NULL, NULL), DOCACHE_INVALID_ARGUMENT);
  CHECK(value == NULL && snapshot == NULL && last == NULL && wait == NULL && version == 77 &&
        len == 77);
  checked("every function of the loop refuses a NULL loop");
}

static void null_snapshots_and_waits(void) {
  docache_entry entry;
  size_t count = 77;
  uint64_t version = 77;
  CHECK(docache_snapshot_retain(NULL) == NULL);
  docache_snapshot_release(NULL);
  CHECK(docache_snapshot_len(NULL) == 0 && docache_snapshot_version(NULL) == 0);
  REFUSED(docache_snapshot_read(NULL, 0, &entry, 1, &count, &error), "snapshot");
  REFUSED(docache_wait_on_ready(NULL, count_up, 0, &error), "wait");
  REFUSED(docache_wait_poll(NULL, &version, &error), "wait");
  CHECK_STATUS(docache_wait_cancel(NULL), DOCACHE_INVALID_ARGUMENT);
  docache_wait_free(NULL);
  CHECK(count == 77 && version == 77);
  checked("snapshots and waits refuse NULL");
}

static void null_outputs(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, HOUR, 2);
  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
  docache_entry entry;
  uint8_t buffer[8];
  size_t len = 77;
  REFUSED(docache_loop_latest(loop, NULL, &entry, &error), "out_value");
  REFUSED(docache_loop_latest_copy(loop, buffer, sizeof buffer, NULL, &entry, &error), "out_len");
  REFUSED(docache_loop_latest_copy(loop, NULL, sizeof buffer, &len, &entry, &error), "buffer");
  REFUSED(docache_loop_snapshot(loop, NULL, &error), "out");
  REFUSED(docache_loop_stats(loop, NULL, &error), "out");
  REFUSED(docache_loop_last_error(loop, NULL, &error), "out");
  REFUSED(docache_loop_wait_first_begin(loop, NULL, &error), "out");
  REFUSED(docache_loop_changed_begin(loop, 0, NULL, &error), "out");
  REFUSED(docache_loop_refresh_begin(loop, NULL, &error), "out");
  REFUSED(docache_loop_stop_begin(loop, NULL, &error), "out");
  CHECK_INT(len, ==, 77);
  CHECK(docache_loop_is_running(loop));
  REFUSED(docache_loop_changed(loop, 0, 0, NULL, &error), "out_version");
  REFUSED(docache_loop_refresh(loop, 0, NULL, &error), "out_version");
  CHECK_INT(docache_loop_version(loop), ==, 1);

  docache_wait *wait = NULL;
  CHECK_STATUS(docache_loop_changed_begin(loop, UINT64_MAX, &wait, NULL), DOCACHE_PENDING);
  REFUSED(docache_wait_on_ready(wait, NULL, 0, &error), "notify");
  CHECK_STATUS(docache_wait_poll(wait, NULL, NULL), DOCACHE_PENDING);
  docache_wait_free(wait);

  docache_snapshot *snapshot = NULL;
  CHECK_OK(docache_loop_snapshot(loop, &snapshot, NULL));
  REFUSED(docache_snapshot_read(snapshot, 0, NULL, 1, &len, &error), "out");
  REFUSED(docache_snapshot_read(snapshot, 0, &entry, 1, NULL, &error), "out_count");
  docache_snapshot_release(snapshot);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("outputs that are needed may not be NULL; the others may");
}

static void edges_of_reading(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, HOUR, 2);
  docache_entry entry = {.sequence = 77};
  uint8_t buffer[8] = {'?'};
  size_t len = 77;
  CHECK_STATUS(docache_loop_latest_copy(loop, buffer, sizeof buffer, &len, &entry, NULL),
               DOCACHE_MISS);
  CHECK(len == 77 && entry.sequence == 77);
  docache_snapshot *snapshot = NULL;
  CHECK_OK(docache_loop_snapshot(loop, &snapshot, NULL));
  CHECK(docache_snapshot_len(snapshot) == 0 && docache_snapshot_version(snapshot) == 0);
  docache_snapshot_release(snapshot);

  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
  docache_error *error = NULL;
  CHECK_STATUS(docache_loop_latest_copy(loop, buffer, 3, &len, &entry, &error),
               DOCACHE_BUFFER_TOO_SMALL);
  CHECK_ERROR(error, DOCACHE_BUFFER_TOO_SMALL, "capacity", "3", "6");
  CHECK(len == strlen("call 1") && buffer[0] == '?');
  CHECK_STATUS(docache_loop_latest_copy(loop, NULL, 0, &len, NULL, NULL), DOCACHE_BUFFER_TOO_SMALL);
  CHECK_INT(len, ==, strlen("call 1"));
  CHECK_OK(docache_loop_latest_copy(loop, buffer, len, &len, NULL, NULL));
  CHECK(memcmp(buffer, "call 1", 6) == 0);

  CHECK_OK(docache_loop_snapshot(loop, &snapshot, NULL));
  size_t count = 77;
  CHECK_OK(docache_snapshot_read(snapshot, 0, NULL, 0, &count, NULL));
  CHECK_INT(count, ==, 0);
  CHECK_OK(docache_snapshot_read(snapshot, 1, &entry, 1, &count, NULL));
  CHECK_INT(count, ==, 0);
  count = 77;
  REFUSED(docache_snapshot_read(snapshot, 2, &entry, 1, &count, &error), "first", "2", "1");
  REFUSED(docache_snapshot_read(snapshot, SIZE_MAX, &entry, SIZE_MAX, &count, &error), "first");
  CHECK_INT(count, ==, 77);
  docache_entry two[2];
  CHECK_OK(docache_snapshot_read(snapshot, 0, two, 2, &count, NULL));
  CHECK_INT(count, ==, 1);
  docache_snapshot_release(snapshot);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("buffers that are too small, reads beyond the end");
}

/* Tries to make a loop that must be refused; the Doer's context is dropped all the same. */
static docache_status try_new(const docache_loop_options *options, docache_error **out_error) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = NULL;
  const docache_status status = docache_loop_new(options, test_doer_perform, (uintptr_t)&doer,
                                                 test_doer_drop, &loop, out_error);
  if (status == DOCACHE_OK) {
    CHECK(loop != NULL);
    CHECK_INT(atomic_load(&doer.drops), ==, 0);
    docache_loop_free(loop);
  } else {
    CHECK(loop == NULL);
  }
  CHECK_DOER_GONE(&doer);
  return status;
}

static void bad_options(void) {
  docache_loop_options options;
  REFUSED(try_new(NULL, &error), "options", "NULL");
  options = loop_options(0, 0);
  REFUSED(try_new(&options, &error), "interval", "0");
  options = loop_options(MS, 0);
  options.schedule = 2;
  REFUSED(try_new(&options, &error), "schedule", "2");
  options.schedule = UINT32_MAX;
  REFUSED(try_new(&options, &error), "schedule");
  options = loop_options(MS, 0);
  options.reserved = 1;
  REFUSED(try_new(&options, &error), "reserved", "0");
  options = loop_options(MS, 0);
  options.name_len = 4;
  REFUSED(try_new(&options, &error), "name", "NULL");
  options.name = "a\xff" "bc";
  REFUSED(try_new(&options, &error), "name", "UTF-8");
  options.name = "abc";
  options.name_len = SIZE_MAX;
  REFUSED(try_new(&options, &error), "name");
  options.name_len = 0;
  CHECK_OK(try_new(&options, NULL));
  options = loop_options(UINT64_MAX, SIZE_MAX);
  options.first_delay_ns = options.jitter_ns = UINT64_MAX;
  CHECK_OK(try_new(&options, NULL));

  atomic_uint drops = 0;
  docache_loop *loop = NULL;
  options = loop_options(MS, 0);
  REFUSED(docache_loop_new(&options, test_doer_perform, (uintptr_t)&drops, count_up, NULL, &error),
          "out");
  REFUSED(docache_loop_new(NULL, NULL, (uintptr_t)&drops, count_up, &loop, &error), "options");
  CHECK_INT(atomic_load(&drops), ==, 2);
  CHECK(loop == NULL);
  checked("options: every bad value is refused by name, and the Doer's context is dropped");
}

static void sizes_of_options(void) {
  docache_loop_options options = loop_options(MS, 0);
  /* This is the struct's first version: a shorter one, and one that ends within a field, is
   * garbage. */
  static const size_t too_small[] = {0,
                                     1,
                                     sizeof(size_t),
                                     sizeof(size_t) + 1,
                                     offsetof(docache_loop_options, logger) + 4,
                                     sizeof options - 1};
  for (size_t i = 0; i < sizeof too_small / sizeof *too_small; i++) {
    options.size = too_small[i];
    REFUSED(try_new(&options, &error), "size");
  }
  /* A newer caller's longer struct: its unknown options may not be in use. */
  struct {
    docache_loop_options known;
    uint8_t tail[64];
  } longer;
  memset(&longer, 0, sizeof longer);
  longer.known = loop_options(MS, 0);
  longer.known.size = sizeof longer;
  CHECK_OK(try_new(&longer.known, NULL));
  longer.tail[63] = 1;
  REFUSED(try_new(&longer.known, &error), "options", "unknown");
  longer.tail[63] = 0;
  longer.tail[0] = 1;
  REFUSED(try_new(&longer.known, &error), "options", "unknown");
  longer.known.size = sizeof longer.known;
  CHECK_OK(try_new(&longer.known, NULL));
  longer.known.size = SIZE_MAX;
  REFUSED(try_new(&longer.known, &error), "size");
  checked("options: short structs, zero tails and used tails");
}

static void sizes_of_stats(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, HOUR, 0);
  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
  CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  docache_loop_counters stats;
  memset(&stats, 0x55, sizeof stats);
  stats.size = 0;
  REFUSED(docache_loop_stats(loop, &stats, &error), "size", "0");
  CHECK_INT(stats.calls, ==, 0x5555555555555555);
  stats.size = offsetof(docache_loop_counters, failures);
  REFUSED(docache_loop_stats(loop, &stats, &error), "size", "16");
  stats.size = SIZE_MAX;
  REFUSED(docache_loop_stats(loop, &stats, &error), "size");
  CHECK_INT(stats.calls, ==, 0x5555555555555555);
  stats.size = sizeof stats;
  CHECK_OK(docache_loop_stats(loop, &stats, NULL));
  CHECK_INT(stats.calls, ==, 1);

  struct {
    docache_loop_counters known;
    uint8_t tail[16];
  } longer;
  memset(&longer, 0x55, sizeof longer);
  longer.known.size = sizeof longer;
  CHECK_OK(docache_loop_stats(loop, &longer.known, NULL));
  CHECK(longer.known.calls == 1 && longer.known.failures == 0 && longer.known.running == 0);
  for (size_t i = 0; i < sizeof longer.tail; i++) CHECK_INT(longer.tail[i], ==, 0);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("stats: sizes that are no struct are refused, an unknown tail becomes zero");
}

static void endless_interval_stops_at_once(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop_options options = loop_options(UINT64_MAX, SIZE_MAX);
  options.jitter_ns = UINT64_MAX;
  for (uint32_t schedule = DOCACHE_FIXED_DELAY; schedule <= DOCACHE_FIXED_RATE; schedule++) {
    docache_loop *loop = NULL;
    options.schedule = schedule;
    CHECK_OK(docache_loop_new(&options, test_doer_perform, (uintptr_t)&doer, NULL, &loop, NULL));
    CHECK_OK(docache_loop_start(loop, NULL));
    CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
    CHECK_OK(docache_loop_stop(loop, CHECK_PATIENCE_NS, NULL));
    docache_loop_free(loop);
  }
  CHECK_INT(atomic_load(&doer.calls), ==, 2);

  docache_loop *loop = NULL;
  options.first_delay_ns = UINT64_MAX;
  CHECK_OK(docache_loop_new(&options, test_doer_perform, (uintptr_t)&doer, NULL, &loop, NULL));
  CHECK_OK(docache_loop_start(loop, NULL));
  CHECK_STATUS(docache_loop_wait_first(loop, 0, NULL), DOCACHE_TIMEOUT);
  CHECK_OK(docache_loop_stop(loop, CHECK_PATIENCE_NS, NULL));
  docache_loop_free(loop);
  CHECK_INT(atomic_load(&doer.calls), ==, 2);
  CHECK_INT(atomic_load(&doer.values_dropped), ==, 2);
  checked("intervals and first delays of 584 years stop at once");
}

/* What the hostile Doer returns, and what it leaves in its out parameters. */
typedef struct script {
  docache_status status;
  bool value, error;
  docache_status recorded;
  atomic_uint drops;
} script;

static docache_status play(uintptr_t context, docache_value **out, docache_error **out_error) {
  script *self = (script *)context;
  CHECK(*out == NULL && *out_error == NULL);
  if (self->value)
    CHECK_OK(docache_value_wrap(BYTES, 3, (uintptr_t)&self->drops, count_up, out, NULL));
  if (self->error) CHECK_OK(docache_error_new(9, "both", 4, out_error, NULL));
  return self->status;
}

static void play_once(script *self) {
  const docache_loop_options options = loop_options(HOUR, 1);
  docache_loop *loop = NULL;
  CHECK_OK(docache_loop_new(&options, play, (uintptr_t)self, NULL, &loop, NULL));
  CHECK_OK(docache_loop_start(loop, NULL));
  wait_for_version(loop, 1);
  docache_snapshot *snapshot = NULL;
  CHECK_OK(docache_loop_snapshot(loop, &snapshot, NULL));
  docache_loop_free(loop);
  docache_entry entry;
  size_t count = 0;
  CHECK_OK(docache_snapshot_read(snapshot, 0, &entry, 1, &count, NULL));
  CHECK_INT(count, ==, 1);
  CHECK_STATUS(entry.status, self->recorded);
  CHECK((entry.status == DOCACHE_OK) == (entry.value != NULL && entry.error == NULL));
  if (entry.error != NULL) {
    size_t len = 0;
    CHECK(docache_error_message(entry.error, &len) != NULL && len > 0);
    CHECK_INT(docache_error_status(entry.error), ==, self->recorded);
    CHECK_INT(docache_error_code(entry.error), ==,
              self->error && self->status != DOCACHE_OK ? 9 : 0);
  }
  docache_snapshot_release(snapshot);
  CHECK_INT(atomic_load(&self->drops), ==, self->value ? 1 : 0);
}

static void hostile_doers(void) {
  static script scripts[] = {
      {.status = DOCACHE_OK, .recorded = DOCACHE_DOER_FAILED},
      {.status = DOCACHE_OK, .value = true, .error = true, .recorded = DOCACHE_OK},
      {.status = DOCACHE_OK, .error = true, .recorded = DOCACHE_DOER_FAILED},
      {.status = DOCACHE_DOER_FAILED, .recorded = DOCACHE_DOER_FAILED},
      {.status = DOCACHE_DOER_FAILED, .value = true, .recorded = DOCACHE_DOER_FAILED},
      {.status = DOCACHE_DOER_FAILED,
       .value = true,
       .error = true,
       .recorded = DOCACHE_DOER_FAILED},
      {.status = DOCACHE_PANIC, .recorded = DOCACHE_PANIC},
      {.status = DOCACHE_PANIC, .error = true, .recorded = DOCACHE_PANIC},
      {.status = 12345, .recorded = DOCACHE_DOER_FAILED},
      {.status = 12345, .value = true, .recorded = DOCACHE_DOER_FAILED},
      {.status = INT32_MIN, .recorded = DOCACHE_DOER_FAILED},
      {.status = DOCACHE_PENDING, .value = true, .recorded = DOCACHE_DOER_FAILED},
  };
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) play_once(&scripts[i]);
  checked("a Doer that returns nothing, too much, or a status that makes no sense");
}

static void status_names(void) {
  CHECK(strcmp(docache_status_name(DOCACHE_OK), "OK") == 0);
  CHECK(strcmp(docache_status_name(DOCACHE_INVALID_ARGUMENT), "INVALID_ARGUMENT") == 0);
  CHECK(strcmp(docache_status_name(DOCACHE_DOER_FAILED), "DOER_FAILED") == 0);
  CHECK(strcmp(docache_status_name(INT32_MAX), "UNKNOWN") == 0);
  CHECK(strcmp(docache_status_name(INT32_MIN), "UNKNOWN") == 0);
  checked("names of statuses, known and unknown");
}

int main(void) {
  status_names();
  null_values();
  empty_values();
  errors();
  loggers();
  null_everywhere_without_a_loop();
  null_snapshots_and_waits();
  null_outputs();
  edges_of_reading();
  bad_options();
  sizes_of_options();
  sizes_of_stats();
  endless_interval_stops_at_once();
  hostile_doers();
  return all_checked("hostile.c");
}
