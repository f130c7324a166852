/* Groups as a program uses them that may block: one run for all who ask, what its callers share,
   how long they wait, and what they can get wrong. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>

#include "check.h"

static const uint8_t KEY[] = "key";

/* One caller of the blocking form, perhaps on a thread of its own. */
typedef struct caller {
  docache_group *group;
  const uint8_t *key;
  size_t key_len;
  int64_t timeout_ns;
  docache_perform_fn perform;
  uintptr_t ctx;
  docache_status status;
  docache_value *value;
  uint32_t shared;
  docache_error *error;
} caller;

static caller new_caller(docache_group *group, test_doer *doer) {
  return (caller){.group = group, .key = KEY, .key_len = 3, .timeout_ns = CHECK_PATIENCE_NS,
                  .perform = test_doer_perform, .ctx = (uintptr_t)doer, .shared = 77};
}

static void *run(void *argument) {
  caller *c = argument;
  c->status = docache_group_run(c->group, c->key, c->key_len, c->timeout_ns, c->perform, c->ctx,
                                &c->value, &c->shared, &c->error);
  return NULL;
}

static void release(caller *c) {
  docache_value_release(c->value);
  docache_error_release(c->error);
  c->value = NULL;
  c->error = NULL;
}

static void one_after_the_other(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_group *group = new_group();
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  static const char *const texts[] = {"call 1", "call 2", "call 3"};
  for (int i = 0; i < 3; i++) {
    caller c = new_caller(group, &doer);
    c.timeout_ns = i == 0 ? DOCACHE_FOREVER : i - 1;
    run(&c);
    CHECK_OK(c.status);
    CHECK_VALUE(c.value, texts[i]);
    CHECK(c.shared == 0 && c.error == NULL);
    release(&c);
    CHECK_INT(atomic_load(&doer.values_dropped), ==, i + 1);
  }
  docache_value *value = NULL;
  CHECK_OK(docache_group_run(group, NULL, 0, 0, test_doer_perform, (uintptr_t)&doer, &value, NULL,
                             NULL));
  CHECK_VALUE(value, "call 4");
  docache_group_free(group);
  CHECK_VALUE(value, "call 4");
  docache_value_release(value);
  CHECK_INT(atomic_load(&doer.values_dropped), ==, 4);
  checked("calls one after the other run each; however short, the time limits only waiting");
}

static void failures_of_the_leader(void) {
  test_doer doer = TEST_DOER_INIT;
  atomic_store(&doer.failing, true);
  docache_group *group = new_group();
  caller c = new_caller(group, &doer);
  run(&c);
  CHECK_STATUS(c.status, DOCACHE_DOER_FAILED);
  CHECK(c.value == NULL && c.shared == 77);
  CHECK_INT(docache_error_code(c.error), ==, 42);
  CHECK_ERROR(c.error, DOCACHE_DOER_FAILED, "as told");
  c.error = NULL;
  atomic_store(&doer.failing, false);
  run(&c);
  CHECK_OK(c.status);
  release(&c);
  CHECK_OK(docache_group_run(group, KEY, 3, 0, test_doer_perform, (uintptr_t)&doer, &c.value, NULL,
                             NULL));
  release(&c);
  docache_group_free(group);
  checked("a failure is the call's own, with its code; the next call runs again");
}

/* What a perform returns that does not keep to the contract. */
static docache_status says_ok_without_a_value(uintptr_t context, docache_value **out,
                                              docache_error **out_error) {
  (void)context, (void)out, (void)out_error;
  return DOCACHE_OK;
}

static docache_status says_nonsense(uintptr_t context, docache_value **out,
                                    docache_error **out_error) {
  (void)out_error;
  CHECK_OK(docache_value_wrap(NULL, 0, context, count_up, out, NULL));
  return 12345;
}

static docache_status panics(uintptr_t context, docache_value **out, docache_error **out_error) {
  (void)context, (void)out;
  CHECK_OK(docache_error_new(-7, "a bug", 5, out_error, NULL));
  return DOCACHE_PANIC;
}

static docache_status passes_a_refusal_on(uintptr_t context, docache_value **out,
                                          docache_error **out_error) {
  (void)context, (void)out;
  docache_value *value = NULL;
  return docache_value_new(NULL, 3, &value, out_error);
}

