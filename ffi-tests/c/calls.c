/* The calls of a group that do not block: begin, finish, on_ready, poll, cancel, free; what happens
   to the lead, who is notified of what and how often, and what can be got wrong. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

static const uint8_t KEY[] = "key";

static docache_call *begin(docache_group *group, docache_status expected) {
  docache_call *call = NULL;
  CHECK_STATUS(docache_group_begin(group, KEY, 3, &call, NULL), expected);
  CHECK(call != NULL);
  return call;
}

/* A value that counts its drops. */
static docache_value *counted(atomic_uint *drops) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_wrap(KEY, 3, (uintptr_t)drops, count_up, &value, NULL));
  return value;
}

static uint32_t finish(docache_call *call, docache_value *value) {
  uint32_t shared = 77;
  CHECK_OK(docache_call_finish(call, DOCACHE_OK, value, NULL, &shared, NULL));
  return shared;
}

static void check_value(docache_call *call, docache_value *expected, uint32_t expected_shared) {
  for (int i = 0; i < 2; i++) {
    docache_value *value = NULL;
    uint32_t shared = 77;
    CHECK_OK(docache_call_poll(call, &value, &shared, NULL));
    CHECK(value == expected && shared == expected_shared);
    docache_value_release(value);
  }
}

static void check_poll(docache_call *call, docache_status expected) {
  docache_value *value = (docache_value *)call;
  docache_error *error = (docache_error *)call;
  uint32_t shared = 77;
  CHECK_STATUS(docache_call_poll(call, &value, &shared, &error), expected);
  CHECK(value == NULL && error == NULL && shared == 77);
}

static void arm(docache_call *call, atomic_uint *told) {
  CHECK_STATUS(docache_call_on_ready(call, count_up, (uintptr_t)told, NULL), DOCACHE_PENDING);
}

static void lead_and_follow(void) {
  atomic_uint drops = 0, told = 0;
  docache_group *group = new_group();
  docache_value *value = counted(&drops);
  docache_call *leader = begin(group, DOCACHE_LEADER), *waiters[40];
  for (int i = 0; i < 40; i++) waiters[i] = begin(group, DOCACHE_PENDING);
  for (int i = 0; i < 20; i++) arm(waiters[i], &told);
  check_poll(leader, DOCACHE_LEADER);
  check_poll(waiters[0], DOCACHE_PENDING);
  CHECK_INT(docache_group_in_flight(group), ==, 1);
  CHECK_INT(finish(leader, value), ==, 1);
  CHECK_INT(atomic_load(&told), ==, 20);
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  check_value(leader, value, 1);
  for (int i = 0; i < 40; i++) check_value(waiters[i], value, 1);
  docache_value_release(value);
  CHECK_OK(docache_call_free(leader));
  for (int i = 0; i < 40; i++) {
    CHECK_INT(atomic_load(&drops), ==, 0);
    CHECK_OK(docache_call_free(waiters[i]));
  }
  CHECK_INT(atomic_load(&drops), ==, 1);
  CHECK_INT(atomic_load(&told), ==, 20);

  leader = begin(group, DOCACHE_LEADER);
  value = counted(&drops);
  CHECK_INT(finish(leader, value), ==, 0);
  check_value(leader, value, 0);
  docache_value_release(value);
  docache_group_free(group);
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&drops), ==, 2);
  checked(
      "all who joined get the leader's value, those that asked are notified once, and it is "
      "dropped once");
}

static void failures(void) {
  docache_group *group = new_group();
  const docache_status reports[] = {DOCACHE_DOER_FAILED, DOCACHE_PANIC, DOCACHE_DOER_FAILED,
                                    DOCACHE_PANIC};
  for (int i = 0; i < 4; i++) {
    docache_error *reported = NULL;
    if (i < 2) CHECK_OK(docache_error_new(INT64_MIN + i, "no such user", 12, &reported, NULL));
    docache_call *leader = begin(group, DOCACHE_LEADER), *waiter = begin(group, DOCACHE_PENDING);
    uint32_t shared = 77;
    CHECK_OK(docache_call_finish(leader, reports[i], NULL, reported, &shared, NULL));
    CHECK_INT(shared, ==, 1);
    docache_error_release(reported);
    for (int who = 0; who < 4; who++) {
      docache_value *value = NULL;
      docache_error *error = NULL;
      CHECK_STATUS(docache_call_poll(who % 2 == 0 ? leader : waiter, &value, NULL, &error),
                   reports[i]);
      CHECK(value == NULL);
      CHECK_INT(docache_error_code(error), ==, i < 2 ? INT64_MIN + i : 0);
      CHECK_ERROR(error, reports[i], i < 2 ? "no such user" : docache_status_name(reports[i]));
    }
    CHECK_OK(docache_call_free(waiter));
    CHECK_OK(docache_call_free(leader));
  }
  docache_group_free(group);
  checked("a failure or panic reaches all with its code and text, as often as they ask");
}

