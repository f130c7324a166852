/* What the programs in this folder share: checks that print where and what, and gates to wait at
 * instead of sleeping. */
#ifndef DOCACHE_TEST_CHECK_H
#define DOCACHE_TEST_CHECK_H

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "docache.h"

/* Long enough for any machine that is alive; only ever reached by a test that has failed. */
#define CHECK_PATIENCE_S 60
#define CHECK_PATIENCE_NS (CHECK_PATIENCE_S * INT64_C(1000000000))
#define MS UINT64_C(1000000)
#define HOUR (UINT64_C(3600000) * MS)

#define CHECK_UNUSED __attribute__((unused))

static atomic_uint check_count;

CHECK_UNUSED static _Noreturn void check_failed(const char *file, int line) {
  fprintf(stderr, "FAILED at %s:%d\n", file, line);
  fflush(NULL);
  abort();
}

#define CHECK(condition)                             \
  do {                                               \
    atomic_fetch_add(&check_count, 1);               \
    if (!(condition)) {                              \
      fprintf(stderr, "not true: %s\n", #condition); \
      check_failed(__FILE__, __LINE__);              \
    }                                                \
  } while (0)

#define CHECK_INT(left, relation, right)                                                     \
  do {                                                                                       \
    const int64_t check_left = (int64_t)(left), check_right = (int64_t)(right);              \
    atomic_fetch_add(&check_count, 1);                                                       \
    if (!(check_left relation check_right)) {                                                \
      fprintf(stderr, "not true: %s %s %s: %" PRId64 " and %" PRId64 "\n", #left, #relation, \
              #right, check_left, check_right);                                              \
      check_failed(__FILE__, __LINE__);                                                      \
    }                                                                                        \
  } while (0)

#define CHECK_STATUS(call, expected)                                                   \
  do {                                                                                 \
    const docache_status check_got = (call), check_want = (expected);                  \
    atomic_fetch_add(&check_count, 1);                                                 \
    if (check_got != check_want) {                                                     \
      fprintf(stderr, "%s: %s instead of %s\n", #call, docache_status_name(check_got), \
              docache_status_name(check_want));                                        \
      check_failed(__FILE__, __LINE__);                                                \
    }                                                                                  \
  } while (0)

#define CHECK_OK(call) CHECK_STATUS(call, DOCACHE_OK)

/* The bytes of `value` are those of the text. */
#define CHECK_VALUE(value, text)                                       \
  do {                                                                 \
    CHECK_INT(docache_value_len(value), ==, strlen(text));             \
    CHECK(memcmp(docache_value_data(value), text, strlen(text)) == 0); \
  } while (0)

/* The error has the status and names every word of the list; releases it. */
#define CHECK_ERROR(error, expected_status, ...) \
  check_error(__FILE__, __LINE__, error, expected_status, (const char *[]){__VA_ARGS__, NULL})

CHECK_UNUSED static void check_error(const char *file, int line, docache_error *error,
                                     docache_status status, const char *const *words) {
  size_t len = 0;
  const char *message = docache_error_message(error, &len);
  atomic_fetch_add(&check_count, 1);
  if (error == NULL || docache_error_status(error) != status || len == 0 ||
      strlen(message) != len) {
    fprintf(stderr, "error %s \"%s\" instead of %s with a message\n",
            docache_status_name(docache_error_status(error)), message ? message : "",
            docache_status_name(status));
    check_failed(file, line);
  }
  for (; *words != NULL; words++) {
    if (strstr(message, *words) == NULL) {
      fprintf(stderr, "error message \"%s\" does not name \"%s\"\n", message, *words);
      check_failed(file, line);
    }
  }
  docache_error_release(error);
}

/* The call is refused as an invalid argument, and the message names the words. `error` must be its
 * last argument. */
#define REFUSED(call, ...)                                     \
  do {                                                         \
    docache_error *error = NULL;                               \
    CHECK_STATUS(call, DOCACHE_INVALID_ARGUMENT);              \
    CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, __VA_ARGS__); \
  } while (0)

/* Says that a part of the program is through. */
CHECK_UNUSED static void checked(const char *what) {
  printf("  ok  %s\n", what);
  fflush(stdout);
}

CHECK_UNUSED static int all_checked(const char *program) {
  printf("%s: %u checks passed\n", program, atomic_load(&check_count));
  return 0;
}

/* A counting semaphore: gate_pass blocks until there is a permit, and fails the test if none ever
 * comes. */
typedef struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  unsigned permits;
} gate;

#define GATE_INIT {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}

CHECK_UNUSED static void gate_open(gate *g, unsigned permits) {
  pthread_mutex_lock(&g->mutex);
  g->permits += permits;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->mutex);
}

