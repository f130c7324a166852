/* Caches as a program uses them: what is found and for how long, lists, limits and who is told of
   what leaves, visits, counters, and what can be got wrong. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#define TEXT(text) (const uint8_t *)(text), strlen(text)
#define SPAN(text) {(const uint8_t *)(text), sizeof(text) - 1}

static const uint8_t KEY[] = "key";

static docache_cache_options cache_options(void) {
  return (docache_cache_options){.size = sizeof(docache_cache_options),
                                 .sweep_interval_ns = DOCACHE_NEVER};
}

static docache_cache *new_cache(docache_cache_options options) {
  docache_cache *cache = NULL;
  CHECK_OK(docache_cache_new(&options, NULL, 0, NULL, &cache, NULL));
  CHECK(cache != NULL);
  return cache;
}

static void set(docache_cache *cache, const char *key, const char *text) {
  CHECK_OK(docache_cache_set(cache, TEXT(key), TEXT(text), 0, NULL));
}

/* The key's value is the text, and each way of reading says so; with NULL it is not there. */
static void check_read(docache_cache *cache, const char *key, const char *text) {
  docache_value *value = (docache_value *)cache;
  uint8_t buffer[64];
  size_t len = 77;
  const docache_status expected = text != NULL ? DOCACHE_OK : DOCACHE_MISS;
  CHECK_STATUS(docache_cache_get(cache, TEXT(key), &value, NULL), expected);
  CHECK_STATUS(docache_cache_contains(cache, TEXT(key), NULL), expected);
  CHECK_STATUS(docache_cache_try_get(cache, TEXT(key), buffer, sizeof buffer, &len, NULL),
               expected);
  if (text == NULL) {
    CHECK(value == NULL && len == 77);
    return;
  }
  CHECK_VALUE(value, text);
  CHECK_INT(len, ==, strlen(text));
  CHECK(memcmp(buffer, text, len) == 0);
  docache_value_release(value);
}

/* Reads may hold something for the moment that they take. */
static void flush(docache_cache *cache) {
  while (docache_cache_flush(cache, NULL) != DOCACHE_OK) continue;
}

static void found_and_not(void) {
  docache_cache *cache = new_cache(cache_options());
  check_read(cache, "key", NULL);
  set(cache, "key", "one");
  set(cache, "", "of no key");
  set(cache, "none", "");
  check_read(cache, "key", "one");
  check_read(cache, "", "of no key");
  check_read(cache, "none", "");
  set(cache, "key", "two");
  check_read(cache, "key", "two");
  CHECK_OK(docache_cache_set(cache, (const uint8_t *)"k\0y", 3, TEXT("other"), 0, NULL));
  check_read(cache, "key", "two");
  check_read(cache, "k", NULL);
  CHECK_INT(docache_cache_len(cache), ==, 4);
  docache_value *value = NULL;
  CHECK_OK(docache_cache_remove(cache, KEY, 3, &value, NULL));
  CHECK_VALUE(value, "two");
  CHECK_OK(docache_cache_clear(cache, NULL));
  CHECK_INT(docache_cache_len(cache), ==, 0);
  docache_cache_free(cache);
  CHECK_VALUE(value, "two");
  docache_value_release(value);
  checked("each way of reading finds the same; what was taken out outlives the cache");
}

static void small_buffers(void) {
  docache_cache *cache = new_cache(cache_options());
  set(cache, "key", "four");
  uint8_t buffer[4] = "abcd";
  size_t len = 77;
  docache_error *error = NULL;
  CHECK_STATUS(docache_cache_try_get(cache, KEY, 3, buffer, 3, &len, &error),
               DOCACHE_BUFFER_TOO_SMALL);
  CHECK(len == 4 && memcmp(buffer, "abcd", 4) == 0);
  CHECK_ERROR(error, DOCACHE_BUFFER_TOO_SMALL, "capacity", "3", "4 bytes");
  CHECK_STATUS(docache_cache_try_get(cache, KEY, 3, NULL, 0, &len, NULL), DOCACHE_BUFFER_TOO_SMALL);
  CHECK_OK(docache_cache_try_get(cache, KEY, 3, buffer, 4, &len, NULL));
  CHECK(len == 4 && memcmp(buffer, "four", 4) == 0);
  set(cache, "key", "");
  CHECK_OK(docache_cache_try_get(cache, KEY, 3, NULL, 0, &len, NULL));
  CHECK_INT(len, ==, 0);
  docache_cache_free(cache);
  checked("a buffer that is too small stays as it is, and the length says how large it must be");
}

