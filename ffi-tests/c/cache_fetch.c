/* Fetching through a cache: one load for all who ask, whichever form they ask in; what is kept of
   it, what wins over it, and what becomes of those who wait. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>

#include "check.h"

static const uint8_t KEY[] = "key";

static docache_cache *new_cache(uint64_t negative_ttl_ns) {
  const docache_cache_options options = {.size = sizeof options,
                                         .negative_ttl_ns = negative_ttl_ns};
  docache_cache *cache = NULL;
  CHECK_OK(docache_cache_new(&options, NULL, 0, NULL, &cache, NULL));
  return cache;
}

static docache_status fetch(docache_cache *cache, docache_perform_fn perform, uintptr_t ctx,
                            docache_value **value, docache_error **error) {
  return docache_cache_fetch(cache, KEY, 3, 0, CHECK_PATIENCE_NS, perform, ctx, value, error);
}

static docache_call *begin(docache_cache *cache, docache_status expected) {
  docache_value *value = (docache_value *)cache;
  docache_call *call = NULL;
  CHECK_STATUS(docache_cache_fetch_begin(cache, KEY, 3, 0, 0, &value, &call, NULL), expected);
  CHECK(value == NULL && call != NULL);
  return call;
}

static docache_value *new_value(const char *text) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new((const uint8_t *)text, strlen(text), &value, NULL));
  return value;
}

/* Ends the run with a text. */
static void finish(docache_call *call, const char *text) {
  docache_value *value = new_value(text);
  CHECK_OK(docache_call_finish(call, DOCACHE_OK, value, NULL, NULL, NULL));
  docache_value_release(value);
}

static void check_poll(docache_call *call, const char *text) {
  docache_value *value = NULL;
  CHECK_OK(docache_call_poll(call, &value, NULL, NULL));
  CHECK_VALUE(value, text);
  docache_value_release(value);
}

static void check_kept(docache_cache *cache, const char *text) {
  docache_value *value = NULL;
  CHECK_STATUS(docache_cache_get(cache, KEY, 3, &value, NULL),
               text != NULL ? DOCACHE_OK : DOCACHE_MISS);
  if (text != NULL) CHECK_VALUE(value, text);
  docache_value_release(value);
}

static void once(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_cache *cache = new_cache(0);
  docache_value *values[3];
  for (int i = 0; i < 3; i++) {
    CHECK_OK(fetch(cache, test_doer_perform, (uintptr_t)&doer, &values[i], NULL));
    CHECK(values[i] == values[0]);
  }
  CHECK_VALUE(values[0], "call 1");
  CHECK_OK(docache_cache_remove(cache, KEY, 3, NULL, NULL));
  docache_value *value = NULL;
  CHECK_OK(
      docache_cache_fetch(cache, KEY, 3, 1, 0, test_doer_perform, (uintptr_t)&doer, &value, NULL));
  CHECK_VALUE(value, "call 2");
  docache_value_release(value);
  check_kept(cache, NULL);
  docache_cache_free(cache);
  CHECK_VALUE(values[0], "call 1");
  for (int i = 0; i < 3; i++) docache_value_release(values[i]);
  CHECK_INT(atomic_load(&doer.values_dropped), ==, 2);
  checked(
      "a fetch runs its work when the key is not there, and keeps the value for the time it was "
      "given");
}

static void failures(void) {
  test_doer doer = TEST_DOER_INIT;
  atomic_store(&doer.failing, true);
  for (int kept = 0; kept < 2; kept++) {
    docache_cache *cache = new_cache(kept ? DOCACHE_NEVER : 0);
    atomic_store(&doer.calls, 0);
    for (int i = 0; i < 3; i++) {
      docache_value *value = NULL;
      docache_error *error = NULL;
      CHECK_STATUS(fetch(cache, test_doer_perform, (uintptr_t)&doer, &value, &error),
                   DOCACHE_DOER_FAILED);
      CHECK(value == NULL && docache_error_code(error) == 42);
      CHECK_ERROR(error, DOCACHE_DOER_FAILED, "as told");
    }
    CHECK_INT(atomic_load(&doer.calls), ==, kept ? 1 : 3);
    docache_cache_free(cache);
  }
  checked("a failure is kept only if the cache keeps failures, with its code and text");
}

