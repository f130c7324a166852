/* A loop cache that its host drives: an event loop with timers of its own, and no thread of the
 * library's. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

static docache_loop *new_driven(uint64_t interval_ns, size_t capacity) {
  docache_loop_options options = loop_options(interval_ns, capacity);
  docache_loop *loop = NULL;
  CHECK_OK(docache_loop_new(&options, NULL, 0, NULL, &loop, NULL));
  return loop;
}

static docache_value *text(const char *bytes) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new((const uint8_t *)bytes, strlen(bytes), &value, NULL));
  return value;
}

static void count(uintptr_t token) { atomic_fetch_add((atomic_uint *)token, 1); }

static void calls_one_after_the_other(void) {
  docache_loop *loop = new_driven(HOUR, 4);
  docache_drive *drive = NULL, *second = NULL;
  docache_error *error = NULL;
  uint64_t wait_ns = 7;
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK(docache_loop_is_running(loop));
  CHECK_STATUS(docache_loop_drive(loop, &second, NULL), DOCACHE_BUSY);
  CHECK(second == NULL);

  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  CHECK_INT(wait_ns, ==, 7);
  CHECK_STATUS(docache_drive_begin(drive, &wait_ns, &error), DOCACHE_REENTRANT);
  CHECK_ERROR(error, DOCACHE_REENTRANT, "finished");
  CHECK_OK(docache_drive_finish(drive, DOCACHE_OK, text("first"), NULL, NULL));
  CHECK_INT(docache_loop_version(loop), ==, 1);
  docache_value *value = NULL;
  CHECK_OK(docache_loop_latest(loop, &value, NULL, NULL));
  CHECK_VALUE(value, "first");
  docache_value_release(value);

  CHECK_STATUS(docache_drive_begin(drive, &wait_ns, NULL), DOCACHE_PENDING);
  CHECK_INT(wait_ns, >, HOUR / 2);
  CHECK_INT(wait_ns, <=, HOUR);
  CHECK_STATUS(docache_drive_finish(drive, DOCACHE_OK, text("unasked"), NULL, &error),
               DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "drive", "begin");
  CHECK_INT(docache_loop_version(loop), ==, 1);

  docache_drive_free(drive);
  CHECK(!docache_loop_is_running(loop));
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  docache_drive_free(drive); /* in the midst of a call, which is without a result */
  CHECK_INT(docache_loop_version(loop), ==, 1);
  docache_loop_free(loop);
  checked("calls: each is begun and finished, and a run ends with its drive");
}

static void what_failed_is_recorded(void) {
  docache_loop *loop = new_driven(1, 4);
  docache_drive *drive = NULL;
  docache_error *error = NULL;
  uint64_t wait_ns = 0;
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  CHECK_OK(docache_error_new(42, "no luck", 7, &error, NULL));
  CHECK_OK(docache_drive_finish(drive, DOCACHE_DOER_FAILED, NULL, error, NULL));
  error = NULL;
  CHECK_OK(docache_loop_last_error(loop, &error, NULL));
  CHECK_INT(docache_error_code(error), ==, 42);
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "no luck");

  /* OK without a value is a failure too. */
  error = NULL;
  while (docache_drive_begin(drive, &wait_ns, NULL) == DOCACHE_PENDING) {
  }
  CHECK_OK(docache_drive_finish(drive, DOCACHE_OK, NULL, NULL, NULL));
  CHECK_OK(docache_loop_last_error(loop, &error, NULL));
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "without a value");
  docache_loop_counters counters;
  memset(&counters, 0, sizeof counters);
  counters.size = sizeof counters;
  CHECK_OK(docache_loop_stats(loop, &counters, NULL));
  CHECK_INT(counters.calls, ==, 2);
  CHECK_INT(counters.failures, ==, 2);
  docache_drive_free(drive);
  docache_loop_free(loop);
  checked("failures: recorded as a Doer's are");
}