static void lifetimes(void) {
  docache_cache_options options = cache_options();
  options.time_to_live_ns = 1;
  docache_cache *cache = new_cache(options);
  set(cache, "short", "of the cache");
  CHECK_OK(docache_cache_set(cache, TEXT("long"), TEXT("hour"), HOUR, NULL));
  CHECK_OK(docache_cache_set(cache, TEXT("for ever"), TEXT("never"), DOCACHE_NEVER, NULL));
  check_read(cache, "short", NULL);
  check_read(cache, "long", "hour");
  check_read(cache, "for ever", "never");
  CHECK_STATUS(docache_cache_remove(cache, TEXT("short"), NULL, NULL), DOCACHE_MISS);
  set(cache, "short", "again");
  size_t purged = 77;
  CHECK_OK(docache_cache_purge_expired(cache, &purged, NULL));
  CHECK(purged == 1 && docache_cache_len(cache) == 2);
  CHECK_OK(docache_cache_purge_expired(cache, NULL, NULL));
  docache_cache_free(cache);

  options.flags = DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY;
  cache = new_cache(options);
  set(cache, "short", "of the cache");
  check_read(cache, "short", "of the cache");
  CHECK_OK(docache_cache_purge_expired(cache, NULL, NULL));
  check_read(cache, "short", NULL);
  docache_cache_free(cache);
  checked("what has expired is not found, unless it was said that only the sweep counts");
}

/* More than is stored under one lock, of many shards; each key comes twice. */
static void long_list(void) {
  enum { COUNT = 3000 };
  static uint32_t numbers[COUNT];
  static docache_bytes keys[2 * COUNT], values[2 * COUNT];
  for (uint32_t i = 0; i < 2 * COUNT; i++) {
    numbers[i % COUNT] = i % COUNT;
    keys[i] = (docache_bytes){(const uint8_t *)&numbers[i % COUNT], sizeof *numbers};
    values[i] = i < COUNT ? (docache_bytes){(const uint8_t *)"first", 5} : keys[i];
  }
  static const char heavy[2000] = {0};
  const uint32_t refused[] = {7, 60, 2900};
  for (int i = 0; i < 3; i++)
    values[COUNT + refused[i]] = (docache_bytes){(const uint8_t *)heavy, sizeof heavy};
  docache_cache_options options = cache_options();
  options.max_weight = 64 * 1024;
  options.shards = 64;
  docache_cache *cache = new_cache(options);
  REFUSED(docache_cache_set_many(cache, keys, values, 2 * COUNT, 0, &error), "values[3007]", "2004",
          "1024");
  for (uint32_t i = 0; i < COUNT; i++) {
    uint32_t found = 0;
    size_t len = 0;
    docache_status status = docache_cache_try_get(cache, keys[i].data, keys[i].len,
                                                  (uint8_t *)&found, sizeof found, &len, NULL);
    const int is_refused = i == refused[0] || i == refused[1] || i == refused[2];
    CHECK_STATUS(status, is_refused ? DOCACHE_MISS : DOCACHE_OK);
    CHECK(is_refused || (len == sizeof found && found == i));
  }
  docache_cache_free(cache);
}

