/* The way in from C, as a C program goes it: loops around single calls, so that what is timed is
 * the call. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "docache.h"

#define VALUE_LEN 64

static docache_status perform(uintptr_t ctx, docache_value **out_value, docache_error **out_error) {
  const uint8_t bytes[VALUE_LEN] = {1, 2, 3, 4};
  (void)ctx;
  return docache_value_new(bytes, sizeof bytes, out_value, out_error);
}

/* A loop cache of 64-byte values that holds its first one; NULL if none comes within 10 s. */
docache_loop *peers_loop_new(void) {
  docache_loop_options options = {0};
  docache_loop *loop = NULL;
  options.size = sizeof options;
  options.interval_ns = UINT64_C(3600000000000);
  if (docache_loop_new(&options, perform, 0, NULL, &loop, NULL) != DOCACHE_OK) {
    return NULL;
  }
  if (docache_loop_start(loop, NULL) != DOCACHE_OK ||
      docache_loop_wait_first(loop, INT64_C(10000000000), NULL) != DOCACHE_OK) {
    docache_loop_free(loop);
    return NULL;
  }
  return loop;
}

void peers_loop_free(docache_loop *loop) {
  docache_loop_free(loop);
}

/* Copies the latest value out `iterations` times; false if a call did not give all of it. */
bool peers_loop_latest_copy(const docache_loop *loop, uint64_t iterations) {
  uint8_t buffer[VALUE_LEN];
  size_t len = 0;
  bool right = true;
  for (uint64_t i = 0; i < iterations; i++) {
    docache_status status = docache_loop_latest_copy(loop, buffer, sizeof buffer, &len, NULL, NULL);
    right &= status == DOCACHE_OK && len == VALUE_LEN && buffer[0] == 1;
  }
  return right;
}

/* The same, with the entry's time, duration and age. */
bool peers_loop_latest_copy_entry(const docache_loop *loop, uint64_t iterations) {
  uint8_t buffer[VALUE_LEN];
  size_t len = 0;
  docache_entry entry;
  bool right = true;
  for (uint64_t i = 0; i < iterations; i++) {
    docache_status status =
        docache_loop_latest_copy(loop, buffer, sizeof buffer, &len, &entry, NULL);
    right &= status == DOCACHE_OK && len == VALUE_LEN && entry.sequence == 1;
  }
  return right;
}

/* Shares the latest value `iterations` times, without copying it. */
bool peers_loop_latest(const docache_loop *loop, uint64_t iterations) {
  bool right = true;
  for (uint64_t i = 0; i < iterations; i++) {
    docache_value *value = NULL;
    docache_status status = docache_loop_latest(loop, &value, NULL, NULL);
    right &= status == DOCACHE_OK && docache_value_len(value) == VALUE_LEN;
    docache_value_release(value);
  }
  return right;
}

enum { KEYS = 1024, KEY_LEN = 16 };

/* A cache and its keys: "key-" and the digits of a number. */
typedef struct {
  docache_cache *cache;
  uint8_t keys[KEYS][KEY_LEN + 1];
} peers_cache;

void peers_cache_free(peers_cache *filled) {
  docache_cache_free(filled->cache);
  free(filled);
}

/* A cache of KEYS values of 64 bytes; NULL if that cannot be had. */
peers_cache *peers_cache_new(void) {
  const uint8_t bytes[VALUE_LEN] = {1, 2, 3, 4};
  peers_cache *filled = calloc(1, sizeof *filled);
  if (filled == NULL) {
    return NULL;
  }
  docache_status status = docache_cache_new(NULL, NULL, 0, NULL, &filled->cache, NULL);
  for (unsigned number = 0; number < KEYS && status == DOCACHE_OK; number++) {
    uint8_t *key = filled->keys[number];
    (void)snprintf((char *)key, KEY_LEN + 1, "key-%012u", number);
    status = docache_cache_set(filled->cache, key, KEY_LEN, bytes, sizeof bytes, 0, NULL);
  }
  if (status != DOCACHE_OK) {
    peers_cache_free(filled);
    return NULL;
  }
  return filled;
}

/* Copies values out, key by key; false if a call did not give all of one. */
bool peers_cache_try_get(const peers_cache *filled, uint64_t iterations) {
  uint8_t buffer[VALUE_LEN];
  size_t len = 0;
  bool right = true;
  for (uint64_t i = 0; i < iterations; i++) {
    const uint8_t *key = filled->keys[i % KEYS];
    docache_status status =
        docache_cache_try_get(filled->cache, key, KEY_LEN, buffer, sizeof buffer, &len, NULL);
    right &= status == DOCACHE_OK && len == VALUE_LEN && buffer[0] == 1;
  }
  return right;
}

/* The same, sharing instead of copying. */
bool peers_cache_get(const peers_cache *filled, uint64_t iterations) {
  bool right = true;
  for (uint64_t i = 0; i < iterations; i++) {
    docache_value *value = NULL;
    docache_status status =
        docache_cache_get(filled->cache, filled->keys[i % KEYS], KEY_LEN, &value, NULL);
    right &= status == DOCACHE_OK && docache_value_len(value) == VALUE_LEN;
    docache_value_release(value);
  }
  return right;
}

/* The least a call can cost. */
bool peers_call(uint64_t iterations) {
  bool right = true;
  for (uint64_t i = 0; i < iterations; i++) {
    right &= docache_abi_version() == DOCACHE_ABI_VERSION;
  }
  return right;
}