static void a_lead_handed_on(void) {
  atomic_uint told = 0, drops = 0;
  docache_group *group = new_group();
  docache_call *leader = begin(group, DOCACHE_LEADER);
  docache_call *waiters[] = {begin(group, DOCACHE_PENDING), begin(group, DOCACHE_PENDING)};
  arm(waiters[0], &told);
  arm(waiters[1], &told);
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&told), ==, 1);
  docache_value *value = NULL;
  const int heir = docache_call_poll(waiters[0], &value, NULL, NULL) == DOCACHE_LEADER ? 0 : 1;
  check_poll(waiters[heir], DOCACHE_LEADER);
  check_poll(waiters[1 - heir], DOCACHE_PENDING);
  CHECK_STATUS(docache_call_cancel(waiters[heir]), DOCACHE_PENDING);
  /* The lead is there without a notification, too. */
  docache_call *third = begin(group, DOCACHE_PENDING);
  value = counted(&drops);
  CHECK_INT(finish(waiters[heir], value), ==, 1);
  CHECK_INT(atomic_load(&told), ==, 2);
  check_value(waiters[heir], value, 1);
  check_value(waiters[1 - heir], value, 1);
  check_value(third, value, 1);
  docache_value_release(value);
  CHECK_OK(docache_call_free(waiters[0]));
  CHECK_OK(docache_call_free(waiters[1]));
  CHECK_OK(docache_call_free(third));
  CHECK_INT(atomic_load(&drops), ==, 1);

  leader = begin(group, DOCACHE_LEADER);
  third = begin(group, DOCACHE_PENDING);
  CHECK_OK(docache_call_free(leader));
  CHECK_OK(docache_call_on_ready(third, count_up, (uintptr_t)&told, NULL));
  CHECK_OK(docache_call_cancel(third));
  check_poll(third, DOCACHE_LEADER);
  CHECK_STATUS(docache_call_free(third), DOCACHE_LEADER_LOST);
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  CHECK_STATUS(docache_call_free(begin(group, DOCACHE_LEADER)), DOCACHE_LEADER_LOST);
  CHECK_INT(atomic_load(&told), ==, 2);
  docache_group_free(group);
  checked("a leader that is freed hands its lead to one who waits; the last one's run is over");
}

static void cancelled(void) {
  atomic_uint told = 0, drops = 0;
  docache_group *group = new_group();
  docache_value *value = counted(&drops);
  docache_call *leader = begin(group, DOCACHE_LEADER);
  docache_call *silent = begin(group, DOCACHE_PENDING), *again = begin(group, DOCACHE_PENDING);
  docache_call *gone = begin(group, DOCACHE_PENDING);
  CHECK_OK(docache_call_cancel(silent));
  arm(silent, &told);
  arm(again, &told);
  arm(gone, &told);
  REFUSED(docache_call_on_ready(again, count_up, (uintptr_t)&told, &error), "notify", "second",
          "call");
  CHECK_OK(docache_call_cancel(silent));
  CHECK_OK(docache_call_cancel(silent));
  CHECK_OK(docache_call_cancel(again));
  arm(again, &told);
  CHECK_OK(docache_call_free(gone));
  CHECK_INT(finish(leader, value), ==, 1);
  CHECK_INT(atomic_load(&told), ==, 1);
  CHECK_OK(docache_call_cancel(silent));
  CHECK_STATUS(docache_call_cancel(again), DOCACHE_PENDING);
  CHECK_OK(docache_call_on_ready(silent, count_up, (uintptr_t)&told, NULL));
  check_value(silent, value, 1);
  CHECK_OK(docache_call_free(silent));
  CHECK_OK(docache_call_free(again));
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&told), ==, 1);
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 1);
  docache_group_free(group);
  checked("what was cancelled or freed is not notified; what is ready already neither");
}

/* Looks that others take at a call while it is being finished. */
typedef struct meddler {
  docache_group *group;
  docache_call *leader;
  docache_call *next;
} meddler;