static void lists(void) {
  docache_cache_options options = cache_options();
  options.max_weight = 100;
  options.shards = 1;
  docache_cache *cache = new_cache(options);
  static const char heavy[200] = {0};
  const docache_bytes keys[] = {SPAN("a"), SPAN("b"), SPAN(""), SPAN("d")};
  const docache_bytes values[] = {
      SPAN("one"), {(const uint8_t *)heavy, sizeof heavy}, SPAN("three"), SPAN("")};
  set(cache, "b", "earlier");
  REFUSED(docache_cache_set_many(cache, keys, values, 4, 0, &error), "values[1]", "201", "100");
  docache_value *found[4] = {(docache_value *)cache, (docache_value *)cache, NULL, NULL};
  size_t number = 77;
  CHECK_OK(docache_cache_get_many(cache, keys, 4, found, &number, NULL));
  CHECK(number == 3 && found[1] == NULL);
  CHECK_VALUE(found[0], "one");
  CHECK_VALUE(found[2], "three");
  CHECK_VALUE(found[3], "");
  for (int i = 0; i < 4; i++) docache_value_release(found[i]);
  CHECK_INT(docache_cache_weight(cache), ==, 4 + 5 + 1);
  CHECK_OK(docache_cache_remove_many(cache, keys, 3, &number, NULL));
  CHECK(number == 2 && docache_cache_len(cache) == 1);
  CHECK_OK(docache_cache_get_many(cache, NULL, 0, NULL, &number, NULL));
  CHECK_INT(number, ==, 0);
  CHECK_OK(docache_cache_set_many(cache, NULL, NULL, 0, 0, NULL));
  long_list();

  const docache_bytes holed[] = {SPAN("d"), {NULL, 1}};
  found[0] = (docache_value *)cache;
  REFUSED(docache_cache_get_many(cache, holed, 2, found, &number, &error), "keys[1]", "NULL");
  CHECK(found[0] == NULL && found[1] == NULL && number == 0);
  REFUSED(docache_cache_remove_many(cache, holed, 2, &number, &error), "keys[1]", "NULL");
  REFUSED(docache_cache_set_many(cache, keys, holed, 2, 0, &error), "values[1]", "NULL");
  REFUSED(docache_cache_get_many(cache, keys, SIZE_MAX / 2, found, &number, &error), "count");
  check_read(cache, "d", "");
  docache_cache_free(cache);
  checked("lists: the same as one by one; one bad span and nothing happens");
}

/* Counts what leaves, by cause; its registration is dropped once. */
typedef struct listener {
  docache_cache *cache;
  unsigned causes[5];
  size_t bytes;
  unsigned drops;
} listener;

static void left(uintptr_t context, const uint8_t *key, size_t key_len, const docache_value *value,
                 int32_t cause) {
  listener *l = (listener *)context;
  CHECK(key != NULL && cause >= 0 && cause < 5);
  l->causes[cause]++;
  l->bytes += key_len + docache_value_len(value);
  /* It may use the cache. */
  docache_value *other = NULL;
  docache_cache_get(l->cache, key, key_len, &other, NULL);
  docache_value_release(other);
}

static void dropped(uintptr_t context) { ((listener *)context)->drops++; }

