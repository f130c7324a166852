/* Work is told its key; options begin with their macros, and what is refused is called as it is
 * called in C. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#define KEY(text) (const uint8_t *)(text), strlen(text)

static docache_status echo(uintptr_t ctx, const uint8_t *key, size_t key_len, docache_value **out,
                           docache_error **out_error) {
  CHECK(key != NULL); /* also that of nothing can be copied from */
  CHECK_OK(docache_value_new(key, key_len, out, NULL));
  if (ctx == 0) return DOCACHE_OK;
  docache_value_release(*out);
  *out = NULL;
  CHECK_OK(docache_error_new((int64_t)ctx, (const char *)key, key_len, out_error, NULL));
  return DOCACHE_DOER_FAILED;
}

static void keys_of_a_cache(void) {
  docache_cache *cache = NULL;
  docache_value *value = NULL;
  docache_error *error = NULL;
  CHECK_OK(docache_cache_new(NULL, NULL, 0, NULL, &cache, NULL));
  const char *keys[] = {"ada", "", "a key that is longer than what lies in an entry"};
  for (size_t i = 0; i < 3; i++) {
    CHECK_OK(
        docache_cache_fetch_key(cache, KEY(keys[i]), 0, DOCACHE_FOREVER, echo, 0, &value, NULL));
    CHECK_VALUE(value, keys[i]);
    docache_value_release(value);
  }
  CHECK_OK(docache_cache_fetch_key(cache, NULL, 0, 0, DOCACHE_FOREVER, echo, 7, &value, NULL));
  CHECK_VALUE(value, "");
  docache_value_release(value);
  CHECK_STATUS(
      docache_cache_fetch_key(cache, KEY("fails"), 0, DOCACHE_FOREVER, echo, 7, &value, &error),
      DOCACHE_DOER_FAILED);
  CHECK_INT(docache_error_code(error), ==, 7);
  CHECK_ERROR(error, DOCACHE_DOER_FAILED, "fails");
  CHECK_STATUS(
      docache_cache_fetch_key(cache, KEY("a"), 0, DOCACHE_FOREVER, NULL, 0, &value, &error),
      DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "perform", "NULL");
  CHECK_STATUS(docache_cache_fetch_key(cache, NULL, 1, 0, DOCACHE_FOREVER, echo, 0, &value, &error),
               DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "key", "NULL");
  docache_cache_free(cache);
  checked("a fetch's work is told the key");
}

static void keys_of_a_group(void) {
  docache_group *group = NULL;
  docache_value *value = NULL;
  docache_error *error = NULL;
  uint32_t shared = 7;
  CHECK_OK(docache_group_new(NULL, &group, NULL));
  CHECK_OK(
      docache_group_run_key(group, KEY("ada"), DOCACHE_FOREVER, echo, 0, &value, &shared, NULL));
  CHECK_VALUE(value, "ada");
  CHECK_INT(shared, ==, 0);
  docache_value_release(value);
  CHECK_STATUS(
      docache_group_run_key(group, KEY("a"), DOCACHE_FOREVER, NULL, 0, &value, NULL, &error),
      DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "perform", "NULL");
  docache_group_free(group);
  checked("a run's work is told the key");
}

/* A cache is refused for what `set` sets, by that name. */
#define REFUSED_CACHE(set, ...)                                                                   \
  do {                                                                                            \
    docache_cache_options o = DOCACHE_CACHE_OPTIONS_INIT;                                         \
    docache_cache *cache = NULL;                                                                  \
    docache_error *error = NULL;                                                                  \
    set;                                                                                          \
    CHECK_STATUS(docache_cache_new(&o, NULL, 0, NULL, &cache, &error), DOCACHE_INVALID_ARGUMENT); \
    CHECK(cache == NULL);                                                                         \
    CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, __VA_ARGS__);                                    \
  } while (0)