CHECK_UNUSED static void gate_pass(gate *g) {
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += CHECK_PATIENCE_S;
  pthread_mutex_lock(&g->mutex);
  while (g->permits == 0) {
    CHECK_INT(pthread_cond_timedwait(&g->changed, &g->mutex, &deadline), ==, 0);
  }
  g->permits--;
  pthread_mutex_unlock(&g->mutex);
}

CHECK_UNUSED static void count_up(uintptr_t counter) {
  atomic_fetch_add((atomic_uint *)counter, 1);
}

CHECK_UNUSED static pthread_t spawn(void *(*body)(void *), void *argument) {
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, body, argument), ==, 0);
  return thread;
}

CHECK_UNUSED static void join(pthread_t thread) { CHECK_INT(pthread_join(thread, NULL), ==, 0); }

/* A Doer for tests: what it does next is set from outside, and it counts what happens to it. */
typedef struct test_doer {
  gate entered;            /* opened at the start of every call, if `gated` */
  gate may_leave;          /* passed before every return, if `gated` */
  bool gated;
  atomic_bool failing;     /* calls return DOER_FAILED with code 42 and "as told" */
  atomic_uint calls;
  atomic_uint drops;       /* drop(ctx) of the registration: exactly 1 in the end */
  atomic_uint values_made; /* values wrapped by the Doer, and those of them that were dropped */
  atomic_uint values_dropped;
} test_doer;

#define TEST_DOER_INIT {.entered = GATE_INIT, .may_leave = GATE_INIT}

typedef struct test_blob {
  test_doer *doer;
  uint64_t call;
  char text[24];
} test_blob;

CHECK_UNUSED static void test_blob_drop(uintptr_t context) {
  test_blob *blob = (test_blob *)context;
  atomic_fetch_add(&blob->doer->values_dropped, 1);
  free(blob);
}

/* Its values are the texts "call 1", "call 2", ... */
CHECK_UNUSED static docache_status test_doer_perform(uintptr_t context, docache_value **out,
                                                     docache_error **out_error) {
  test_doer *doer = (test_doer *)context;
  const unsigned call = atomic_fetch_add(&doer->calls, 1) + 1;
  if (doer->gated) {
    gate_open(&doer->entered, 1);
    gate_pass(&doer->may_leave);
  }
  if (atomic_load(&doer->failing)) {
    CHECK_OK(docache_error_new(42, "as told", strlen("as told"), out_error, NULL));
    return DOCACHE_DOER_FAILED;
  }
  test_blob *blob = malloc(sizeof *blob);
  CHECK(blob != NULL);
  blob->doer = doer;
  blob->call = call;
  const int len = snprintf(blob->text, sizeof blob->text, "call %u", call);
  atomic_fetch_add(&doer->values_made, 1);
  CHECK_OK(docache_value_wrap((const uint8_t *)blob->text, (size_t)len, (uintptr_t)blob,
                              test_blob_drop, out, out_error));
  return DOCACHE_OK;
}

CHECK_UNUSED static void test_doer_drop(uintptr_t context) {
  atomic_fetch_add(&((test_doer *)context)->drops, 1);
}

/* Nothing of the Doer is left in the library. */
#define CHECK_DOER_GONE(doer)                                                               \
  do {                                                                                      \
    CHECK_INT(atomic_load(&(doer)->drops), ==, 1);                                          \
    CHECK_INT(atomic_load(&(doer)->values_dropped), ==, atomic_load(&(doer)->values_made)); \
  } while (0)

CHECK_UNUSED static docache_loop_options loop_options(uint64_t interval_ns, size_t capacity) {
  docache_loop_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.interval_ns = interval_ns;
  options.capacity = capacity;
  return options;
}

CHECK_UNUSED static docache_loop *new_loop(test_doer *doer, uint64_t interval_ns, size_t capacity) {
  const docache_loop_options options = loop_options(interval_ns, capacity);
  docache_loop *loop = NULL;
  CHECK_OK(
      docache_loop_new(&options, test_doer_perform, (uintptr_t)doer, test_doer_drop, &loop, NULL));
  CHECK(loop != NULL);
  return loop;
}

CHECK_UNUSED static docache_group *new_group(void) {
  docache_group *group = NULL;
  CHECK_OK(docache_group_new(NULL, &group, NULL));
  CHECK(group != NULL);
  return group;
}

CHECK_UNUSED static void wait_for_version(const docache_loop *loop, uint64_t wanted) {
  uint64_t version = 0;
  CHECK_OK(docache_loop_changed(loop, wanted - 1, CHECK_PATIENCE_NS, &version, NULL));
  CHECK_INT(version, >=, wanted);
}

CHECK_UNUSED static void refresh_now(const docache_loop *loop) {
  const uint64_t before = docache_loop_version(loop);
  uint64_t version = 0;
  CHECK_OK(docache_loop_refresh(loop, CHECK_PATIENCE_NS, &version, NULL));
  CHECK_INT(version, >, before);
}

#endif /* DOCACHE_TEST_CHECK_H */
