/* A C program that forks: a prefork server whose parent's threads are idle or busy, a daemon, and
   exit() with running loops. And one that waits for signals. */
#define _GNU_SOURCE
#include "check.h"
#include "child.h"

enum { CHILDREN = 20 };

static const uint8_t *const KEY = (const uint8_t *)"key";
#define KEY_LEN 3

/* In a child: where it reports to. */
static int report_to;

/* Forks and has the child do `body`; it must end by itself, and well. */
static void in_child(void (*body)(void *), void *argument) {
  report_to = fork_and_wait();
  if (report_to == 0) return;
  body(argument);
  end_well(report_to);
}

static void nap_ms(long ms) {
  const struct timespec span = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&span, NULL);
}

static docache_status make_value(uintptr_t ctx, docache_value **out, docache_error **out_error) {
  atomic_fetch_add((atomic_uint *)ctx, 1);
  return docache_value_new((const uint8_t *)"made", 4, out, out_error);
}

static void fetch(docache_cache *cache, atomic_uint *loads) {
  docache_value *value = NULL;
  CHECK_OK(docache_cache_fetch(cache, KEY, KEY_LEN, 0, DOCACHE_FOREVER, make_value,
                               (uintptr_t)loads, &value, NULL));
  CHECK_VALUE(value, "made");
  docache_value_release(value);
}

static docache_cache *short_lived(void) {
  docache_cache_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.time_to_live_ns = 50 * MS;
  options.sweep_interval_ns = 20 * MS;
  docache_cache *cache = NULL;
  CHECK_OK(docache_cache_new(&options, NULL, 0, NULL, &cache, NULL));
  return cache;
}

/* What is put in is there, expires, is swept, and is fetched anew. */
static void check_cache(void *argument) {
  docache_cache *cache = argument;
  uint8_t buffer[8];
  size_t len = 0;
  atomic_uint loads = 0;
  for (unsigned round = 1; round <= 3; round++) {
    fetch(cache, &loads);
    CHECK_INT(atomic_load(&loads), ==, round);
    docache_status status = DOCACHE_OK;
    for (int i = 0; i < 60000 && status == DOCACHE_OK; i++) {
      nap_ms(1);
      status = docache_cache_try_get(cache, KEY, KEY_LEN, buffer, sizeof buffer, &len, NULL);
    }
    CHECK_STATUS(status, DOCACHE_MISS);
  }
  for (int i = 0; i < 60000 && docache_cache_len(cache) > 0; i++) nap_ms(1);
  CHECK_INT(docache_cache_len(cache), ==, 0);
}

static void check_cache_and_free(void *argument) {
  check_cache(argument);
  docache_cache_free(argument);
  docache_cache *own = short_lived();
  check_cache(own);
  docache_cache_free(own);
}

static void prefork_with_idle_threads(void) {
  docache_cache *cache = short_lived();
  check_cache(cache);
  in_child(check_cache_and_free, cache);
  nap_ms(1500); /* all threads sleep by then, or have gone */
  in_child(check_cache_and_free, cache);
  check_cache(cache);
  docache_cache_free(cache);
  checked("prefork with idle threads");
}

typedef struct busy {
  docache_cache *cache;
  docache_group *group;
  atomic_bool stop;
} busy;

static void forget_key(const docache_cache *cache) {
  const docache_status status = docache_cache_remove(cache, KEY, KEY_LEN, NULL, NULL);
  CHECK(status == DOCACHE_OK || status == DOCACHE_MISS);
}

static void *keep_busy(void *argument) {
  busy *self = argument;
  atomic_uint loads = 0;
  while (!atomic_load(&self->stop)) {
    docache_value *value = NULL;
    CHECK_OK(docache_cache_set(self->cache, (const uint8_t *)"other", 5, KEY, KEY_LEN, 0, NULL));
    fetch(self->cache, &loads);
    forget_key(self->cache);
    CHECK_OK(docache_group_run(self->group, KEY, KEY_LEN, DOCACHE_FOREVER, make_value,
                               (uintptr_t)&loads, &value, NULL, NULL));
    docache_value_release(value);
  }
  return NULL;
}

static void use_all(void *argument) {
  busy *self = argument;
  atomic_uint loads = 0;
  for (int i = 0; i < 100; i++) {
    docache_value *value = NULL;
    forget_key(self->cache);
    fetch(self->cache, &loads);
    CHECK_OK(docache_group_run(self->group, KEY, KEY_LEN, DOCACHE_FOREVER, make_value,
                               (uintptr_t)&loads, &value, NULL, NULL));
    CHECK_VALUE(value, "made");
    docache_value_release(value);
  }
  CHECK_INT(atomic_load(&loads), ==, 200);
  docache_group_free(self->group);
  docache_cache_free(self->cache);
}

