/* The waits that do not block: ready now, later, cancelled before and after the notice, freed
   without cancelling, and left behind by a loop that is freed. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>

#include "check.h"

/* A notice: how often it came, and a gate that opens when it does. */
typedef struct notice {
  gate arrived;
  atomic_uint count;
} notice;

#define NOTICE_INIT {.arrived = GATE_INIT}

static void notify(uintptr_t token) {
  notice *self = (notice *)token;
  atomic_fetch_add(&self->count, 1);
  gate_open(&self->arrived, 1);
}

static docache_loop *started_loop(test_doer *doer) {
  docache_loop *loop = new_loop(doer, HOUR, 2);
  CHECK_OK(docache_loop_start(loop, NULL));
  if (doer->gated) {
    gate_pass(&doer->entered);
  } else {
    CHECK_OK(docache_loop_wait_first(loop, CHECK_PATIENCE_NS, NULL));
  }
  return loop;
}

static void ready_now(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = started_loop(&doer);
  docache_wait *wait = (docache_wait *)&doer;
  CHECK_OK(docache_loop_wait_first_begin(loop, &wait, NULL));
  CHECK(wait == NULL);
  wait = (docache_wait *)&doer;
  CHECK_OK(docache_loop_changed_begin(loop, 0, &wait, NULL));
  CHECK(wait == NULL);
  CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  wait = (docache_wait *)&doer;
  CHECK_OK(docache_loop_stop_begin(loop, &wait, NULL));
  CHECK(wait == NULL);
  docache_error *error = NULL;
  wait = (docache_wait *)&doer;
  CHECK_STATUS(docache_loop_refresh_begin(loop, &wait, &error), DOCACHE_CLOSED);
  CHECK(wait == NULL);
  CHECK_ERROR(error, DOCACHE_CLOSED, "running");
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("a wait for what is already so needs no handle; refresh needs a running loop");
}

