/* The echo cache: what is fetched, where it comes from, and who refreshes it; in the form that
 * blocks and in the one that does not; over memory and over a store of callbacks. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>

#include "check.h"
#include "echo_store.h"

static const uint8_t KEY[] = "key";

/* What a cache's callbacks count. */
typedef struct scene {
  atomic_uint loads;
  atomic_uint drops;
  atomic_uint warnings;
  atomic_int last_kind;
  atomic_int last_operation;
  atomic_bool failing;
  gate loaded;
  bool gated; /* loads pass `may_load` */
  gate may_load;
  docache_echo *to_free; /* by the next callback */
} scene;

#define SCENE_INIT {.loaded = GATE_INIT, .may_load = GATE_INIT}

static void dropped(uintptr_t ctx) { atomic_fetch_add(&((scene *)ctx)->drops, 1); }

static void free_what_is_to_be_freed(scene *s) {
  docache_echo *echo = s->to_free;
  s->to_free = NULL;
  docache_echo_free(echo);
  if (echo != NULL) CHECK_INT(atomic_load(&s->drops), ==, 0);
}

static void warned(uintptr_t ctx, const docache_echo_warning *warning) {
  scene *s = (scene *)ctx;
  CHECK_INT(warning->size, ==, sizeof *warning);
  CHECK(warning->message_len > 0 && warning->key_len > 0);
  atomic_store(&s->last_kind, warning->kind);
  atomic_store(&s->last_operation, warning->operation);
  atomic_fetch_add(&s->warnings, 1);
  free_what_is_to_be_freed(s);
}

/* Its values are the key and the number of the load: "key 1", "key 2"... */
static docache_status load(uintptr_t ctx, const uint8_t *key, size_t key_len, docache_value **out,
                           docache_error **out_error) {
  scene *s = (scene *)ctx;
  const unsigned number = atomic_fetch_add(&s->loads, 1) + 1;
  char text[64];
  if (s->gated) gate_pass(&s->may_load);
  free_what_is_to_be_freed(s);
  gate_open(&s->loaded, 1);
  if (atomic_load(&s->failing)) {
    CHECK_OK(docache_error_new(42, "as told", strlen("as told"), out_error, NULL));
    return DOCACHE_DOER_FAILED;
  }
  const int len = snprintf(text, sizeof text, "%.*s %u", (int)key_len, (const char *)key, number);
  return docache_value_new((const uint8_t *)text, (size_t)len, out, out_error);
}

static docache_store *memory(void) {
  docache_store *store = NULL;
  docache_store_memory_options options = DOCACHE_STORE_MEMORY_OPTIONS_INIT;
  options.capacity = 100;
  options.policy = DOCACHE_POLICY_LRU;
  CHECK_OK(docache_store_memory_new(&options, &store, NULL));
  return store;
}

/* Takes the caller's share of the store. */
static docache_echo *memo(docache_store *store, scene *s) {
  docache_echo *echo = NULL;
  docache_echo_options options = DOCACHE_ECHO_OPTIONS_INIT;
  options.on_warning = warned;
  options.negative_ttl_ns = HOUR;
  options.flags = DOCACHE_ECHO_RECORD_STATS;
  CHECK_OK(docache_echo_new(store, &options, (uintptr_t)s, dropped, &echo, NULL));
  docache_store_release(store);
  return echo;
}

/* One whose values are stale when their store says that they are 2 ns old. */
static docache_echo *lazy(docache_store *store, docache_perform_key_fn perform, scene *s) {
  docache_echo *echo = NULL;
  docache_echo_lazy_options options = DOCACHE_ECHO_LAZY_OPTIONS_INIT;
  options.refresh_after_ns = 1;
  options.expires_ns = HOUR;
  options.on_warning = warned;
  options.flags = DOCACHE_ECHO_RECORD_STATS;
  CHECK_OK(docache_echo_lazy_new(store, &options, perform, (uintptr_t)s, dropped, &echo, NULL));
  docache_store_release(store);
  return echo;
}