static void limits_and_causes(void) {
  listener heard = {0};
  docache_cache_options options = cache_options();
  options.capacity = 8;
  options.shards = 1;
  options.policy = DOCACHE_POLICY_LRU;
  CHECK_OK(docache_cache_new(&options, left, (uintptr_t)&heard, dropped, &heard.cache, NULL));
  char key[] = "0";
  for (int i = 0; i < 10; i++, key[0]++) {
    set(heard.cache, key, "12");
    check_read(heard.cache, "0", "12");
  }
  CHECK_INT(docache_cache_len(heard.cache), ==, 8);
  CHECK_INT(heard.causes[DOCACHE_CAUSE_SIZE], ==, 2);
  check_read(heard.cache, "1", NULL);
  set(heard.cache, "0", "new");
  CHECK_OK(docache_cache_remove(heard.cache, TEXT("0"), NULL, NULL));
  CHECK_OK(docache_cache_set(heard.cache, TEXT("9"), TEXT("12"), 1, NULL));
  CHECK_OK(docache_cache_purge_expired(heard.cache, NULL, NULL));
  CHECK_OK(docache_cache_clear(heard.cache, NULL));
  CHECK_INT(heard.causes[DOCACHE_CAUSE_REPLACED], ==, 2);
  CHECK_INT(heard.causes[DOCACHE_CAUSE_EXPIRED], ==, 1);
  CHECK_INT(heard.causes[DOCACHE_CAUSE_REMOVED], ==, 7);
  CHECK_INT(heard.bytes, ==, 3 * 11 + 4);
  set(heard.cache, "0", "stays");
  docache_cache_free(heard.cache);
  CHECK(heard.drops == 1 && heard.causes[DOCACHE_CAUSE_REMOVED] == 7);

  heard = (listener){0};
  options.capacity = 0;
  options.policy = DOCACHE_POLICY_ADAPTIVE;
  options.max_weight = 10;
  CHECK_OK(docache_cache_new(&options, left, (uintptr_t)&heard, dropped, &heard.cache, NULL));
  set(heard.cache, "key", "0123456");
  REFUSED(docache_cache_set(heard.cache, KEY, 3, TEXT("01234567"), 0, &error), "weight", "11",
          "10");
  CHECK(heard.causes[DOCACHE_CAUSE_REFUSED] == 1 && heard.causes[DOCACHE_CAUSE_REPLACED] == 1);
  check_read(heard.cache, "key", NULL);
  docache_cache_free(heard.cache);
  CHECK_INT(heard.drops, ==, 1);
  checked("limits hold, and who listens hears of each that leaves, and why");
}

/* Visits. */
typedef struct visitor {
  docache_cache *cache;
  unsigned calls, most;
  size_t bytes;
} visitor;

static int32_t visit(uintptr_t context, const uint8_t *key, size_t key_len,
                     const docache_value *value) {
  visitor *v = (visitor *)context;
  v->bytes += docache_value_len(value);
  CHECK_OK(docache_cache_remove(v->cache, key, key_len, NULL, NULL));
  return ++v->calls == v->most;
}

static void visits(void) {
  docache_cache *cache = new_cache(cache_options());
  char key[] = "0";
  for (int i = 0; i < 10; i++, key[0]++) set(cache, key, "12");
  CHECK_OK(docache_cache_set(cache, KEY, 3, TEXT("expired"), 1, NULL));
  visitor v = {.cache = cache, .most = 4};
  CHECK_OK(docache_cache_each(cache, visit, (uintptr_t)&v, NULL));
  CHECK(v.calls == 4 && docache_cache_len(cache) == 7);
  CHECK_OK(docache_cache_each(cache, visit, (uintptr_t)&v, NULL));
  CHECK(v.calls == 10 && v.bytes == 20 && docache_cache_len(cache) == 1);
  docache_cache_free(cache);
  checked("a visit sees each entry once, may change the cache, and ends when it says so");
}

static void counters(void) {
  docache_cache_options options = cache_options();
  options.flags = DOCACHE_CACHE_RECORD_STATS;
  docache_cache *cache = new_cache(options);
  check_read(cache, "key", NULL);
  set(cache, "key", "one");
  check_read(cache, "key", "one");
  set(cache, "key", "two");
  struct {
    docache_cache_counters known;
    uint64_t unknown;
  } longer;
  memset(&longer, 0xff, sizeof longer);
  longer.known.size = sizeof longer;
  flush(cache);
  CHECK_OK(docache_cache_stats(cache, &longer.known, NULL));
  const docache_cache_counters *c = &longer.known;
  CHECK(c->size == sizeof longer && longer.unknown == 0);
  CHECK(c->hits == 2 && c->misses == 2 && c->inserted == 2 && c->replaced == 1);
  CHECK(c->len == 1 && c->weight == 1 && c->retired == 0 && c->memory > 0);
  longer.known.size = sizeof longer.known - 1;
  REFUSED(docache_cache_stats(cache, &longer.known, &error), "out.size",
          "sizeof(docache_cache_counters)");
  docache_cache_free(cache);
  checked("counters count, and parts that are not known are zero");
}