static void odd_reports(void) {
  docache_group *group = new_group();
  atomic_uint drops = 0;
  caller c = new_caller(group, NULL);
  c.perform = says_ok_without_a_value;
  run(&c);
  CHECK_STATUS(c.status, DOCACHE_DOER_FAILED);
  CHECK_ERROR(c.error, DOCACHE_DOER_FAILED, "OK without a value");
  c.perform = says_nonsense;
  c.ctx = (uintptr_t)&drops;
  run(&c);
  CHECK_STATUS(c.status, DOCACHE_DOER_FAILED);
  CHECK_INT(atomic_load(&drops), ==, 1);
  CHECK_ERROR(c.error, DOCACHE_DOER_FAILED, "12345");
  c.perform = panics;
  run(&c);
  CHECK_STATUS(c.status, DOCACHE_PANIC);
  CHECK_INT(docache_error_code(c.error), ==, -7);
  CHECK_ERROR(c.error, DOCACHE_PANIC, "a bug");
  c.perform = passes_a_refusal_on;
  run(&c);
  CHECK_STATUS(c.status, DOCACHE_DOER_FAILED);
  CHECK_ERROR(c.error, DOCACHE_DOER_FAILED, "data", "NULL");
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  docache_group_free(group);
  checked("a report that breaks the contract is a failure, PANIC is a panic");
}

/* With no time to wait a call only looks: somebody else runs. */
static void check_somebody_runs(docache_group *group) {
  docache_value *value = NULL;
  docache_error *error = NULL;
  CHECK_STATUS(
      docache_group_run(group, KEY, 3, 0, says_ok_without_a_value, 0, &value, NULL, &error),
      DOCACHE_TIMEOUT);
  CHECK(value == NULL);
  CHECK_ERROR(error, DOCACHE_TIMEOUT, "timed out");
}

static void limited_waiting(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_group *group = new_group();
  caller leader = new_caller(group, &doer), waiter = new_caller(group, &doer);
  const pthread_t thread = spawn(run, &leader);
  gate_pass(&doer.entered);
  CHECK_INT(docache_group_in_flight(group), ==, 1);
  check_somebody_runs(group);
  waiter.timeout_ns = 1000 * 1000;
  run(&waiter);
  CHECK_STATUS(waiter.status, DOCACHE_TIMEOUT);
  CHECK(waiter.value == NULL && waiter.shared == 77);
  CHECK_ERROR(waiter.error, DOCACHE_TIMEOUT, "timed out");
  gate_open(&doer.may_leave, 1);
  join(thread);
  CHECK_OK(leader.status);
  CHECK_VALUE(leader.value, "call 1");
  CHECK_INT(leader.shared, ==, 0);
  release(&leader);
  docache_group_free(group);
  CHECK_INT(atomic_load(&doer.calls), ==, 1);
  CHECK_INT(atomic_load(&doer.values_dropped), ==, 1);
  checked("waiting ends with its time, and nobody else notices");
}

static void forgotten(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_group *group = new_group();
  CHECK_STATUS(docache_group_forget(group, KEY, 3, NULL), DOCACHE_MISS);
  caller first = new_caller(group, &doer), second = new_caller(group, &doer);
  pthread_t threads[2];
  threads[0] = spawn(run, &first);
  gate_pass(&doer.entered);
  CHECK_OK(docache_group_forget(group, KEY, 3, NULL));
  threads[1] = spawn(run, &second);
  gate_pass(&doer.entered);
  CHECK_INT(docache_group_in_flight(group), ==, 1);
  CHECK_OK(docache_group_forget(group, KEY, 3, NULL));
  CHECK_STATUS(docache_group_forget(group, KEY, 3, NULL), DOCACHE_MISS);
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  gate_open(&doer.may_leave, 2);
  join(threads[0]);
  join(threads[1]);
  CHECK_OK(first.status);
  CHECK_OK(second.status);
  CHECK_VALUE(first.value, "call 1");
  CHECK_VALUE(second.value, "call 2");
  release(&first);
  release(&second);
  docache_group_free(group);
  checked("a run that was forgotten goes on, and the next call begins another");
}