static void fetches(docache_echo *echo, scene *s, const char *text, int32_t expected) {
  docache_value *value = NULL;
  int32_t fetched = -1;
  uint64_t age = 1;
  CHECK_OK(docache_echo_fetch(echo, KEY, 3, CHECK_PATIENCE_NS, load, (uintptr_t)s, &value, &fetched,
                              &age, NULL));
  CHECK_INT(fetched, ==, expected);
  CHECK((age == 0) == (fetched != DOCACHE_FETCHED_STALE));
  CHECK_VALUE(value, text);
  docache_value_release(value);
}

static docache_echo_counters stats(const docache_echo *echo) {
  docache_echo_counters counters = DOCACHE_ECHO_COUNTERS_INIT;
  CHECK_OK(docache_echo_stats(echo, &counters, NULL));
  return counters;
}

static void put(docache_echo *echo, const char *text) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new((const uint8_t *)text, strlen(text), &value, NULL));
  CHECK_OK(docache_echo_put(echo, KEY, 3, value, NULL));
  docache_value_release(value);
}

static void memoizes(void) {
  scene s = SCENE_INIT;
  docache_echo *echo = memo(memory(), &s);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_LOADED);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_FRESH);
  CHECK_OK(docache_echo_remove(echo, KEY, 3, NULL));
  fetches(echo, &s, "key 2", DOCACHE_FETCHED_LOADED);
  put(echo, "put");
  fetches(echo, &s, "put", DOCACHE_FETCHED_FRESH);
  put(echo, "");
  fetches(echo, &s, "", DOCACHE_FETCHED_NEGATIVE);
  CHECK_OK(docache_echo_remove(echo, KEY, 3, NULL));
  atomic_store(&s.failing, true);
  docache_value *value = NULL;
  docache_error *error = NULL;
  CHECK_STATUS(docache_echo_fetch(echo, KEY, 3, DOCACHE_FOREVER, load, (uintptr_t)&s, &value, NULL,
                                  NULL, &error),
               DOCACHE_DOER_FAILED);
  CHECK(value == NULL && docache_error_code(error) == 42);
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "as told");
  const docache_echo_counters counters = stats(echo);
  CHECK_INT(counters.loads, ==, 3);
  CHECK_INT(counters.load_failures, ==, 1);
  CHECK_INT(counters.hits, ==, 3);
  CHECK_OK(docache_echo_shutdown(echo, 0, NULL, NULL, NULL, NULL));
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  CHECK_INT(atomic_load(&s.warnings), ==, 0);
  checked("what is fetched is loaded once, and then comes from the store");
}

static void refreshes(void) {
  scene s = SCENE_INIT;
  echo_store own = ECHO_STORE_INIT;
  own.age_ns = 2;
  docache_echo *echo = lazy(echo_store_new(&own), load, &s);
  docache_value *value = NULL;
  /* Its own work loads where the call has none. */
  CHECK_OK(docache_echo_fetch(echo, KEY, 3, DOCACHE_FOREVER, NULL, 0, &value, NULL, NULL, NULL));
  CHECK_VALUE(value, "key 1");
  docache_value_release(value);
  gate_pass(&s.loaded);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_STALE);
  gate_pass(&s.loaded);
  size_t drained = 9, cancelled = 9, running = 9;
  CHECK_OK(docache_echo_shutdown(echo, CHECK_PATIENCE_NS, &drained, &cancelled, &running, NULL));
  CHECK(drained <= 1 && cancelled == 0 && running == 0);
  fetches(echo, &s, "key 2", DOCACHE_FETCHED_STALE);
  CHECK_INT(stats(echo).refused, ==, 1);
  CHECK_INT(stats(echo).refreshes, ==, 1);
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&s.drops), ==, 1);

  echo_store_clear(&own);

  scene bad = SCENE_INIT;
  echo = lazy(echo_store_new(&own), load, &bad);
  fetches(echo, &bad, "key 1", DOCACHE_FETCHED_LOADED);
  atomic_store(&bad.failing, true);
  fetches(echo, &bad, "key 1", DOCACHE_FETCHED_STALE);
  CHECK_OK(docache_echo_shutdown(echo, CHECK_PATIENCE_NS, NULL, NULL, NULL, NULL));
  CHECK_INT(atomic_load(&bad.warnings), ==, 1);
  CHECK_INT(atomic_load(&bad.last_kind), ==, DOCACHE_WARNING_REFRESH);
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&own.drops), ==, 2);
  echo_store_clear(&own);
  checked("a lazy cache serves what is stale, and refreshes in the background");
}

