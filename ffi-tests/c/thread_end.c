/* Echo caches used when a thread ends, after the library's own data of that thread are gone: the
 * destructors of thread-specific data of pthreads come last. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

static docache_echo *echo;
static docache_echo_call *to_free, *heir;
static atomic_uint told;
static pthread_key_t at_end;

static docache_status load(uintptr_t ctx, const uint8_t *key, size_t key_len, docache_value **out,
                           docache_error **out_error) {
  (void)ctx;
  return docache_value_new(key, key_len, out, out_error);
}

static docache_echo_call *begin(const char *key, docache_status expected) {
  docache_value *value = NULL;
  docache_echo_call *call = NULL;
  CHECK_STATUS(docache_echo_begin(echo, (const uint8_t *)key, strlen(key), &value, NULL, NULL,
                                  &call, NULL),
               expected);
  return call;
}

static void fetches(const char *key) {
  docache_value *value = NULL;
  CHECK_OK(docache_echo_fetch(echo, (const uint8_t *)key, strlen(key), DOCACHE_FOREVER, load, 0,
                              &value, NULL, NULL, NULL));
  CHECK_VALUE(value, key);
  docache_value_release(value);
  CHECK_OK(docache_echo_remove(echo, (const uint8_t *)key, strlen(key), NULL));
}

/* One that waits is woken on this thread. */
static void wakes(const char *key) {
  docache_echo_call *leader = begin(key, DOCACHE_LEADER), *waiter = begin(key, DOCACHE_PENDING);
  docache_value *value = NULL;
  CHECK_OK(docache_value_new((const uint8_t *)key, strlen(key), &value, NULL));
  CHECK_OK(docache_echo_call_finish(leader, DOCACHE_OK, value, NULL, NULL));
  docache_value_release(value);
  CHECK_OK(docache_echo_call_poll(waiter, &value, NULL, NULL, NULL));
  docache_value_release(value);
  docache_echo_call_free(leader);
  docache_echo_call_free(waiter);
}

static void ends(void *unused) {
  (void)unused;
  docache_echo_call_free(to_free);
  CHECK_INT(atomic_load(&told), ==, 1);
  fetches("late");
  wakes("late too");
}

static void *body(void *unused) {
  (void)unused;
  fetches("early");
  wakes("early too");
  CHECK_INT(pthread_setspecific(at_end, &at_end), ==, 0);
  return NULL;
}

int main(void) {
  docache_store *store = NULL;
  docache_value *value = NULL;
  CHECK_OK(docache_store_memory_new(NULL, &store, NULL));
  CHECK_OK(docache_echo_new(store, NULL, 0, NULL, &echo, NULL));
  docache_store_release(store);
  CHECK_INT(pthread_key_create(&at_end, ends), ==, 0);
  to_free = begin("key", DOCACHE_LEADER);
  heir = begin("key", DOCACHE_PENDING);
  CHECK_STATUS(docache_echo_call_on_ready(heir, count_up, (uintptr_t)&told, NULL),
               DOCACHE_PENDING);
  join(spawn(body, NULL));
  CHECK_STATUS(docache_echo_call_poll(heir, &value, NULL, NULL, NULL), DOCACHE_LEADER);
  docache_echo_call_free(heir);
  docache_echo_free(echo);
  CHECK_OK(docache_shutdown());
  checked("a thread that ends may load, finish calls, and give its lead away");
  return all_checked("thread_end");
}