static void handed_on(void) {
  docache_cache *cache = new_cache(0);
  atomic_uint told = 0;
  docache_call *leader = begin(cache, DOCACHE_LEADER), *heir = begin(cache, DOCACHE_PENDING);
  CHECK_STATUS(docache_call_on_ready(heir, count_up, (uintptr_t)&told, NULL), DOCACHE_PENDING);
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&told), ==, 1);
  docache_value *value = new_value("value");
  docache_error *error = NULL;
  CHECK_STATUS(docache_call_finish(heir, DOCACHE_OK, value, NULL, NULL, &error),
               DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "call", "poll");
  docache_value *none = NULL;
  CHECK_STATUS(docache_call_poll(heir, &none, NULL, NULL), DOCACHE_LEADER);
  CHECK_OK(docache_call_end(heir, DOCACHE_OK, value, NULL, NULL, NULL));
  docache_value_release(value);
  check_kept(cache, "value");
  CHECK_OK(docache_cache_clear(cache, NULL));

  leader = begin(cache, DOCACHE_LEADER);
  heir = begin(cache, DOCACHE_PENDING);
  docache_call *other = begin(cache, DOCACHE_PENDING);
  CHECK_STATUS(docache_call_on_ready(other, count_up, (uintptr_t)&told, NULL), DOCACHE_PENDING);
  CHECK_OK(docache_cache_set(cache, KEY, 3, (const uint8_t *)"set", 3, 0, NULL));
  CHECK_OK(docache_call_free(leader));
  CHECK_INT(atomic_load(&told), ==, 1);
  check_poll(heir, "set");
  CHECK_INT(atomic_load(&told), ==, 2);
  check_poll(other, "set");
  CHECK_OK(docache_call_free(heir));
  CHECK_OK(docache_call_free(other));
  CHECK_OK(docache_cache_clear(cache, NULL));
  CHECK_STATUS(docache_call_free(begin(cache, DOCACHE_LEADER)), DOCACHE_LEADER_LOST);
  docache_cache_free(cache);
  checked("a lead that is given up goes on to who waits, who looks into the cache first");
}

static void writes_win(void) {
  docache_cache *cache = new_cache(0);
  for (int i = 0; i < 3; i++) {
    docache_call *leader = begin(cache, DOCACHE_LEADER), *waiter = begin(cache, DOCACHE_PENDING);
    if (i == 0) CHECK_STATUS(docache_cache_remove(cache, KEY, 3, NULL, NULL), DOCACHE_MISS);
    if (i == 1) CHECK_OK(docache_cache_clear(cache, NULL));
    if (i == 2) CHECK_OK(docache_cache_set(cache, KEY, 3, (const uint8_t *)"set", 3, 0, NULL));
    finish(leader, "fetched");
    check_poll(leader, "fetched");
    check_poll(waiter, "fetched");
    CHECK_OK(docache_call_free(leader));
    CHECK_OK(docache_call_free(waiter));
    check_kept(cache, i == 2 ? "set" : NULL);
  }
  docache_cache_free(cache);
  checked(
      "what is written, removed or cleared during a load is stronger than what the load brings");
}

static void without_the_handle(void) {
  docache_cache *cache = new_cache(0);
  docache_call *leader = begin(cache, DOCACHE_LEADER), *heir = begin(cache, DOCACHE_PENDING);
  docache_call *waiter = begin(cache, DOCACHE_PENDING);
  docache_cache_free(cache);
  CHECK_OK(docache_call_free(leader));
  docache_value *none = NULL;
  CHECK_STATUS(docache_call_poll(heir, &none, NULL, NULL), DOCACHE_LEADER);
  finish(heir, "late");
  check_poll(waiter, "late");
  CHECK_OK(docache_call_free(heir));
  CHECK_OK(docache_call_free(waiter));
  checked("calls that are out go on without the handle of their cache");
}

/* Threads that fetch, in both forms, while others remove. */
enum { FETCHERS = 6, REMOVERS = 2, TURNS = 2000 };

static docache_cache *crowd_cache;
static atomic_uint crowd_loads, crowd_floor, crowd_over;