static docache_echo_call *begin(docache_echo *echo, docache_status expected) {
  docache_echo_call *call = NULL;
  docache_value *value = NULL;
  CHECK_STATUS(docache_echo_begin(echo, KEY, 3, &value, NULL, NULL, &call, NULL), expected);
  CHECK(value == NULL && call != NULL);
  size_t len = 0;
  const uint8_t *key = docache_echo_call_key(call, &len);
  CHECK(len == 3 && memcmp(key, KEY, 3) == 0);
  return call;
}

static void finish(docache_echo_call *call, const char *text) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new((const uint8_t *)text, strlen(text), &value, NULL));
  CHECK_OK(docache_echo_call_finish(call, DOCACHE_OK, value, NULL, NULL));
  docache_value_release(value);
}

static void polls(docache_echo_call *call, const char *text, int32_t expected) {
  docache_value *value = NULL;
  int32_t fetched = -1;
  CHECK_OK(docache_echo_call_poll(call, &value, &fetched, NULL, NULL));
  CHECK_INT(fetched, ==, expected);
  CHECK_VALUE(value, text);
  docache_value_release(value);
}

static void leads(docache_echo_call *call, docache_status expected) {
  docache_value *value = NULL;
  CHECK_STATUS(docache_echo_call_poll(call, &value, NULL, NULL, NULL), expected);
  CHECK(value == NULL);
}

/* Over any store. */
static void begins(docache_store *store, const char *what) {
  scene s = SCENE_INIT;
  atomic_uint told = 0;
  docache_echo *echo = memo(store, &s);
  docache_echo_call *leader = begin(echo, DOCACHE_LEADER), *waiter = begin(echo, DOCACHE_PENDING);
  docache_echo_call *heir = begin(echo, DOCACHE_PENDING);
  leads(leader, DOCACHE_LEADER);
  leads(waiter, DOCACHE_PENDING);
  CHECK_STATUS(docache_echo_call_on_ready(waiter, count_up, (uintptr_t)&told, NULL),
               DOCACHE_PENDING);
  CHECK_OK(docache_echo_call_cancel(waiter));
  CHECK_STATUS(docache_echo_call_on_ready(waiter, count_up, (uintptr_t)&told, NULL),
               DOCACHE_PENDING);
  REFUSED(docache_echo_call_on_ready(waiter, count_up, 0, &error), "notify", "second");
  REFUSED(docache_echo_call_finish(waiter, DOCACHE_DOER_FAILED, NULL, NULL, &error), "call");
  REFUSED(docache_echo_call_finish(leader, DOCACHE_TIMEOUT, NULL, NULL, &error), "status");
  REFUSED(docache_echo_call_finish(leader, DOCACHE_OK, NULL, NULL, &error), "value");
  finish(leader, "by the host");
  polls(leader, "by the host", DOCACHE_FETCHED_LOADED);
  while (atomic_load(&told) == 0) sched_yield();
  polls(waiter, "by the host", DOCACHE_FETCHED_COALESCED);
  docache_echo_call_free(leader);
  docache_echo_call_free(waiter);
  docache_echo_call_free(heir);
  fetches(echo, &s, "by the host", DOCACHE_FETCHED_FRESH);
  docache_value *value = NULL;
  CHECK_OK(docache_echo_begin(echo, KEY, 3, &value, NULL, NULL, &leader, NULL));
  CHECK_VALUE(value, "by the host");
  CHECK(leader == NULL);
  docache_value_release(value);
  /* A lead that is given up is somebody else's. */
  CHECK_OK(docache_echo_remove(echo, KEY, 3, NULL));
  leader = begin(echo, DOCACHE_LEADER);
  heir = begin(echo, DOCACHE_PENDING);
  atomic_store(&told, 0);
  CHECK_STATUS(docache_echo_call_on_ready(heir, count_up, (uintptr_t)&told, NULL), DOCACHE_PENDING);
  docache_echo_call_free(leader);
  while (atomic_load(&told) == 0) sched_yield();
  leads(heir, DOCACHE_LEADER);
  CHECK_OK(docache_echo_call_finish(heir, DOCACHE_DOER_FAILED, NULL, NULL, NULL));
  CHECK_STATUS(docache_echo_call_poll(heir, &value, NULL, NULL, NULL), DOCACHE_DOER_FAILED);
  docache_echo_call_free(heir);
  docache_echo_call_free(NULL);
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  checked(what);
}