static void who_refreshes_or_stops_calls_the_host(void) {
  docache_loop *loop = new_driven(HOUR, 0);
  docache_drive *drive = NULL;
  docache_wait *called = NULL, *refreshed = NULL, *stopped = NULL;
  atomic_uint notified = 0, told = 0;
  uint64_t wait_ns = 0, version = 0;
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  CHECK_OK(docache_drive_finish(drive, DOCACHE_OK, text("first"), NULL, NULL));

  CHECK_STATUS(docache_drive_called(drive, &called, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(called, count, (uintptr_t)&notified, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_refresh_begin(loop, &refreshed, NULL), DOCACHE_PENDING);
  CHECK_INT(atomic_load(&notified), ==, 1);
  docache_wait_free(called);
  CHECK_STATUS(docache_wait_on_ready(refreshed, count, (uintptr_t)&told, NULL), DOCACHE_PENDING);
  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  CHECK_OK(docache_drive_finish(drive, DOCACHE_OK, text("second"), NULL, NULL));
  CHECK_INT(atomic_load(&told), ==, 1);
  CHECK_OK(docache_wait_poll(refreshed, &version, NULL));
  CHECK_INT(version, ==, 2);
  docache_wait_free(refreshed);

  CHECK_STATUS(docache_drive_called(drive, &called, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_stop_begin(loop, &stopped, NULL), DOCACHE_PENDING);
  CHECK_OK(docache_wait_poll(called, NULL, NULL));
  docache_wait_free(called);
  docache_error *error = NULL;
  CHECK_STATUS(docache_drive_begin(drive, &wait_ns, &error), DOCACHE_CLOSED);
  CHECK_ERROR(error, DOCACHE_CLOSED, "stop");
  CHECK_STATUS(docache_wait_poll(stopped, NULL, NULL), DOCACHE_PENDING);
  docache_drive_free(drive);
  CHECK_OK(docache_wait_poll(stopped, NULL, NULL));
  docache_wait_free(stopped);
  docache_loop_free(loop);
  checked("a refresh and a stop call the host, which need not look all the time");
}

static void a_wait_for_the_host_ends_with_the_run(void) {
  docache_loop *loop = new_driven(1, 2);
  docache_drive *drive = NULL;
  docache_wait *called = NULL, *other = NULL;
  docache_error *error = NULL;
  atomic_uint notified = 0;
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_STATUS(docache_drive_called(drive, &called, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(called, count, (uintptr_t)&notified, NULL), DOCACHE_PENDING);
  docache_drive_free(drive);
  CHECK_INT(atomic_load(&notified), ==, 1);
  CHECK_STATUS(docache_wait_poll(called, NULL, &error), DOCACHE_CLOSED);
  CHECK_ERROR(error, DOCACHE_CLOSED, "ended");
  docache_wait_free(called);

  /* A later run is none of its business. */
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_STATUS(docache_drive_called(drive, &called, NULL), DOCACHE_PENDING);
  docache_drive_free(drive);
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_STATUS(docache_drive_called(drive, &other, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_poll(called, NULL, NULL), DOCACHE_CLOSED);
  CHECK_STATUS(docache_wait_poll(other, NULL, NULL), DOCACHE_PENDING);
  docache_wait_free(called);
  docache_drive_free(drive);
  docache_loop_free(loop);
  docache_wait_free(other);
  checked("who waits for the host hears of the end of the run");
}

static void a_loop_may_go_before_its_drive(void) {
  docache_loop *loop = new_driven(1, 2);
  docache_drive *drive = NULL;
  uint64_t wait_ns = 0;
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  docache_loop_free(loop); /* does not wait for this very thread */
  CHECK_OK(docache_drive_finish(drive, DOCACHE_OK, text("late"), NULL, NULL));
  CHECK_STATUS(docache_drive_begin(drive, &wait_ns, NULL), DOCACHE_CLOSED);
  docache_drive_free(drive);
  docache_drive_free(NULL);
  checked("a loop that is freed first ends its drive");
}

static void what_has_no_doer_is_only_driven(void) {
  docache_loop *loop = new_driven(MS, 0);
  docache_error *error = NULL;
  CHECK_STATUS(docache_loop_start(loop, &error), DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "perform", "docache_loop_drive");
  CHECK_STATUS(docache_loop_run(loop, &error), DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "perform", "docache_loop_drive");
  docache_loop_free(loop);

  /* One that has a Doer can be driven as well, and started afterwards. */
  test_doer doer = TEST_DOER_INIT;
  loop = new_loop(&doer, MS, 0);
  docache_drive *drive = NULL;
  uint64_t wait_ns = 0;
  CHECK_OK(docache_loop_drive(loop, &drive, NULL));
  CHECK_OK(docache_drive_begin(drive, &wait_ns, NULL));
  CHECK_OK(docache_drive_finish(drive, DOCACHE_OK, text("the host's"), NULL, NULL));
  docache_drive_free(drive);
  CHECK_OK(docache_loop_start(loop, NULL));
  uint64_t version = 0;
  CHECK_OK(docache_loop_changed(loop, 1, CHECK_PATIENCE_NS, &version, NULL));
  docache_loop_free(loop);
  checked("a loop without a Doer is driven only; one with a Doer either way");
}

int main(void) {
  calls_one_after_the_other();
  what_failed_is_recorded();
  who_refreshes_or_stops_calls_the_host();
  a_wait_for_the_host_ends_with_the_run();
  a_loop_may_go_before_its_drive();
  what_has_no_doer_is_only_driven();
  return all_checked("drive");
}