static void ready_later(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_loop *loop = started_loop(&doer);
  notice first = NOTICE_INIT, change = NOTICE_INIT, fresh = NOTICE_INIT;
  docache_wait *waits[3];
  CHECK_STATUS(docache_loop_wait_first_begin(loop, &waits[0], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_changed_begin(loop, 0, &waits[1], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_refresh_begin(loop, &waits[2], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(waits[0], notify, (uintptr_t)&first, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(waits[1], notify, (uintptr_t)&change, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(waits[2], notify, (uintptr_t)&fresh, NULL), DOCACHE_PENDING);
  for (int i = 0; i < 3; i++)
    CHECK_STATUS(docache_wait_poll(waits[i], NULL, NULL), DOCACHE_PENDING);
  gate_open(&doer.may_leave, 1);
  gate_pass(&first.arrived);
  gate_pass(&change.arrived);
  uint64_t version = 0;
  CHECK_OK(docache_wait_poll(waits[0], &version, NULL));
  CHECK_OK(docache_wait_poll(waits[1], &version, NULL));
  CHECK_INT(version, ==, 1);
  CHECK_OK(docache_wait_poll(waits[1], NULL, NULL));

  gate_pass(&doer.entered);
  CHECK_STATUS(docache_wait_poll(waits[2], &version, NULL), DOCACHE_PENDING);
  CHECK_INT(atomic_load(&fresh.count), ==, 0);
  gate_open(&doer.may_leave, 1);
  gate_pass(&fresh.arrived);
  CHECK_OK(docache_wait_poll(waits[2], &version, NULL));
  CHECK_INT(version, ==, 2);
  for (int i = 0; i < 3; i++) {
    CHECK_STATUS(docache_wait_cancel(waits[i]), DOCACHE_PENDING);
    docache_wait_free(waits[i]);
  }
  docache_loop_free(loop);
  CHECK(first.count == 1 && change.count == 1 && fresh.count == 1);
  CHECK_DOER_GONE(&doer);
  checked("each notice comes once, after the fact; a cancel after it says so");
}

static void stop_without_blocking(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_loop *loop = started_loop(&doer);
  notice stopped = NOTICE_INIT;
  docache_wait *wait = NULL;
  CHECK_STATUS(docache_loop_stop_begin(loop, &wait, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(wait, notify, (uintptr_t)&stopped, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_poll(wait, NULL, NULL), DOCACHE_PENDING);
  gate_open(&doer.may_leave, 1);
  gate_pass(&stopped.arrived);
  CHECK_OK(docache_wait_poll(wait, NULL, NULL));
  CHECK(!docache_loop_is_running(loop));
  CHECK_INT(atomic_load(&doer.calls), ==, 1);
  docache_wait_free(wait);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("stop_begin stops the loop and tells when it has stopped");
}

static void on_ready_after_the_fact(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = started_loop(&doer);
  notice late = NOTICE_INIT;
  docache_wait *wait = NULL;
  CHECK_STATUS(docache_loop_changed_begin(loop, 1, &wait, NULL), DOCACHE_PENDING);
  refresh_now(loop);
  CHECK_OK(docache_wait_on_ready(wait, notify, (uintptr_t)&late, NULL));
  CHECK_OK(docache_wait_poll(wait, NULL, NULL));
  docache_wait_free(wait);
  docache_loop_free(loop);
  CHECK_INT(atomic_load(&late.count), ==, 0);
  CHECK_DOER_GONE(&doer);
  checked("on_ready for what has happened meanwhile answers OK and never notifies");
}

static void on_ready_twice(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = started_loop(&doer);
  notice first = NOTICE_INIT, second = NOTICE_INIT;
  docache_wait *wait = NULL;
  docache_error *error = NULL;
  CHECK_STATUS(docache_loop_changed_begin(loop, 1, &wait, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(wait, notify, (uintptr_t)&first, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(wait, notify, (uintptr_t)&second, &error),
               DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "wait");
  refresh_now(loop);
  gate_pass(&first.arrived);
  docache_wait_free(wait);
  docache_loop_free(loop);
  CHECK(first.count == 1 && second.count == 0);
  CHECK_DOER_GONE(&doer);
  checked("a second on_ready is refused and the first stands");
}

static void cancel_before_the_notice(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = started_loop(&doer);
  notice cancelled = NOTICE_INIT, freed = NOTICE_INIT, other = NOTICE_INIT;
  docache_wait *waits[4];
  for (int i = 0; i < 4; i++)
    CHECK_STATUS(docache_loop_changed_begin(loop, 1, &waits[i], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(waits[0], notify, (uintptr_t)&cancelled, NULL),
               DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(waits[1], notify, (uintptr_t)&freed, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(waits[2], notify, (uintptr_t)&other, NULL), DOCACHE_PENDING);
  CHECK_OK(docache_wait_cancel(waits[0]));
  CHECK_OK(docache_wait_cancel(waits[0]));
  CHECK_OK(docache_wait_cancel(waits[3]));
  docache_wait_free(waits[1]);
  refresh_now(loop);
  gate_pass(&other.arrived);
  docache_wait_free(waits[0]);
  docache_wait_free(waits[2]);
  docache_wait_free(waits[3]);
  docache_loop_free(loop);
  CHECK(cancelled.count == 0 && freed.count == 0 && other.count == 1);
  CHECK_DOER_GONE(&doer);
  checked("a cancelled or freed wait never notifies, its neighbour does");
}

/* Cancel against complete: whoever wins, cancel's answer and the number of notices agree. */
typedef struct race {
  const docache_loop *loop;
  pthread_barrier_t *barrier;
} race;

enum { RACES = 200 };

static void *refresh_at_the_barrier(void *argument) {
  race *self = argument;
  for (int i = 0; i < RACES; i++) {
    pthread_barrier_wait(self->barrier);
    refresh_now(self->loop);
    pthread_barrier_wait(self->barrier);
  }
  return NULL;
}

static void cancel_against_notice(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = started_loop(&doer);
  pthread_barrier_t barrier;
  CHECK_INT(pthread_barrier_init(&barrier, NULL, 2), ==, 0);
  race other = {loop, &barrier};
  pthread_t thread = spawn(refresh_at_the_barrier, &other);
  for (int i = 0; i < RACES; i++) {
    notice racing = NOTICE_INIT;
    docache_wait *wait = NULL;
    CHECK_STATUS(docache_loop_changed_begin(loop, docache_loop_version(loop), &wait, NULL),
                 DOCACHE_PENDING);
    CHECK_STATUS(docache_wait_on_ready(wait, notify, (uintptr_t)&racing, NULL), DOCACHE_PENDING);
    pthread_barrier_wait(&barrier);
    /* One time in three at once, one when the Doer is in its call, one after the notice. */
    while (i % 3 == 1 && atomic_load(&doer.calls) < (unsigned)i + 2) sched_yield();
    if (i % 3 == 2) gate_pass(&racing.arrived);
    const docache_status status = docache_wait_cancel(wait);
    CHECK(status == DOCACHE_PENDING || (status == DOCACHE_OK && i % 3 != 2));
    if (status == DOCACHE_PENDING && i % 3 != 2) gate_pass(&racing.arrived);
    pthread_barrier_wait(&barrier);
    docache_wait_free(wait);
    CHECK_INT(atomic_load(&racing.count), ==, status == DOCACHE_PENDING ? 1 : 0);
  }
  join(thread);
  pthread_barrier_destroy(&barrier);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("cancel against notice, 200 times: the answer and what happens agree");
}

static void loop_freed_while_waiting(void) {
  test_doer doer = TEST_DOER_INIT;
  doer.gated = true;
  docache_loop *loop = started_loop(&doer);
  notice notices[3] = {NOTICE_INIT, NOTICE_INIT, NOTICE_INIT};
  docache_wait *waits[4];
  CHECK_STATUS(docache_loop_changed_begin(loop, 5, &waits[0], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_refresh_begin(loop, &waits[1], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_stop_begin(loop, &waits[2], NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_loop_changed_begin(loop, 5, &waits[3], NULL), DOCACHE_PENDING);
  for (int i = 0; i < 3; i++) {
    CHECK_STATUS(docache_wait_on_ready(waits[i], notify, (uintptr_t)&notices[i], NULL),
                 DOCACHE_PENDING);
  }
  gate_open(&doer.may_leave, 1);
  docache_loop_free(loop);
  CHECK_INT(atomic_load(&doer.drops), ==, 1);
  for (int i = 0; i < 3; i++) gate_pass(&notices[i].arrived);
  docache_error *error = NULL;
  uint64_t version = 77;
  CHECK_STATUS(docache_wait_poll(waits[0], &version, &error), DOCACHE_CLOSED);
  CHECK_ERROR(error, DOCACHE_CLOSED, "");
  CHECK_STATUS(docache_wait_poll(waits[1], &version, NULL), DOCACHE_CLOSED);
  CHECK_OK(docache_wait_poll(waits[2], NULL, NULL));
  CHECK_STATUS(docache_wait_poll(waits[3], &version, NULL), DOCACHE_CLOSED);
  CHECK_INT(version, ==, 77);
  notice late = NOTICE_INIT;
  CHECK_OK(docache_wait_on_ready(waits[3], notify, (uintptr_t)&late, NULL));
  for (int i = 0; i < 4; i++) docache_wait_free(waits[i]);
  for (int i = 0; i < 3; i++) CHECK_INT(atomic_load(&notices[i].count), ==, 1);
  CHECK_INT(atomic_load(&late.count), ==, 0);
  CHECK_DOER_GONE(&doer);
  checked("a freed loop answers its waits: CLOSED, and OK to the one that waits for the stop");
}

typedef struct chain {
  const docache_loop *loop;
  notice finished;
  docache_wait *wait;
  uint64_t version;
} chain;

/* A notice may call the library: it reads the latest value and the version. */
static void notify_and_read(uintptr_t token) {
  chain *self = (chain *)token;
  docache_value *value = NULL;
  CHECK_OK(docache_loop_latest(self->loop, &value, NULL, NULL));
  CHECK_VALUE(value, "call 2");
  docache_value_release(value);
  CHECK_OK(docache_wait_poll(self->wait, &self->version, NULL));
  notify((uintptr_t)&self->finished);
}

static void calling_back_from_a_notice(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = started_loop(&doer);
  chain self = {.loop = loop, .finished = NOTICE_INIT};
  CHECK_STATUS(docache_loop_changed_begin(loop, 1, &self.wait, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_wait_on_ready(self.wait, notify_and_read, (uintptr_t)&self, NULL),
               DOCACHE_PENDING);
  refresh_now(loop);
  gate_pass(&self.finished.arrived);
  CHECK_INT(self.version, ==, 2);
  docache_wait_free(self.wait);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("a notice may read the loop and poll its own wait");
}

int main(void) {
  ready_now();
  ready_later();
  stop_without_blocking();
  on_ready_after_the_fact();
  on_ready_twice();
  cancel_before_the_notice();
  cancel_against_notice();
  loop_freed_while_waiting();
  calling_back_from_a_notice();
  return all_checked("waits.c");
}