static void meddle(uintptr_t token) {
  meddler *m = (meddler *)token;
  check_poll(m->leader, DOCACHE_LEADER);
  REFUSED(docache_call_finish(m->leader, DOCACHE_PANIC, NULL, NULL, NULL, &error), "call", "lead");
  CHECK_STATUS(docache_call_free(m->leader), DOCACHE_INVALID_ARGUMENT);
  m->next = begin(m->group, DOCACHE_LEADER);
}

static void from_inside_a_notification(void) {
  atomic_uint drops = 0;
  docache_group *group = new_group();
  docache_value *value = counted(&drops);
  meddler m = {.group = group, .leader = begin(group, DOCACHE_LEADER)};
  docache_call *waiter = begin(group, DOCACHE_PENDING);
  CHECK_STATUS(docache_call_on_ready(waiter, meddle, (uintptr_t)&m, NULL), DOCACHE_PENDING);
  CHECK_INT(finish(m.leader, value), ==, 1);
  check_value(m.leader, value, 1);
  CHECK_OK(docache_call_free(m.leader));
  CHECK_OK(docache_call_free(waiter));
  CHECK_STATUS(docache_call_free(m.next), DOCACHE_LEADER_LOST);
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 1);
  docache_group_free(group);
  checked("a notification may use the group, and cannot finish or free what is being finished");
}

/* Threads that block and calls that do not, in one run. */
static docache_status must_not_run(uintptr_t context, docache_value **out,
                                   docache_error **out_error) {
  (void)context, (void)out, (void)out_error;
  CHECK(!"this call must join");
  return DOCACHE_INTERNAL;
}

typedef struct blocker {
  docache_group *group;
  test_doer doer;
} blocker;

static void *block(void *argument) {
  blocker *b = argument;
  docache_value *value = NULL;
  CHECK_OK(docache_group_run(b->group, KEY, 3, CHECK_PATIENCE_NS, test_doer_perform,
                             (uintptr_t)&b->doer, &value, NULL, NULL));
  CHECK_VALUE(value, "call 1");
  docache_value_release(value);
  return NULL;
}

static void with_threads_that_block(void) {
  atomic_uint told = 0;
  blocker b = {.group = new_group(), .doer = TEST_DOER_INIT};
  b.doer.gated = true;
  docache_call *call = begin(b.group, DOCACHE_LEADER);
  docache_value *value = NULL;
  CHECK_STATUS(docache_group_run(b.group, KEY, 3, 0, must_not_run, 0, &value, NULL, NULL),
               DOCACHE_TIMEOUT);
  const pthread_t thread = spawn(block, &b);
  /* The thread's turn comes with the lead if it waits already, and else because nobody leads. */
  CHECK(docache_call_free(call) >= DOCACHE_OK);
  gate_pass(&b.doer.entered);
  call = begin(b.group, DOCACHE_PENDING);
  arm(call, &told);
  gate_open(&b.doer.may_leave, 1);
  join(thread);
  CHECK_INT(atomic_load(&told), ==, 1);
  CHECK_OK(docache_call_poll(call, &value, NULL, NULL));
  CHECK_VALUE(value, "call 1");
  docache_value_release(value);
  CHECK_OK(docache_call_free(call));
  CHECK_INT(atomic_load(&b.doer.values_dropped), ==, 1);
  docache_group_free(b.group);
  checked("threads that block and calls that do not lead and follow one another");
}

/* A crowd of calls that waits for one, on as many threads. */
enum { CROWD = 64 };

typedef struct teller {
  docache_call *call;
  docache_status heard;
} teller;

static void ask_teller(uintptr_t token) {
  teller *t = (teller *)token;
  docache_value *value = NULL;
  t->heard = docache_call_poll(t->call, &value, NULL, NULL);
}

