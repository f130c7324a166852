/* Stores in Redis and NATS: shared with a second cache, refreshed under a lock, and with a server
 * that is not there.
 *
 * remote REDIS_URL NATS_URL
 */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>

#include "../c/check.h"

typedef enum server { REDIS, NATS } server;

static const char *const NAMES[] = {"redis", "nats"};
static const char *const NOWHERE[] = {"redis://127.0.0.1:1/", "nats://127.0.0.1:1"};

/* What a cache's callbacks count. */
typedef struct scene {
  atomic_uint loads;
  atomic_uint drops;
  atomic_uint warnings;
  bool gated; /* loads say that they have begun, and pass `may_load` */
  gate entered;
  gate may_load;
} scene;

#define SCENE_INIT {.entered = GATE_INIT, .may_load = GATE_INIT}

static void dropped(uintptr_t ctx) { atomic_fetch_add(&((scene *)ctx)->drops, 1); }

static void warned(uintptr_t ctx, const docache_echo_warning *warning) {
  CHECK_INT(warning->kind, ==, DOCACHE_WARNING_STORE);
  CHECK(warning->message_len > 0 && warning->key_len > 0);
  atomic_fetch_add(&((scene *)ctx)->warnings, 1);
}

/* Its values are JSON: the key and the number of the load. */
static docache_status load(uintptr_t ctx, const uint8_t *key, size_t key_len, docache_value **out,
                           docache_error **out_error) {
  scene *s = (scene *)ctx;
  const unsigned number = atomic_fetch_add(&s->loads, 1) + 1;
  char text[64];
  if (s->gated) {
    gate_open(&s->entered, 1);
    gate_pass(&s->may_load);
  }
  const int len =
      snprintf(text, sizeof text, "{\"%.*s\":%u}", (int)key_len, (const char *)key, number);
  return docache_value_new((const uint8_t *)text, (size_t)len, out, out_error);
}

static docache_status no_json(uintptr_t ctx, const uint8_t *key, size_t key_len,
                              docache_value **out, docache_error **out_error) {
  (void)ctx;
  return docache_value_new(key, key_len, out, out_error);
}

static docache_status make(server kind, const char *url, uint32_t format, docache_store **out,
                           docache_error **out_error) {
  docache_store_remote_options options = DOCACHE_STORE_REMOTE_OPTIONS_INIT;
  static const char prefix[] = "from-c", bucket[] = "from-c";
  options.prefix = prefix;
  options.prefix_len = sizeof prefix - 1;
  options.format = format;
  if (kind == REDIS) return docache_store_redis_new(url, strlen(url), &options, out, out_error);
  return docache_store_nats_new(url, strlen(url), bucket, sizeof bucket - 1, &options, out,
                                out_error);
}

static docache_echo *memo(server kind, const char *url, uint64_t budget_ns, scene *s) {
  docache_store *store = NULL;
  docache_echo *echo = NULL;
  docache_echo_options options = DOCACHE_ECHO_OPTIONS_INIT;
  CHECK_OK(make(kind, url, DOCACHE_FORMAT_JSON, &store, NULL));
  options.store_budget_ns = budget_ns;
  options.on_warning = warned;
  CHECK_OK(docache_echo_new(store, &options, (uintptr_t)s, dropped, &echo, NULL));
  docache_store_release(store);
  return echo;
}

static docache_echo *lazy(server kind, const char *url, scene *s) {
  docache_store *store = NULL;
  docache_echo *echo = NULL;
  docache_echo_lazy_options options = DOCACHE_ECHO_LAZY_OPTIONS_INIT;
  CHECK_OK(make(kind, url, DOCACHE_FORMAT_LAZY_JSON, &store, NULL));
  options.refresh_after_ns = 200 * MS;
  options.expires_ns = HOUR;
  options.store_budget_ns = (uint64_t)CHECK_PATIENCE_NS;
  CHECK_OK(docache_echo_lazy_new(store, &options, load, (uintptr_t)s, dropped, &echo, NULL));
  docache_store_release(store);
  return echo;
}