/* Calls from inside a run. */
typedef struct nested {
  docache_group *group;
  docache_status own_key, own_begin, other_key;
  docache_value *inner;
} nested;

static docache_status empty_value(uintptr_t context, docache_value **out,
                                  docache_error **out_error) {
  (void)context;
  return docache_value_new(NULL, 0, out, out_error);
}

static docache_status calls_itself(uintptr_t context, docache_value **out,
                                   docache_error **out_error) {
  nested *n = (nested *)context;
  docache_error *error = NULL;
  docache_call *call = (docache_call *)n;
  n->own_key = docache_group_run(n->group, KEY, 3, DOCACHE_FOREVER, calls_itself, context,
                                 &n->inner, NULL, &error);
  CHECK(n->inner == NULL);
  CHECK_ERROR(error, DOCACHE_REENTRANT, "\"key\"", "inside");
  n->own_begin = docache_group_begin(n->group, KEY, 3, &call, &error);
  CHECK(call == NULL);
  CHECK_ERROR(error, DOCACHE_REENTRANT, "\"key\"", "inside");
  n->other_key = docache_group_run(n->group, (const uint8_t *)"k\0y", 3, 0, empty_value, 0,
                                   &n->inner, NULL, NULL);
  docache_value_release(n->inner);
  return empty_value(0, out, out_error);
}

static void from_inside(void) {
  docache_group *group = new_group();
  nested n = {.group = group};
  docache_value *value = NULL;
  CHECK_OK(docache_group_run(group, KEY, 3, DOCACHE_FOREVER, calls_itself, (uintptr_t)&n, &value,
                             NULL, NULL));
  CHECK_STATUS(n.own_key, DOCACHE_REENTRANT);
  CHECK_STATUS(n.own_begin, DOCACHE_REENTRANT);
  CHECK_OK(n.other_key);
  docache_value_release(value);
  docache_group_free(group);
  checked("a run that would wait for itself is told so; one of another key is not");
}

/* A crowd whose every member asks for the same key at once, again and again. */
enum { CROWD = 64, TURNS = 50 };

static pthread_barrier_t crowd_start;
static atomic_uint crowd_begun;
/* The last run of which somebody has the outcome. */
static atomic_uint crowd_ended;

static docache_status numbered(uintptr_t context, docache_value **out, docache_error **out_error) {
  (void)context;
  const unsigned number = atomic_fetch_add(&crowd_begun, 1) + 1;
  for (int i = 0; i < 20; i++) sched_yield();
  return docache_value_new((const uint8_t *)&number, sizeof number, out, out_error);
}

static void *crowd_member(void *argument) {
  docache_group *group = argument;
  uintptr_t alone = 0;
  for (int turn = 0; turn < TURNS; turn++) {
    pthread_barrier_wait(&crowd_start);
    unsigned over = atomic_load(&crowd_ended);
    docache_value *value = NULL;
    uint32_t shared = 77;
    CHECK_OK(
        docache_group_run(group, KEY, 3, CHECK_PATIENCE_NS, numbered, 0, &value, &shared, NULL));
    unsigned number = 0;
    CHECK_INT(docache_value_len(value), ==, sizeof number);
    memcpy(&number, docache_value_data(value), sizeof number);
    /* Never the outcome of a run that was over before. */
    CHECK_INT(number, >, over);
    while (over < number && !atomic_compare_exchange_weak(&crowd_ended, &over, number)) continue;
    CHECK_INT(shared, <=, 1);
    if (shared == 0) alone++;
    docache_value_release(value);
  }
  return (void *)alone;
}

static void crowd(void) {
  docache_group *group = new_group();
  pthread_t threads[CROWD];
  CHECK_INT(pthread_barrier_init(&crowd_start, NULL, CROWD), ==, 0);
  for (int i = 0; i < CROWD; i++) threads[i] = spawn(crowd_member, group);
  uintptr_t alone = 0;
  for (int i = 0; i < CROWD; i++) {
    void *member = NULL;
    CHECK_INT(pthread_join(threads[i], &member), ==, 0);
    alone += (uintptr_t)member;
  }
  pthread_barrier_destroy(&crowd_start);
  /* Those whose outcome nobody shares have run themselves. */
  CHECK_INT(atomic_load(&crowd_begun), >=, alone);
  CHECK_INT(atomic_load(&crowd_begun), <=, CROWD * TURNS);
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  docache_group_free(group);
  checked("64 threads that ask at once get outcomes of runs that were under way while they asked");
}