static void told_of_refresh(uintptr_t ctx) { atomic_fetch_add((atomic_uint *)ctx, 1); }

static void host_refreshes(void) {
  scene s = SCENE_INIT;
  atomic_uint told = 0;
  echo_store own = ECHO_STORE_INIT;
  own.age_ns = 2;
  docache_echo *echo = lazy(echo_store_new(&own), NULL, &s);
  docache_echo_call *call = NULL;
  CHECK_STATUS(docache_echo_refresh_begin(echo, &call, NULL), DOCACHE_MISS);
  REFUSED(docache_echo_fetch(echo, KEY, 3, -1, NULL, 0, &(docache_value *){NULL}, NULL, NULL,
                             &error),
          "perform");
  CHECK_STATUS(docache_echo_on_refresh(echo, told_of_refresh, (uintptr_t)&told, NULL),
               DOCACHE_PENDING);
  CHECK_OK(docache_echo_on_refresh_cancel(echo, NULL));
  CHECK_STATUS(docache_echo_on_refresh_cancel(echo, NULL), DOCACHE_PENDING);
  CHECK_STATUS(docache_echo_on_refresh(echo, told_of_refresh, (uintptr_t)&told, NULL),
               DOCACHE_PENDING);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_LOADED);
  CHECK_INT(atomic_load(&told), ==, 0);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_STALE);
  CHECK_INT(atomic_load(&told), ==, 1);
  CHECK_OK(docache_echo_on_refresh(echo, told_of_refresh, (uintptr_t)&told, NULL));
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_STALE);
  CHECK_STATUS(docache_echo_refresh_begin(echo, &call, NULL), DOCACHE_LEADER);
  size_t len = 0;
  CHECK(memcmp(docache_echo_call_key(call, &len), KEY, 3) == 0 && len == 3);
  CHECK_INT(stats(echo).refreshing, ==, 1);
  finish(call, "refreshed");
  docache_value *none = (docache_value *)echo;
  CHECK_OK(docache_echo_call_poll(call, &none, NULL, NULL, NULL));
  CHECK(none == NULL);
  docache_echo_call_free(call);
  CHECK_INT(stats(echo).refreshing, ==, 0);
  CHECK_STATUS(docache_echo_refresh_begin(echo, &call, NULL), DOCACHE_MISS);
  fetches(echo, &s, "refreshed", DOCACHE_FETCHED_STALE);
  /* One that is given up can come again; one that fails is told of. */
  CHECK_STATUS(docache_echo_refresh_begin(echo, &call, NULL), DOCACHE_LEADER);
  docache_echo_call_free(call);
  fetches(echo, &s, "refreshed", DOCACHE_FETCHED_STALE);
  CHECK_STATUS(docache_echo_refresh_begin(echo, &call, NULL), DOCACHE_LEADER);
  CHECK_OK(docache_echo_call_finish(call, DOCACHE_DOER_FAILED, NULL, NULL, NULL));
  docache_echo_call_free(call);
  CHECK_INT(atomic_load(&s.warnings), ==, 1);
  fetches(echo, &s, "refreshed", DOCACHE_FETCHED_STALE);
  size_t gone = 0, running = 9;
  CHECK_OK(docache_echo_shutdown(echo, 0, NULL, &gone, &running, NULL));
  CHECK(gone == 1 && running == 0);
  CHECK_STATUS(docache_echo_refresh_begin(echo, &call, NULL), DOCACHE_MISS);
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  echo_store_clear(&own);
  checked("a lazy cache without work of its own leaves its refreshes to its host");
}