/* A store connects at its first use, and may answer nothing until then. */
static void connect(docache_echo *echo) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new((const uint8_t *)"1", 1, &value, NULL));
  while (docache_echo_put(echo, (const uint8_t *)"there", 5, value, NULL) != DOCACHE_OK) {
    sched_yield();
  }
  docache_value_release(value);
}

/* Fetches the key with the cache's scene, and returns where the value comes from. */
static int32_t fetches(docache_echo *echo, scene *s, const char *key, const char *text) {
  docache_value *value = NULL;
  int32_t fetched = -1;
  CHECK_OK(docache_echo_fetch(echo, (const uint8_t *)key, strlen(key), CHECK_PATIENCE_NS, load,
                              (uintptr_t)s, &value, &fetched, NULL, NULL));
  CHECK_VALUE(value, text);
  docache_value_release(value);
  return fetched;
}

static docache_echo_counters stats(const docache_echo *echo) {
  docache_echo_counters counters = DOCACHE_ECHO_COUNTERS_INIT;
  CHECK_OK(docache_echo_stats(echo, &counters, NULL));
  return counters;
}

static void await_refreshes(const docache_echo *echo, uint64_t refreshes) {
  docache_echo_counters counters = stats(echo);
  while (counters.refreshes < refreshes || counters.refreshing > 0) {
    sched_yield();
    counters = stats(echo);
  }
}

static void shares(server kind, const char *url) {
  scene one = SCENE_INIT, two = SCENE_INIT;
  docache_echo *first = memo(kind, url, (uint64_t)CHECK_PATIENCE_NS, &one);
  docache_echo *second = memo(kind, url, (uint64_t)CHECK_PATIENCE_NS, &two);
  connect(first);
  connect(second);
  CHECK_INT(fetches(first, &one, "ada", "{\"ada\":1}"), ==, DOCACHE_FETCHED_LOADED);
  CHECK_INT(fetches(second, &two, "ada", "{\"ada\":1}"), ==, DOCACHE_FETCHED_FRESH);
  CHECK_INT(atomic_load(&two.loads), ==, 0);
  CHECK_OK(docache_echo_remove(second, (const uint8_t *)"ada", 3, NULL));
  CHECK_INT(fetches(first, &one, "ada", "{\"ada\":2}"), ==, DOCACHE_FETCHED_LOADED);
  docache_value *value = NULL;
  REFUSED(docache_echo_fetch(first, (const uint8_t *)"{", 1, DOCACHE_FOREVER, no_json, 0, &value,
                             NULL, NULL, &error),
          "value", "JSON");
  docache_echo_free(first);
  docache_echo_free(second);
  CHECK(atomic_load(&one.drops) == 1 && atomic_load(&two.drops) == 1);
  printf("  ok  %s: what one cache has loaded, another one finds\n", NAMES[kind]);
}

static void ready(uintptr_t is_ready) { gate_open((gate *)is_ready, 1); }

static void begins(server kind, const char *url) {
  scene s = SCENE_INIT;
  gate is_ready = GATE_INIT;
  docache_echo *echo = memo(kind, url, (uint64_t)CHECK_PATIENCE_NS, &s);
  connect(echo);
  docache_echo_call *call = NULL;
  docache_value *value = NULL;
  docache_status status = docache_echo_begin(echo, (const uint8_t *)"bob", 3, &value, NULL, NULL,
                                             &call, NULL);
  if (status == DOCACHE_PENDING) {
    status = docache_echo_call_on_ready(call, ready, (uintptr_t)&is_ready, NULL);
    if (status == DOCACHE_PENDING) gate_pass(&is_ready);
    status = docache_echo_call_poll(call, &value, NULL, NULL, NULL);
  }
  CHECK_STATUS(status, DOCACHE_LEADER);
  CHECK_OK(docache_value_new((const uint8_t *)"[1]", 3, &value, NULL));
  status = docache_echo_call_finish(call, DOCACHE_OK, value, NULL, NULL);
  docache_value_release(value);
  if (status == DOCACHE_PENDING) {
    status = docache_echo_call_on_ready(call, ready, (uintptr_t)&is_ready, NULL);
    if (status == DOCACHE_PENDING) gate_pass(&is_ready);
  }
  CHECK_OK(docache_echo_call_poll(call, &value, NULL, NULL, NULL));
  CHECK_VALUE(value, "[1]");
  docache_value_release(value);
  docache_echo_call_free(call);
  CHECK_INT(fetches(echo, &s, "bob", "[1]"), ==, DOCACHE_FETCHED_FRESH);
  docache_echo_free(echo);
  printf("  ok  %s: a call that must not block leads, and its value is kept\n", NAMES[kind]);
}