static void ended(void) {
  atomic_uint drops = 0, told = 0;
  docache_group *group = new_group();
  docache_value *value = counted(&drops), *out = NULL;
  docache_error *reported = NULL, *error = NULL;
  CHECK_OK(docache_error_new(5, "no such user", 12, &reported, NULL));
  uint32_t shared = 77;
  CHECK_OK(docache_call_end(begin(group, DOCACHE_LEADER), DOCACHE_OK, value, NULL, &shared, NULL));
  CHECK_INT(shared, ==, 0);
  CHECK_INT(docache_group_in_flight(group), ==, 0);

  teller asked = {begin(group, DOCACHE_LEADER), DOCACHE_OK};
  docache_call *waiter = begin(group, DOCACHE_PENDING);
  CHECK_STATUS(docache_call_on_ready(waiter, ask_teller, (uintptr_t)&asked, NULL), DOCACHE_PENDING);
  CHECK_OK(docache_call_end(asked.call, DOCACHE_OK, value, NULL, &shared, NULL));
  CHECK_INT(shared, ==, 1);
  CHECK_STATUS(asked.heard, DOCACHE_LEADER);
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 0);
  check_value(waiter, value, 1);
  CHECK_OK(docache_call_free(waiter));
  CHECK_INT(atomic_load(&drops), ==, 1);

  docache_call *leader = begin(group, DOCACHE_LEADER);
  waiter = begin(group, DOCACHE_PENDING);
  arm(waiter, &told);
  CHECK_OK(docache_call_end(leader, DOCACHE_DOER_FAILED, NULL, reported, NULL, NULL));
  CHECK_STATUS(docache_call_poll(waiter, &out, NULL, &error), DOCACHE_DOER_FAILED);
  CHECK_INT(docache_error_code(error), ==, 5);
  docache_error_release(error);
  CHECK_OK(docache_call_free(waiter));

  /* With a lead that was handed on, nobody having looked. */
  leader = begin(group, DOCACHE_LEADER);
  waiter = begin(group, DOCACHE_PENDING);
  arm(waiter, &told);
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&told), ==, 2);
  value = counted(&drops);
  CHECK_OK(docache_call_end(waiter, DOCACHE_OK, value, NULL, NULL, NULL));

  /* Refused: nothing has happened. */
  leader = begin(group, DOCACHE_LEADER);
  waiter = begin(group, DOCACHE_PENDING);
  REFUSED(docache_call_end(NULL, DOCACHE_OK, value, NULL, NULL, &error), "call", "NULL");
  REFUSED(
      docache_call_end((docache_call *)((char *)leader + 1), DOCACHE_OK, value, NULL, NULL, &error),
      "misaligned");
  REFUSED(docache_call_end(leader, DOCACHE_OK, NULL, NULL, NULL, &error), "value", "NULL");
  REFUSED(docache_call_end(leader, DOCACHE_OK, value, reported, NULL, &error), "error",
          "DOCACHE_OK");
  REFUSED(docache_call_end(leader, DOCACHE_MISS, NULL, NULL, NULL, &error), "status");
  REFUSED(
      docache_call_end(leader, DOCACHE_OK, value, NULL, (uint32_t *)((char *)&shared + 1), &error),
      "out_shared");
  REFUSED(docache_call_end(waiter, DOCACHE_OK, value, NULL, NULL, &error), "does not lead");
  CHECK_INT(finish(leader, value), ==, 1);
  REFUSED(docache_call_end(leader, DOCACHE_OK, value, NULL, NULL, &error), "finished already");
  check_value(leader, value, 1);
  check_value(waiter, value, 1);
  CHECK_OK(docache_call_free(leader));
  CHECK_OK(docache_call_free(waiter));
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 2);
  docache_error_release(reported);
  docache_group_free(group);
  checked(
      "finishing and freeing in one: the same outcome for those that wait, and the call is gone");
}

typedef struct owned {
  docache_group *group;
  uint64_t owner;
  docache_status expected;
} owned;

static docache_call *begin_as(docache_group *group, uint64_t owner, docache_status expected) {
  docache_call *call = (docache_call *)group;
  docache_error *error = NULL;
  CHECK_STATUS(docache_group_begin_as(group, KEY, 3, owner, &call, &error), expected);
  CHECK((call != NULL) == (expected != DOCACHE_REENTRANT));
  if (expected == DOCACHE_REENTRANT) CHECK_ERROR(error, DOCACHE_REENTRANT, "\"key\"");
  return call;
}

static void *begins_as(void *argument) {
  const owned *o = argument;
  docache_call *call = begin_as(o->group, o->owner, o->expected);
  if (call != NULL) CHECK_OK(docache_call_free(call));
  return NULL;
}

static void elsewhere(docache_group *group, uint64_t owner, docache_status expected) {
  owned o = {group, owner, expected};
  join(spawn(begins_as, &o));
}