static void options_of_caches(void) {
  REFUSED_CACHE(o.size = 1, "options.size: 1 ", "sizeof(docache_cache_options)");
  REFUSED_CACHE(o.sweep_interval_ns = 999999, "options.sweep_interval_ns: 999999 ", "1000000");
  REFUSED_CACHE(o.capacity = o.max_weight = 1, "options.capacity: ", "options.max_weight");
  REFUSED_CACHE(o.shards = 65537, "options.shards: 65537 ", "65536");
  REFUSED_CACHE(o.policy = 2, "options.policy: 2 ");
  REFUSED_CACHE(o.policy = DOCACHE_POLICY_LRU, "options.policy: DOCACHE_POLICY_LRU ",
                "options.capacity");
  REFUSED_CACHE(o.jitter_permille = 1001, "options.jitter_permille: 1001 ");
  REFUSED_CACHE(o.flags = 4, "options.flags: 4 ");
  REFUSED_CACHE(o.reserved = 1, "options.reserved: 1 ");
  docache_cache_options most = DOCACHE_CACHE_OPTIONS_INIT;
  docache_cache *cache = NULL;
  most.sweep_interval_ns = MS;
  most.shards = 65536;
  most.policy = DOCACHE_POLICY_LRU;
  most.max_weight = UINT64_MAX;
  most.jitter_permille = 1000;
  most.flags = 3;
  CHECK_OK(docache_cache_new(&most, NULL, 0, NULL, &cache, NULL));
  docache_cache_counters counters = DOCACHE_CACHE_COUNTERS_INIT;
  CHECK_OK(docache_cache_stats(cache, &counters, NULL));
  docache_cache_free(cache);
  checked("options of caches are called as in C");
}

#define REFUSED_LOOP(set, ...)                                                    \
  do {                                                                            \
    docache_loop_options o = DOCACHE_LOOP_OPTIONS_INIT;                           \
    docache_loop *loop = NULL;                                                    \
    docache_error *error = NULL;                                                  \
    o.interval_ns = HOUR;                                                         \
    set;                                                                          \
    CHECK_STATUS(docache_loop_new(&o, test_doer_perform, 0, NULL, &loop, &error), \
                 DOCACHE_INVALID_ARGUMENT);                                       \
    CHECK(loop == NULL);                                                          \
    CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, __VA_ARGS__);                    \
  } while (0)

static void options_of_loops_and_groups(void) {
  REFUSED_LOOP(o.size = 1, "options.size: 1 ", "sizeof(docache_loop_options)");
  REFUSED_LOOP(o.interval_ns = 0, "options.interval_ns: 0 ");
  REFUSED_LOOP((o.name = "a\0b", o.name_len = 3), "options.name: ");
  REFUSED_LOOP((o.name = "\xff", o.name_len = 1), "options.name: ", "UTF-8");
  REFUSED_LOOP((o.name = NULL, o.name_len = 1), "options.name: ", "NULL");
  REFUSED_LOOP(o.logger = (docache_logger *)1, "options.logger: ");
  REFUSED_LOOP(o.schedule = 2, "options.schedule: 2 ", "DOCACHE_FIXED_DELAY");
  REFUSED_LOOP(o.reserved = 1, "options.reserved: 1 ");
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, 1, 0);
  docache_loop_counters counters = DOCACHE_LOOP_COUNTERS_INIT;
  CHECK_OK(docache_loop_stats(loop, &counters, NULL));
  docache_loop_free(loop);

  docache_group_options options = DOCACHE_GROUP_OPTIONS_INIT;
  docache_group *group = NULL;
  docache_error *error = NULL;
  options.shards = 65537;
  CHECK_STATUS(docache_group_new(&options, &group, &error), DOCACHE_INVALID_ARGUMENT);
  CHECK_ERROR(error, DOCACHE_INVALID_ARGUMENT, "options.shards: 65537 ", "65536");
  options.shards = 65536;
  CHECK_OK(docache_group_new(&options, &group, NULL));
  docache_group_free(group);
  checked("so are those of loops and groups");
}

int main(void) {
  keys_of_a_cache();
  keys_of_a_group();
  options_of_caches();
  options_of_loops_and_groups();
  return all_checked("keys_and_options.c");
}