static void refused_groups(void) {
  docache_group *group = NULL;
  struct {
    docache_group_options known;
    uint64_t unknown;
  } longer = {.known = {.size = sizeof longer, .shards = 3}};
  docache_group_options options = {.size = sizeof options - 1};
  REFUSED(docache_group_new(&options, &group, &error), "options.size",
          "sizeof(docache_group_options)");
  options.size = 1 << 20;
  REFUSED(docache_group_new(&options, &group, &error), "options.size");
  options.size = sizeof options;
  options.shards = 65537;
  REFUSED(docache_group_new(&options, &group, &error), "shards", "65537", "65536");
  options.shards = 0;
  options.reserved = 1;
  REFUSED(docache_group_new(&options, &group, &error), "options.reserved", "1");
  options.reserved = 0;
  options.reserved2 = 2;
  REFUSED(docache_group_new(&options, &group, &error), "options.reserved2", "2");
  options.reserved2 = 0;
  REFUSED(docache_group_new(&options, NULL, &error), "out", "NULL");
  REFUSED(docache_group_new((const docache_group_options *)((const char *)&options + 1), &group,
                            &error),
          "options", "misaligned");
  longer.unknown = 1;
  REFUSED(docache_group_new(&longer.known, &group, &error), "offset 24");
  CHECK(group == NULL);
  longer.unknown = 0;
  CHECK_OK(docache_group_new(&longer.known, &group, NULL));
  docache_group_free(group);
  CHECK_OK(docache_group_new(&options, &group, NULL));
  docache_group_free(group);
  docache_group_free(NULL);
  CHECK_INT(docache_group_in_flight(NULL), ==, 0);
  checked("options: sizes, unknown parts and values that do not exist");
}

static void refused_runs(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_group *group = new_group();
  const uintptr_t ctx = (uintptr_t)&doer;
  docache_value *value = (docache_value *)&doer;
  uint32_t shared = 77;
  docache_group *crooked = (docache_group *)((char *)group + 1);
  REFUSED(docache_group_run(NULL, KEY, 3, 0, test_doer_perform, ctx, &value, &shared, &error),
          "group", "NULL");
  CHECK(value == NULL && shared == 77);
  REFUSED(docache_group_run(crooked, KEY, 3, 0, test_doer_perform, ctx, &value, &shared, &error),
          "group", "misaligned");
  REFUSED(docache_group_run(group, NULL, 3, 0, test_doer_perform, ctx, &value, &shared, &error),
          "key", "NULL");
  REFUSED(
      docache_group_run(group, KEY, SIZE_MAX, 0, test_doer_perform, ctx, &value, &shared, &error),
      "key_len");
  REFUSED(docache_group_run(group, KEY, 3, 0, NULL, ctx, &value, &shared, &error), "perform",
          "NULL");
  REFUSED(docache_group_run(group, KEY, 3, 0, test_doer_perform, ctx, NULL, &shared, &error),
          "out_value", "NULL");
  REFUSED(docache_group_run(group, KEY, 3, 0, test_doer_perform, ctx, &value,
                            (uint32_t *)((char *)&shared + 1), &error),
          "out_shared", "misaligned");
  REFUSED(docache_group_forget(NULL, KEY, 3, &error), "group", "NULL");
  REFUSED(docache_group_forget(group, NULL, 3, &error), "key", "NULL");
  CHECK_STATUS(docache_group_forget(group, KEY, SIZE_MAX, NULL), DOCACHE_INVALID_ARGUMENT);
  CHECK_INT(docache_group_in_flight(crooked), ==, 0);
  CHECK(value == NULL && shared == 77);
  CHECK_INT(atomic_load(&doer.calls), ==, 0);
  docache_group_free(group);
  checked("runs: NULL, misaligned pointers and impossible lengths run nothing");
}

int main(void) {
  one_after_the_other();
  failures_of_the_leader();
  odd_reports();
  limited_waiting();
  forgotten();
  from_inside();
  crowd();
  refused_groups();
  refused_runs();
  return all_checked("group");
}