static void named_callers(void) {
  atomic_uint drops = 0, told = 0;
  docache_group *group = new_group();
  docache_value *value = counted(&drops), *out = NULL;
  docache_call *leader = begin_as(group, 7, DOCACHE_LEADER);
  CHECK(begin_as(group, 7, DOCACHE_REENTRANT) == NULL);
  elsewhere(group, 7, DOCACHE_REENTRANT);
  elsewhere(group, 8, DOCACHE_PENDING);
  elsewhere(group, 0, DOCACHE_PENDING);
  docache_call *other = begin_as(group, UINT64_MAX, DOCACHE_PENDING),
               *nobody = begin(group, DOCACHE_PENDING);
  /* Only who leads counts: an owner may wait more than once. */
  docache_call *again = begin_as(group, UINT64_MAX, DOCACHE_PENDING);
  arm(other, &told);
  CHECK_INT(docache_group_in_flight(group), ==, 1);
  /* What was forgotten can be led anew by its owner. */
  CHECK_OK(docache_group_forget(group, KEY, 3, NULL));
  docache_call *second = begin_as(group, 7, DOCACHE_LEADER);
  CHECK_STATUS(docache_call_free(second), DOCACHE_LEADER_LOST);
  /* The lead takes the name of who gets it. */
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&told), ==, 1);
  check_poll(other, DOCACHE_LEADER);
  CHECK_INT(finish(other, value), ==, 1);
  check_value(nobody, value, 1);
  CHECK_OK(docache_call_poll(again, &out, NULL, NULL));
  docache_value_release(out);
  CHECK_OK(docache_call_free(other));
  CHECK_OK(docache_call_free(again));
  CHECK_OK(docache_call_free(nobody));

  leader = begin_as(group, 9, DOCACHE_LEADER);
  other = begin_as(group, 10, DOCACHE_PENDING);
  CHECK_OK(docache_call_free(leader));
  elsewhere(group, 10, DOCACHE_REENTRANT);
  elsewhere(group, 9, DOCACHE_PENDING);
  CHECK_STATUS(docache_call_free(other), DOCACHE_LEADER_LOST);

  /* Nobody is not reentrant, and a name does not stick to a call that is used again. */
  leader = begin_as(group, 0, DOCACHE_LEADER);
  other = begin_as(group, 0, DOCACHE_PENDING);
  nobody = begin_as(group, 7, DOCACHE_PENDING);
  CHECK_OK(docache_call_free(nobody));
  CHECK_OK(docache_call_free(other));
  CHECK_STATUS(docache_call_free(leader), DOCACHE_LEADER_LOST);
  CHECK_INT(docache_group_in_flight(group), ==, 0);
  docache_value_release(value);
  CHECK_INT(atomic_load(&drops), ==, 1);
  docache_group_free(group);
  checked("a caller with a name is reentrant on every thread, and one without is not");
}

typedef struct member {
  docache_group *group;
  docache_value *expected;
  gate told;
} member;

static gate crowd_joined = GATE_INIT;

static void open_gate(uintptr_t token) { gate_open((gate *)token, 1); }

static void *crowd_member(void *argument) {
  member *m = argument;
  docache_call *call = begin(m->group, DOCACHE_PENDING);
  const docache_status armed = docache_call_on_ready(call, open_gate, (uintptr_t)&m->told, NULL);
  CHECK_STATUS(armed, DOCACHE_PENDING);
  gate_open(&crowd_joined, 1);
  gate_pass(&m->told);
  check_value(call, m->expected, 1);
  CHECK_OK(docache_call_free(call));
  return NULL;
}

static void crowd(void) {
  static member members[CROWD];
  atomic_uint drops = 0;
  docache_group *group = new_group();
  docache_value *value = counted(&drops);
  docache_call *leader = begin(group, DOCACHE_LEADER);
  pthread_t threads[CROWD];
  for (int i = 0; i < CROWD; i++) {
    members[i] = (member){.group = group, .expected = value, .told = GATE_INIT};
    threads[i] = spawn(crowd_member, &members[i]);
  }
  for (int i = 0; i < CROWD; i++) gate_pass(&crowd_joined);
  CHECK_INT(docache_group_in_flight(group), ==, 1);
  CHECK_INT(finish(leader, value), ==, 1);
  CHECK_OK(docache_call_free(leader));
  docache_value_release(value);
  for (int i = 0; i < CROWD; i++) join(threads[i]);
  CHECK_INT(atomic_load(&drops), ==, 1);
  docache_group_free(group);
  checked("64 threads that ask while one leads share its one run");
}