static void refreshes(server kind, const char *url) {
  scene one = SCENE_INIT, two = SCENE_INIT;
  docache_echo *first = lazy(kind, url, &one), *second = lazy(kind, url, &two);
  connect(first);
  connect(second);
  CHECK_INT(fetches(first, &one, "rate", "{\"rate\":1}"), ==, DOCACHE_FETCHED_LOADED);
  one.gated = true;
  while (fetches(first, &one, "rate", "{\"rate\":1}") != DOCACHE_FETCHED_STALE) sched_yield();
  gate_pass(&one.entered);
  /* It has the lock: the other cache serves what is stale, and leaves the refresh to it. */
  CHECK_INT(fetches(second, &two, "rate", "{\"rate\":1}"), ==, DOCACHE_FETCHED_STALE);
  await_refreshes(second, 1);
  CHECK_INT(atomic_load(&two.loads), ==, 0);
  gate_open(&one.may_load, 100);
  await_refreshes(first, 1);
  const int32_t fetched = fetches(second, &two, "rate", "{\"rate\":2}");
  CHECK(fetched == DOCACHE_FETCHED_FRESH || fetched == DOCACHE_FETCHED_STALE);
  CHECK_OK(docache_echo_shutdown(second, CHECK_PATIENCE_NS, NULL, NULL, NULL, NULL));
  docache_echo_free(first);
  docache_echo_free(second);
  CHECK(atomic_load(&one.drops) == 1 && atomic_load(&two.drops) == 1);
  printf("  ok  %s: whoever has the lock refreshes, and the others serve what is stale\n",
         NAMES[kind]);
}

static void computes(server kind) {
  scene s = SCENE_INIT;
  docache_echo *echo = memo(kind, NOWHERE[kind], 20 * MS, &s);
  CHECK_INT(fetches(echo, &s, "key", "{\"key\":1}"), ==, DOCACHE_FETCHED_LOADED);
  CHECK_INT(atomic_load(&s.warnings), >, 0);
  CHECK_INT(fetches(echo, &s, "key", "{\"key\":2}"), ==, DOCACHE_FETCHED_LOADED);
  CHECK_INT(stats(echo).store_errors, >=, 2);
  docache_echo_free(echo);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  printf("  ok  %s: without a server a fetch computes, and the hook is told\n", NAMES[kind]);
}

static void refuses(server kind, const char *url) {
  docache_store *store = NULL;
  REFUSED(make(kind, "http://localhost/", 0, &store, &error), "url", NAMES[kind]);
  CHECK(store == NULL);
  REFUSED(make(kind, url, 7, &store, &error), "options.format", "7");
  if (kind == NATS) {
    static const char bad[] = "a bucket";
    REFUSED(docache_store_nats_new(url, strlen(url), bad, sizeof bad - 1, NULL, &store, &error),
            "bucket", bad);
  }
  printf("  ok  %s: a URL that is none is refused by name\n", NAMES[kind]);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "%s REDIS_URL NATS_URL\n", argv[0]);
    return 2;
  }
  for (int kind = REDIS; kind <= NATS; kind++) {
    const char *url = argv[1 + kind];
    shares((server)kind, url);
    begins((server)kind, url);
    refreshes((server)kind, url);
    computes((server)kind);
    refuses((server)kind, url);
  }
  CHECK_OK(docache_shutdown());
  return all_checked("remote");
}