static void refused_caches(void) {
  docache_cache *cache = NULL;
  unsigned drops = 0;
  listener heard = {0};
#define REFUSED_NEW(options, ...)                                                         \
  do {                                                                                    \
    REFUSED(docache_cache_new(options, left, (uintptr_t)&heard, dropped, &cache, &error), \
            __VA_ARGS__);                                                                 \
    CHECK_INT(heard.drops, ==, ++drops);                                                  \
    CHECK(cache == NULL);                                                                 \
  } while (0)
  struct {
    docache_cache_options known;
    uint64_t unknown;
  } longer = {.known = {.size = sizeof longer}, .unknown = 1};
  REFUSED_NEW(&longer.known, "offset 72");
  docache_cache_options options = cache_options();
  REFUSED_NEW((const docache_cache_options *)((const char *)&options + 1), "options", "misaligned");
  options.size--;
  REFUSED_NEW(&options, "options.size", "sizeof(docache_cache_options)");
  options = cache_options();
  options.policy = 7;
  REFUSED_NEW(&options, "options.policy", "7");
  options = cache_options();
  options.jitter_permille = 1001;
  REFUSED_NEW(&options, "options.jitter_permille", "1001");
  options = cache_options();
  options.flags = 4;
  REFUSED_NEW(&options, "options.flags", "4");
  options = cache_options();
  options.reserved = 1;
  REFUSED_NEW(&options, "options.reserved", "1");
  options = cache_options();
  options.shards = 65537;
  REFUSED_NEW(&options, "shards", "65537");
  longer.unknown = 0;
  CHECK_OK(docache_cache_new(&longer.known, NULL, (uintptr_t)&heard, dropped, &cache, NULL));
  docache_cache_free(cache);
  CHECK_INT(heard.drops, ==, ++drops);
  CHECK_OK(docache_cache_new(NULL, NULL, 0, NULL, &cache, NULL));
  docache_cache_free(cache);
  docache_cache_free(NULL);
  checked(
      "options: sizes, unknown parts and values that do not exist; a registration is dropped in "
      "any case");
}

static int32_t no_visit(uintptr_t context, const uint8_t *key, size_t key_len,
                        const docache_value *value) {
  (void)context, (void)key, (void)key_len, (void)value;
  CHECK(false);
  return 1;
}

static docache_status no_work(uintptr_t context, docache_value **out, docache_error **out_error) {
  (void)context, (void)out, (void)out_error;
  CHECK(false);
  return DOCACHE_OK;
}

static void refused_reads(void) {
  docache_cache *cache = new_cache(cache_options());
  docache_cache *crooked = (docache_cache *)((char *)cache + 1);
  docache_value *value = (docache_value *)cache;
  uint8_t buffer[4];
  size_t len = 77;
  const docache_bytes key = SPAN("key");
  set(cache, "key", "1234");
  REFUSED(docache_cache_try_get(NULL, KEY, 3, buffer, 4, &len, &error), "cache", "NULL");
  REFUSED(docache_cache_try_get(crooked, KEY, 3, buffer, 4, &len, &error), "cache", "misaligned");
  REFUSED(docache_cache_try_get(cache, NULL, 3, buffer, 4, &len, &error), "key", "NULL");
  REFUSED(docache_cache_try_get(cache, KEY, SIZE_MAX, buffer, 4, &len, &error), "key_len");
  REFUSED(docache_cache_try_get(cache, KEY, 3, NULL, 4, &len, &error), "buffer", "NULL");
  REFUSED(docache_cache_try_get(cache, KEY, 3, buffer, 4, NULL, &error), "out_len", "NULL");
  REFUSED(docache_cache_get(NULL, KEY, 3, &value, &error), "cache", "NULL");
  CHECK(value == NULL && len == 77);
  REFUSED(docache_cache_get(cache, KEY, 3, NULL, &error), "out_value", "NULL");
  REFUSED(docache_cache_contains(NULL, KEY, 3, &error), "cache", "NULL");
  REFUSED(docache_cache_get_many(cache, NULL, 1, &value, &len, &error), "keys", "NULL");
  REFUSED(docache_cache_get_many(cache, &key, 1, NULL, &len, &error), "out_values", "NULL");
  REFUSED(docache_cache_get_many(NULL, &key, 1, &value, &len, &error), "cache", "NULL");
  REFUSED(docache_cache_each(NULL, no_visit, 0, &error), "cache", "NULL");
  REFUSED(docache_cache_each(cache, NULL, 0, &error), "visit", "NULL");
  REFUSED(docache_cache_stats(cache, NULL, &error), "out", "NULL");
  CHECK(docache_cache_len(NULL) == 0 && docache_cache_weight(crooked) == 0);
  docache_cache_free(cache);
  checked("reads: NULL, misaligned pointers and impossible lengths");
}