static void prefork_with_busy_threads(void) {
  busy self = {.cache = short_lived()};
  CHECK_OK(docache_group_new(NULL, &self.group, NULL));
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = spawn(keep_busy, &self);
  for (int i = 0; i < CHILDREN; i++) in_child(use_all, &self);
  atomic_store(&self.stop, true);
  for (int i = 0; i < 3; i++) join(threads[i]);
  docache_group_free(self.group);
  docache_cache_free(self.cache);
  checked("prefork with busy threads");
}

/* A leader that stays in its work, for those who would join it. */
typedef struct slow {
  docache_cache *cache;
  gate entered, may_leave;
} slow;

static docache_status make_slowly(uintptr_t ctx, docache_value **out, docache_error **out_error) {
  slow *self = (slow *)ctx;
  gate_open(&self->entered, 1);
  gate_pass(&self->may_leave);
  return docache_value_new((const uint8_t *)"slow", 4, out, out_error);
}

static void *fetch_slowly(void *argument) {
  slow *self = argument;
  docache_value *value = NULL;
  CHECK_OK(docache_cache_fetch(self->cache, KEY, KEY_LEN, 0, DOCACHE_FOREVER, make_slowly,
                               (uintptr_t)self, &value, NULL));
  docache_value_release(value);
  return NULL;
}

static void a_load_of_another_thread(void) {
  slow self = {.cache = short_lived(), .entered = GATE_INIT, .may_leave = GATE_INIT};
  const pthread_t thread = spawn(fetch_slowly, &self);
  gate_pass(&self.entered);
  in_child(check_cache, self.cache);
  gate_open(&self.may_leave, 1);
  join(thread);
  docache_cache_free(self.cache);
  checked("a load of another thread is not joined");
}

/* A Doer without locks of its own: a child may find it in its call. */
typedef struct stayer {
  atomic_uint calls;
  atomic_bool stays, inside;
} stayer;

static docache_status stay(uintptr_t ctx, docache_value **out, docache_error **out_error) {
  stayer *self = (stayer *)ctx;
  atomic_fetch_add(&self->calls, 1);
  atomic_store(&self->inside, true);
  while (atomic_load(&self->stays)) nap_ms(1);
  atomic_store(&self->inside, false);
  return docache_value_new((const uint8_t *)"made", 4, out, out_error);
}

static docache_loop *new_stayer_loop(stayer *doer, uint64_t interval_ns) {
  const docache_loop_options options = loop_options(interval_ns, 0);
  docache_loop *loop = NULL;
  CHECK_OK(docache_loop_new(&options, stay, (uintptr_t)doer, NULL, &loop, NULL));
  CHECK_OK(docache_loop_start(loop, NULL));
  return loop;
}

typedef struct loops {
  stayer idle_doer, busy_doer;
  docache_loop *idle, *busy;
} loops;

static void free_loops(void *argument) {
  loops *self = argument;
  docache_loop_free(self->idle);
  docache_loop_free(self->busy);
}

static void restart_loops(void *argument) {
  loops *self = argument;
  docache_loop *const all[] = {self->idle, self->busy};
  atomic_store(&self->busy_doer.stays, false);
  for (int i = 0; i < 2; i++) {
    CHECK(!docache_loop_is_running(all[i]));
    CHECK_OK(docache_loop_stop(all[i], DOCACHE_FOREVER, NULL));
    const uint64_t before = docache_loop_version(all[i]);
    CHECK_OK(docache_loop_start(all[i], NULL));
    wait_for_version(all[i], before + 1);
    CHECK(docache_loop_is_running(all[i]));
    refresh_now(all[i]);
  }
  free_loops(self);
}

static void loops_that_ran(void) {
  loops self = {.busy_doer.stays = true};
  self.idle = new_stayer_loop(&self.idle_doer, HOUR);
  self.busy = new_stayer_loop(&self.busy_doer, HOUR);
  wait_for_version(self.idle, 1);
  while (!atomic_load(&self.busy_doer.inside)) nap_ms(1);
  in_child(free_loops, &self);
  in_child(restart_loops, &self);
  CHECK(docache_loop_is_running(self.idle) && docache_loop_is_running(self.busy));
  atomic_store(&self.busy_doer.stays, false);
  wait_for_version(self.busy, 1);
  free_loops(&self);
  checked("loops that ran are stopped, and start again");
}

static docache_loop *running;
static pid_t first_process;

