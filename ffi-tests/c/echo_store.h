/* A store of one entry, written in C, that can be told to fail. */
#ifndef DOCACHE_TEST_ECHO_STORE_H
#define DOCACHE_TEST_ECHO_STORE_H

#include "check.h"

typedef struct echo_store {
  pthread_mutex_t mutex;
  docache_value *value;
  char lock[32];         /* the token of whoever has it */
  uint64_t ttl_ns;       /* of the last write */
  uint64_t age_ns;       /* what it says of its value */
  docache_status answer; /* of every call, unless it is OK */
  bool forgets_value;    /* says OK to a read and gives nothing */
  atomic_uint drops;
} echo_store;

#define ECHO_STORE_INIT {.mutex = PTHREAD_MUTEX_INITIALIZER}

static void echo_store_dropped(uintptr_t ctx) { atomic_fetch_add(&((echo_store *)ctx)->drops, 1); }

static bool echo_store_has(const echo_store *store, const docache_refresh_lock *lock) {
  CHECK_INT(lock->size, ==, sizeof *lock);
  CHECK(lock->token_len == 22 && lock->ttl_ns > 0);
  return strncmp(store->lock, lock->token, lock->token_len) == 0;
}

static void echo_store_read(echo_store *store, docache_found *out) {
  CHECK_INT(out->size, ==, sizeof *out);
  CHECK(out->value == NULL && out->age_ns == DOCACHE_AGE_UNKNOWN && out->left_ns == DOCACHE_NEVER);
  if (store->value == NULL) return;
  out->value = docache_value_retain(store->value);
  out->age_ns = store->age_ns;
  out->left_ns = store->ttl_ns;
}

static echo_store *echo_store_enter(uintptr_t ctx, size_t key_len, int64_t timeout_ns) {
  echo_store *store = (echo_store *)ctx;
  CHECK(key_len > 0 && timeout_ns >= 0);
  pthread_mutex_lock(&store->mutex);
  return store;
}

static docache_status echo_store_leave(echo_store *store, docache_status status,
                                       docache_error **out_error) {
  const docache_status told = store->answer;
  pthread_mutex_unlock(&store->mutex);
  if (told == DOCACHE_OK) return status;
  if (told == DOCACHE_DOER_FAILED) {
    CHECK_OK(docache_error_new(7, "it is down", strlen("it is down"), out_error, NULL));
  }
  return told;
}

static docache_status echo_store_get(uintptr_t ctx, const uint8_t *key, size_t key_len,
                                     int64_t timeout_ns, docache_found *out,
                                     docache_error **out_error) {
  (void)key;
  echo_store *store = echo_store_enter(ctx, key_len, timeout_ns);
  if (store->forgets_value) return echo_store_leave(store, DOCACHE_OK, out_error);
  echo_store_read(store, out);
  return echo_store_leave(store, store->value != NULL ? DOCACHE_OK : DOCACHE_MISS, out_error);
}

static docache_status echo_store_begin(uintptr_t ctx, const uint8_t *key, size_t key_len,
                                       const docache_refresh_lock *lock, int64_t timeout_ns,
                                       docache_found *out, uint64_t *out_holder,
                                       docache_error **out_error) {
  (void)key;
  echo_store *store = echo_store_enter(ctx, key_len, timeout_ns);
  const bool granted = echo_store_has(store, lock) || store->lock[0] == 0;
  if (granted) memcpy(store->lock, lock->token, lock->token_len);
  if (!granted) *out_holder = 1;
  if (!store->forgets_value) echo_store_read(store, out);
  return echo_store_leave(store, granted ? DOCACHE_OK : DOCACHE_BUSY, out_error);
}

static docache_status echo_store_renew(uintptr_t ctx, const uint8_t *key, size_t key_len,
                                       const docache_refresh_lock *lock, int64_t timeout_ns,
                                       docache_error **out_error) {
  (void)key;
  echo_store *store = echo_store_enter(ctx, key_len, timeout_ns);
  const docache_status status = echo_store_has(store, lock) ? DOCACHE_OK : DOCACHE_MISS;
  return echo_store_leave(store, status, out_error);
}

static docache_status echo_store_abandon(uintptr_t ctx, const uint8_t *key, size_t key_len,
                                         const docache_refresh_lock *lock, int64_t timeout_ns,
                                         docache_error **out_error) {
  (void)key;
  echo_store *store = echo_store_enter(ctx, key_len, timeout_ns);
  const bool is_theirs = echo_store_has(store, lock);
  if (is_theirs) store->lock[0] = 0;
  return echo_store_leave(store, is_theirs ? DOCACHE_OK : DOCACHE_MISS, out_error);
}

static docache_status echo_store_write(uintptr_t ctx, const uint8_t *key, size_t key_len,
                                       const docache_value *value, uint64_t ttl_ns, uint64_t age_ns,
                                       const docache_refresh_lock *lock, int64_t timeout_ns,
                                       docache_error **out_error) {
  (void)key;
  echo_store *store = echo_store_enter(ctx, key_len, timeout_ns);
  CHECK_INT(age_ns, ==, 0);
  if (lock != NULL && !echo_store_has(store, lock)) {
    return echo_store_leave(store, DOCACHE_MISS, out_error);
  }
  docache_value *before = store->value;
  if (store->answer == DOCACHE_OK) {
    store->value = docache_value_retain(value);
    store->ttl_ns = ttl_ns;
    store->lock[0] = 0;
  } else {
    before = NULL;
  }
  const docache_status status = echo_store_leave(store, DOCACHE_OK, out_error);
  docache_value_release(before);
  return status;
}

static docache_status echo_store_remove(uintptr_t ctx, const uint8_t *key, size_t key_len,
                                        int64_t timeout_ns, docache_error **out_error) {
  (void)key;
  echo_store *store = echo_store_enter(ctx, key_len, timeout_ns);
  docache_value *before = store->value;
  store->value = NULL;
  store->lock[0] = 0;
  const docache_status status =
      echo_store_leave(store, before != NULL ? DOCACHE_OK : DOCACHE_MISS, out_error);
  docache_value_release(before);
  return status;
}

static const docache_store_callbacks echo_store_callbacks = {.size = sizeof echo_store_callbacks,
                                                             .get = echo_store_get,
                                                             .begin_refresh = echo_store_begin,
                                                             .renew = echo_store_renew,
                                                             .finish_refresh = echo_store_write,
                                                             .abandon_refresh = echo_store_abandon,
                                                             .put = echo_store_write,
                                                             .remove = echo_store_remove};

static docache_store *echo_store_new(echo_store *own) {
  docache_store *store = NULL;
  CHECK_OK(docache_store_custom_new(&echo_store_callbacks, (uintptr_t)own, echo_store_dropped,
                                    &store, NULL));
  return store;
}

/* What it keeps is let go of. */
static void echo_store_clear(echo_store *own) {
  docache_value_release(own->value);
  own->value = NULL;
}

#endif /* DOCACHE_TEST_ECHO_STORE_H */