static void refused_writes_and_fetches(void) {
  docache_cache *cache = new_cache(cache_options());
  docache_value *value = (docache_value *)cache;
  docache_call *call = (docache_call *)cache;
  const docache_bytes key = SPAN("key");
  REFUSED(docache_cache_set(NULL, KEY, 3, KEY, 3, 0, &error), "cache", "NULL");
  REFUSED(docache_cache_set(cache, NULL, 3, KEY, 3, 0, &error), "key", "NULL");
  REFUSED(docache_cache_set(cache, KEY, 3, NULL, 3, 0, &error), "data", "NULL");
  REFUSED(docache_cache_set(cache, KEY, 3, KEY, SIZE_MAX, 0, &error), "data_len");
  REFUSED(docache_cache_set_value(cache, KEY, 3, NULL, 0, &error), "value", "NULL");
  REFUSED(docache_cache_set_many(cache, &key, NULL, 1, 0, &error), "values", "NULL");
  REFUSED(docache_cache_remove(NULL, KEY, 3, &value, &error), "cache", "NULL");
  CHECK(value == NULL);
  REFUSED(docache_cache_remove_many(NULL, &key, 1, NULL, &error), "cache", "NULL");
  REFUSED(docache_cache_clear(NULL, &error), "cache", "NULL");
  REFUSED(docache_cache_purge_expired(NULL, NULL, &error), "cache", "NULL");
  REFUSED(docache_cache_flush(NULL, &error), "cache", "NULL");
  value = (docache_value *)cache;
  REFUSED(docache_cache_fetch(NULL, KEY, 3, 0, 0, no_work, 0, &value, &error), "cache", "NULL");
  CHECK(value == NULL);
  REFUSED(docache_cache_fetch(cache, NULL, 3, 0, 0, no_work, 0, &value, &error), "key", "NULL");
  REFUSED(docache_cache_fetch(cache, KEY, 3, 0, 0, NULL, 0, &value, &error), "perform", "NULL");
  REFUSED(docache_cache_fetch(cache, KEY, 3, 0, 0, no_work, 0, NULL, &error), "out_value", "NULL");
  value = (docache_value *)cache;
  REFUSED(docache_cache_fetch_begin(NULL, KEY, 3, 0, 0, &value, &call, &error), "cache", "NULL");
  CHECK(value == NULL && call == NULL);
  REFUSED(docache_cache_fetch_begin(cache, KEY, 3, 0, 0, NULL, &call, &error), "out_value", "NULL");
  REFUSED(docache_cache_fetch_begin(cache, KEY, 3, 0, 0, &value, NULL, &error), "out_call", "NULL");
  REFUSED(docache_cache_fetch_begin(cache, NULL, 3, 0, 0, &value, &call, &error), "key", "NULL");
  docache_cache_counters counters = {.size = sizeof counters};
  CHECK_OK(docache_cache_stats(cache, &counters, NULL));
  CHECK(counters.inserted == 0 && counters.loads == 0);
  docache_cache_free(cache);
  checked("writes and fetches: the same, and nothing has happened");
}

int main(void) {
  found_and_not();
  small_buffers();
  lifetimes();
  lists();
  limits_and_causes();
  visits();
  counters();
  refused_caches();
  refused_reads();
  refused_writes_and_fetches();
  return all_checked("cache");
}