typedef struct driven {
  docache_loop *loop;
  docache_drive *drive;
  test_doer doer;
} driven;

static void drive_on(void *argument) {
  driven *d = argument;
  uint64_t wait_ns = 0;
  docache_value *value = NULL;
  CHECK(docache_loop_is_running(d->loop));
  CHECK_OK(docache_value_new(KEY, KEY_LEN, &value, NULL));
  CHECK_OK(docache_drive_finish(d->drive, DOCACHE_OK, value, NULL, NULL));
  CHECK_STATUS(docache_drive_begin(d->drive, &wait_ns, NULL), DOCACHE_PENDING);
  CHECK_INT(docache_loop_version(d->loop), ==, 1);
  docache_drive_free(d->drive);
  CHECK(!docache_loop_is_running(d->loop));
  CHECK_INT(atomic_load(&d->doer.drops), ==, 0);
  docache_loop_free(d->loop);
  CHECK_INT(atomic_load(&d->doer.drops), ==, 1);
}

/* A run that the host drives is the host's, in the child as in the parent; so is the Doer that it
 * does not need. */
static void a_drive_goes_on_in_both(void) {
  driven d = {.doer = TEST_DOER_INIT};
  uint64_t wait_ns = 0;
  d.loop = new_loop(&d.doer, HOUR, 0);
  CHECK_OK(docache_loop_drive(d.loop, &d.drive, NULL));
  CHECK_OK(docache_drive_begin(d.drive, &wait_ns, NULL));
  in_child(drive_on, &d);
  drive_on(&d);
  checked("a run that the host drives goes on in the child");
}

static void free_running(void) {
  docache_loop_free(running);
  if (getpid() != first_process) end_well(report_to);
}

static void exit_with_it(void *start) {
  if (start != NULL) CHECK_OK(docache_loop_start(running, NULL));
  exit(0);
}

static void exits_with_running_loops(void) {
  static stayer doer;
  first_process = getpid();
  running = new_stayer_loop(&doer, MS);
  wait_for_version(running, 1);
  CHECK_INT(atexit(free_running), ==, 0);
  in_child(exit_with_it, NULL);
  in_child(exit_with_it, &doer);
  checked("exit() with a loop that ran, and with one that runs");
}

/* The child of a child, which is gone; the first process is told who it is. */
static void become_a_daemon(int to) {
  docache_cache *cache = short_lived();
  check_cache(cache);
  const pid_t second = fork();
  CHECK_INT(second, >=, 0);
  if (second != 0) {
    CHECK_INT(write(to, &second, sizeof second), ==, sizeof second);
    for (;;) pause();
  }
  CHECK_INT(setsid(), >, 0);
  alarm(CHECK_PATIENCE_S);
  check_cache(cache);
  docache_cache_free(cache);
  end_well(to);
}

static void a_daemon(void) {
  int ends[2];
  CHECK_INT(pipe(ends), ==, 0);
  fflush(NULL);
  const pid_t first = fork();
  CHECK_INT(first, >=, 0);
  if (first == 0) become_a_daemon(ends[1]);
  close(ends[1]);
  pid_t second = 0;
  CHECK_INT(read(ends[0], &second, sizeof second), ==, sizeof second);
  CHECK_INT(kill(first, SIGKILL), ==, 0);
  CHECK_INT(waitpid(first, NULL, 0), ==, first);
  expect_report(ends[0], second);
  close(ends[0]);
  checked("a daemon");
}

/* The host waits for a signal, which no thread of the library takes. */
static void signals_are_the_hosts(void) {
  docache_cache *cache = short_lived();
  stayer doer = {0};
  docache_loop *loop = new_stayer_loop(&doer, MS);
  check_cache(cache); /* with this all kinds of threads are there */
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  CHECK_INT(pthread_sigmask(SIG_BLOCK, &set, &before), ==, 0);
  for (int i = 0; i < 20; i++) {
    CHECK_INT(kill(getpid(), SIGTERM), ==, 0);
    const struct timespec limit = {CHECK_PATIENCE_S, 0};
    CHECK_INT(sigtimedwait(&set, NULL, &limit), ==, SIGTERM);
  }
  CHECK_INT(pthread_sigmask(SIG_SETMASK, &before, NULL), ==, 0);
  docache_loop_free(loop);
  docache_cache_free(cache);
  checked("signals are the host's");
}

int main(void) {
  prefork_with_idle_threads();
  prefork_with_busy_threads();
  a_load_of_another_thread();
  loops_that_ran();
  a_drive_goes_on_in_both();
  a_daemon();
  signals_are_the_hosts();
  exits_with_running_loops();
  return all_checked("fork");
}