static void layers(void) {
  scene s = SCENE_INIT;
  docache_store *near = NULL, *far = memory(), *guarded = NULL, *store = NULL;
  CHECK_OK(docache_store_single_new(0, &near, NULL));
  CHECK_OK(docache_store_breaker_new(far, 0, 0, &guarded, NULL));
  CHECK_OK(docache_store_tiered_new(near, guarded, HOUR, &store, NULL));
  CHECK(docache_store_retain(far) == far);
  docache_store_release(far);
  docache_store_release(near);
  docache_store_release(guarded);
  docache_echo *echo = memo(store, &s), *beside = memo(far, &s);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_LOADED);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_FRESH);
  fetches(beside, &s, "key 1", DOCACHE_FETCHED_FRESH);
  docache_echo_free(echo);
  docache_echo_free(beside);
  docache_store_release(NULL);
  begins(memory(), "a call that must not block leads, waits, inherits, or has its value at once");
  docache_store *inner = memory(), *outer = NULL;
  CHECK_OK(docache_store_breaker_new(inner, 1, MS, &outer, NULL));
  docache_store_release(inner);
  begins(outer, "the same over a store around another");
  checked("stores of stores are stores");
}

static void own_store(void) {
  echo_store own = ECHO_STORE_INIT;
  scene s = SCENE_INIT;
  docache_echo *echo = memo(echo_store_new(&own), &s);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_LOADED);
  fetches(echo, &s, "key 1", DOCACHE_FETCHED_FRESH);
  CHECK(own.ttl_ns == UINT64_C(900000) * MS && own.lock[0] == 0);
  /* It fails: the fetch computes, and the hook is told. */
  static const docache_status failures[] = {DOCACHE_DOER_FAILED, DOCACHE_TIMEOUT, DOCACHE_PANIC,
                                            DOCACHE_INVALID_ARGUMENT, 77, -77, DOCACHE_LEADER};
  for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
    own.answer = failures[i];
    docache_value *value = NULL;
    int32_t fetched = -1;
    const unsigned before = atomic_load(&s.warnings);
    CHECK_OK(docache_echo_fetch(echo, KEY, 3, -1, load, (uintptr_t)&s, &value, &fetched, NULL,
                                NULL));
    CHECK_INT(fetched, ==, DOCACHE_FETCHED_LOADED);
    CHECK_INT(atomic_load(&s.warnings), >, before);
    CHECK_INT(atomic_load(&s.last_kind), ==, DOCACHE_WARNING_STORE);
    docache_value_release(value);
    CHECK(docache_echo_remove(echo, KEY, 3, NULL) != DOCACHE_OK);
  }
  own.answer = DOCACHE_OK;
  /* OK without a value is garbage, and is replaced. */
  own.forgets_value = true;
  docache_value *value = NULL;
  CHECK_OK(docache_echo_fetch(echo, KEY, 3, -1, load, (uintptr_t)&s, &value, NULL, NULL, NULL));
  docache_value_release(value);
  own.forgets_value = false;
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&own.drops), ==, 1);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  echo_store_clear(&own);

  echo_store again = ECHO_STORE_INIT;
  begins(echo_store_new(&again), "a call that must not block, over a store of callbacks");
  CHECK_INT(atomic_load(&again.drops), ==, 1);
  echo_store_clear(&again);
  checked("a store of callbacks keeps what is fetched, and fails no fetch when it fails");
}

