/* docache_shutdown ends the library's own threads, says when it cannot, and they come back when
   they are needed. Run under valgrind this program leaves nothing that is even possibly lost. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>

#include "check.h"

/* How many threads this process has. */
static unsigned threads(void) {
  unsigned count = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  for (const struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks))
    count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

static atomic_uint evicted;
static gate swept = GATE_INIT;

static void on_evict(uintptr_t ctx, const uint8_t *key, size_t key_len, const docache_value *value,
                     int32_t cause) {
  (void)ctx, (void)key, (void)key_len, (void)value;
  CHECK_INT(cause, ==, DOCACHE_CAUSE_EXPIRED);
  /* A thread of the library cannot wait for itself. */
  CHECK_STATUS(docache_shutdown(), DOCACHE_BUSY);
  atomic_fetch_add(&evicted, 1);
  gate_open(&swept, 1);
}

/* Gives each of the library's threads something to do: the clock, the timer and the sweep. */
static docache_cache *busy_cache(void) {
  docache_cache_options options = DOCACHE_CACHE_OPTIONS_INIT;
  options.sweep_interval_ns = MS;
  docache_cache *cache = NULL;
  CHECK_OK(docache_cache_new(&options, on_evict, 0, NULL, &cache, NULL));
  CHECK_OK(docache_cache_set(cache, (const uint8_t *)"a", 1, (const uint8_t *)"b", 1, MS, NULL));
  gate_pass(&swept);
  return cache;
}

static void run_a_loop(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, HOUR, 4);
  CHECK_OK(docache_loop_start(loop, NULL));
  wait_for_version(loop, 1);
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
}

static atomic_bool used_up;

static void *use(void *none) {
  for (int round = 0; round < 50; round++) docache_cache_free(busy_cache());
  atomic_store(&used_up, true);
  return none;
}

int main(void) {
  CHECK_OK(docache_shutdown());
  CHECK_INT(threads(), ==, 1);
  checked("there is nothing to end before the library is used");

  docache_cache *cache = busy_cache();
  CHECK(threads() > 1);
  CHECK_STATUS(docache_shutdown(), DOCACHE_BUSY);
  CHECK_OK(docache_cache_set(cache, (const uint8_t *)"a", 1, (const uint8_t *)"b", 1, MS, NULL));
  gate_pass(&swept);
  checked("a cache that is swept is BUSY, and goes on being swept");

  docache_cache_free(cache);
  CHECK_OK(docache_shutdown());
  CHECK_INT(threads(), ==, 1);
  CHECK_OK(docache_shutdown());
  checked("without it no thread is left");

  for (int round = 0; round < 20; round++) {
    docache_cache_free(busy_cache());
    run_a_loop();
    CHECK_OK(docache_shutdown());
    CHECK_INT(threads(), ==, 1);
  }
  checked("they come back when they are needed, and go again");

  const pthread_t user = spawn(use, NULL);
  while (!atomic_load(&used_up)) docache_shutdown();
  join(user);
  CHECK_OK(docache_shutdown());
  CHECK_INT(threads(), ==, 1);
  checked("others may use the library meanwhile");
  return all_checked("shutdown.c");
}