static void refused_calls(void) {
  atomic_uint told = 0;
  docache_group *group = new_group();
  docache_call *call = (docache_call *)group, *crooked = NULL;
  REFUSED(docache_group_begin(NULL, KEY, 3, &call, &error), "group", "NULL");
  CHECK(call == NULL);
  REFUSED(docache_group_begin(group, NULL, 3, &call, &error), "key", "NULL");
  REFUSED(docache_group_begin(group, KEY, SIZE_MAX, &call, &error), "key_len");
  REFUSED(docache_group_begin(group, KEY, 3, NULL, &error), "out", "NULL");
  CHECK_INT(docache_group_in_flight(group), ==, 0);

  docache_value *value = counted(&told), *out = NULL;
  docache_error *reported = NULL;
  CHECK_OK(docache_error_new(1, "one", 3, &reported, NULL));
  docache_call *leader = begin(group, DOCACHE_LEADER), *waiter = begin(group, DOCACHE_PENDING);
  crooked = (docache_call *)((char *)leader + 1);
  REFUSED(docache_call_finish(NULL, DOCACHE_OK, value, NULL, NULL, &error), "call", "NULL");
  REFUSED(docache_call_finish(crooked, DOCACHE_OK, value, NULL, NULL, &error), "call",
          "misaligned");
  REFUSED(docache_call_finish(leader, DOCACHE_OK, NULL, NULL, NULL, &error), "value", "NULL");
  REFUSED(docache_call_finish(leader, DOCACHE_OK, (docache_value *)((char *)value + 1), NULL, NULL,
                              &error),
          "value");
  REFUSED(docache_call_finish(leader, DOCACHE_OK, value, reported, NULL, &error), "error",
          "DOCACHE_OK");
  REFUSED(docache_call_finish(leader, DOCACHE_DOER_FAILED, value, reported, NULL, &error), "value",
          "failure");
  REFUSED(docache_call_finish(leader, DOCACHE_PANIC, NULL, (docache_error *)((char *)reported + 1),
                              NULL, &error),
          "error");
  REFUSED(docache_call_finish(leader, DOCACHE_LEADER, NULL, reported, NULL, &error), "status", "2");
  REFUSED(docache_call_finish(leader, DOCACHE_OK, value, NULL, (uint32_t *)((char *)leader + 1),
                              &error),
          "out_shared");
  REFUSED(docache_call_finish(waiter, DOCACHE_OK, value, NULL, NULL, &error), "call", "lead");
  check_poll(leader, DOCACHE_LEADER);

  REFUSED(docache_call_on_ready(NULL, count_up, 0, &error), "call", "NULL");
  REFUSED(docache_call_on_ready(waiter, NULL, 0, &error), "notify", "NULL");
  REFUSED(docache_call_on_ready(leader, count_up, 0, &error), "call", "leads");
  REFUSED(docache_call_poll(NULL, &out, NULL, &error), "call", "NULL");
  REFUSED(docache_call_poll(leader, NULL, NULL, &error), "out_value", "NULL");
  CHECK_STATUS(docache_call_cancel(NULL), DOCACHE_INVALID_ARGUMENT);
  CHECK_STATUS(docache_call_cancel(crooked), DOCACHE_INVALID_ARGUMENT);
  CHECK_OK(docache_call_cancel(leader));
  CHECK_STATUS(docache_call_free(crooked), DOCACHE_INVALID_ARGUMENT);
  CHECK_OK(docache_call_free(NULL));

  CHECK_INT(finish(leader, value), ==, 1);
  REFUSED(docache_call_finish(leader, DOCACHE_OK, value, NULL, NULL, &error), "call", "lead");
  REFUSED(docache_call_finish(waiter, DOCACHE_OK, value, NULL, NULL, &error), "call", "lead");
  check_value(waiter, value, 1);
  CHECK_OK(docache_call_free(leader));
  CHECK_OK(docache_call_free(waiter));
  CHECK_INT(atomic_load(&told), ==, 0);
  docache_value_release(value);
  CHECK_INT(atomic_load(&told), ==, 1);
  docache_error_release(reported);
  docache_group_free(group);
  checked(
      "calls: NULL, misaligned pointers, finishing twice or as one who waits; nothing has "
      "happened");
}

int main(void) {
  lead_and_follow();
  failures();
  a_lead_handed_on();
  cancelled();
  from_inside_a_notification();
  with_threads_that_block();
  named_callers();
  ended();
  crowd();
  refused_calls();
  return all_checked("calls");
}