static void freed_inside(void) {
  for (int turn = 0; turn < 4; turn++) {
    echo_store own = ECHO_STORE_INIT;
    scene s = SCENE_INIT;
    docache_store *store = turn % 2 == 0 ? memory() : echo_store_new(&own);
    docache_echo *echo = turn < 2 ? memo(store, &s) : lazy(store, load, &s);
    s.to_free = echo;
    docache_value *value = NULL;
    CHECK_OK(docache_echo_fetch(echo, KEY, 3, -1, load, (uintptr_t)&s, &value, NULL, NULL, NULL));
    CHECK_VALUE(value, "key 1");
    docache_value_release(value);
    CHECK_INT(atomic_load(&s.drops), ==, 1);
    CHECK_INT(atomic_load(&own.drops), ==, turn % 2);
    if (turn % 2 == 1) CHECK(own.value != NULL && own.lock[0] == 0);
    echo_store_clear(&own);
  }
  for (int turn = 0; turn < 2; turn++) {
    /* A hook, and a refresh on a thread of the library. */
    scene s = SCENE_INIT;
    echo_store own = ECHO_STORE_INIT;
    docache_echo *echo = lazy(echo_store_new(&own), load, &s);
    fetches(echo, &s, "key 1", DOCACHE_FETCHED_LOADED);
    gate_pass(&s.loaded);
    own.age_ns = 2;
    s.gated = true;
    docache_value *value = NULL;
    CHECK_OK(docache_echo_fetch(echo, KEY, 3, -1, load, (uintptr_t)&s, &value, NULL, NULL, NULL));
    docache_value_release(value);
    s.to_free = turn == 0 ? echo : NULL;
    gate_open(&s.may_load, 1);
    if (turn == 0) {
      while (atomic_load(&s.drops) == 0) sched_yield();
    } else {
      docache_echo_free(echo);
    }
    CHECK_INT(atomic_load(&s.drops), ==, 1);
    CHECK_INT(atomic_load(&own.drops), ==, 1);
    CHECK(own.lock[0] == 0);
    echo_store_clear(&own);
  }
  scene s = SCENE_INIT;
  echo_store own = ECHO_STORE_INIT;
  docache_echo *echo = memo(echo_store_new(&own), &s);
  own.answer = DOCACHE_DOER_FAILED;
  s.to_free = echo;
  docache_value *value = NULL;
  CHECK_OK(docache_echo_fetch(echo, KEY, 3, -1, load, (uintptr_t)&s, &value, NULL, NULL, NULL));
  docache_value_release(value);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  CHECK_INT(atomic_load(&s.warnings), ==, 1);
  CHECK_INT(atomic_load(&own.drops), ==, 1);
  docache_echo_free(NULL);
  checked("a cache that a callback of its own frees ends when that has returned, its call done");
}

static void calls_outlive(void) {
  scene s = SCENE_INIT;
  docache_echo *echo = memo(memory(), &s);
  docache_echo_call *leader = begin(echo, DOCACHE_LEADER), *waiter = begin(echo, DOCACHE_PENDING);
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  finish(leader, "late");
  polls(waiter, "late", DOCACHE_FETCHED_COALESCED);
  docache_echo_call_free(leader);
  docache_echo_call_free(waiter);

  /* A store of callbacks is not called any more; it goes with the last call. */
  echo_store own = ECHO_STORE_INIT;
  echo = memo(echo_store_new(&own), &s);
  leader = begin(echo, DOCACHE_LEADER);
  CHECK(own.lock[0] != 0);
  docache_echo_free(echo);
  finish(leader, "late");
  CHECK(own.value == NULL && own.lock[0] != 0);
  polls(leader, "late", DOCACHE_FETCHED_LOADED);
  docache_echo_call_free(leader);
  CHECK_INT(atomic_load(&own.drops), ==, 1);
  checked("calls that are out go on without the handle of their cache");
}

static void remote(void) {
  docache_store *store = (docache_store *)KEY;
  docache_error *error = NULL;
  static const char nowhere[] = "redis://127.0.0.1:1/";
  docache_store_remote_options options = DOCACHE_STORE_REMOTE_OPTIONS_INIT;
  options.prefix = "tests";
  options.prefix_len = 5;
  const docache_status made =
      docache_store_redis_new(nowhere, sizeof nowhere - 1, &options, &store, &error);
  if (made == DOCACHE_UNSUPPORTED) {
    CHECK(store == NULL);
    CHECK_ERROR(error, DOCACHE_UNSUPPORTED, "Redis", "redis");
    checked("a build without stores on servers says so");
    return;
  }
  CHECK_OK(made);
  scene s = SCENE_INIT;
  docache_echo *echo = memo(store, &s);
  docache_value *value = NULL;
  REFUSED(docache_echo_fetch(echo, KEY, 3, -1, load, (uintptr_t)&s, &value, NULL, NULL, &error),
          "value", "JSON");
  CHECK_INT(atomic_load(&s.last_kind), ==, DOCACHE_WARNING_STORE);
  docache_echo_free(echo);
  checked("a store on a server wants JSON, and fails no fetch when the server is not there");
}

int main(void) {
  memoizes();
  refreshes();
  host_refreshes();
  layers();
  own_store();
  freed_inside();
  calls_outlive();
  remote();
  CHECK_OK(docache_shutdown());
  checked("the threads of the caches leave when all is freed");
  return all_checked("echo");
}