/* The value is its number; loads of one key do not overlap, so that numbers rise. */
static docache_value *next_value(void) {
  docache_value *value = NULL;
  const unsigned number = atomic_fetch_add(&crowd_loads, 1) + 1;
  CHECK_OK(docache_value_new((const uint8_t *)&number, sizeof number, &value, NULL));
  return value;
}

static unsigned number_of(docache_value *value) {
  unsigned number = 0;
  CHECK_INT(docache_value_len(value), ==, sizeof number);
  memcpy(&number, docache_value_data(value), sizeof number);
  docache_value_release(value);
  return number;
}

static docache_status numbered(uintptr_t context, docache_value **out, docache_error **out_error) {
  (void)context, (void)out_error;
  *out = next_value();
  return DOCACHE_OK;
}

static unsigned fetch_by_calls(bool abandon) {
  docache_value *value = NULL;
  docache_call *call = NULL;
  docache_status status = docache_cache_fetch_begin(crowd_cache, KEY, 3, 0, 0, &value, &call, NULL);
  if (status == DOCACHE_OK) return number_of(value);
  while (status == DOCACHE_PENDING) {
    status = docache_call_poll(call, &value, NULL, NULL);
    if (status == DOCACHE_PENDING) sched_yield();
  }
  unsigned number = 0;
  if (status == DOCACHE_LEADER && !abandon) {
    value = next_value();
    memcpy(&number, docache_value_data(value), sizeof number);
    CHECK_OK(docache_call_end(call, DOCACHE_OK, value, NULL, NULL, NULL));
    docache_value_release(value);
    return number;
  }
  if (status == DOCACHE_OK) number = number_of(value);
  docache_call_free(call);
  return number;
}

static void *fetcher(void *argument) {
  const int own = *(int *)argument;
  for (int turn = 0; turn < TURNS; turn++) {
    const unsigned floor = atomic_load(&crowd_floor);
    unsigned number = 0;
    if (own % 2 == 0) {
      docache_value *value = NULL;
      CHECK_OK(fetch(crowd_cache, numbered, 0, &value, NULL));
      number = number_of(value);
    } else {
      number = fetch_by_calls(turn % 5 == 0);
    }
    /* 0: it gave the lead up. */
    if (number != 0) CHECK_INT(number, >=, floor);
  }
  atomic_fetch_add(&crowd_over, 1);
  return NULL;
}

static void *remover(void *argument) {
  (void)argument;
  while (atomic_load(&crowd_over) < FETCHERS) {
    docache_value *value = NULL;
    if (docache_cache_remove(crowd_cache, KEY, 3, &value, NULL) == DOCACHE_OK) {
      /* Whoever asks from here on gets nothing older. (The very same it gets who joins its run,
       * which may not be over.) */
      const unsigned number = number_of(value);
      unsigned floor = atomic_load(&crowd_floor);
      while (floor < number && !atomic_compare_exchange_weak(&crowd_floor, &floor, number))
        continue;
    }
    sched_yield();
  }
  return NULL;
}

static void crowd(void) {
  crowd_cache = new_cache(0);
  pthread_t threads[FETCHERS + REMOVERS];
  int numbers[FETCHERS];
  for (int i = 0; i < FETCHERS; i++) {
    numbers[i] = i;
    threads[i] = spawn(fetcher, &numbers[i]);
  }
  for (int i = FETCHERS; i < FETCHERS + REMOVERS; i++) threads[i] = spawn(remover, NULL);
  for (int i = 0; i < FETCHERS + REMOVERS; i++) join(threads[i]);
  docache_cache_counters counters = {.size = sizeof counters};
  CHECK_OK(docache_cache_stats(crowd_cache, &counters, NULL));
  CHECK_INT(counters.loads - counters.load_failures, ==, atomic_load(&crowd_loads));
  docache_cache_free(crowd_cache);
  checked(
      "a crowd that fetches in both forms, gives leads up and removes: nobody gets what is older "
      "than what was removed before");
}

int main(void) {
  once();
  failures();
  handed_on();
  writes_win();
  without_the_handle();
  crowd();
  return all_checked("cache_fetch");
}
