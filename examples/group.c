/* Eight threads want the same slow answer at once: it is worked out once, and all of them get it.

   cargo build --release -p docache-capi
   cc -std=c11 -Wall -Wextra -Iinclude examples/group.c target/release/libdocache.a
      -lpthread -ldl -lm -o group
   ./group */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "docache.h"

enum { THREADS = 8 };

static atomic_uint queries;

/* The work: asks a slow backend and hands over what it says. */
static docache_status query(uintptr_t context, docache_value **out_value,
                            docache_error **out_error) {
  const char *user = (const char *)context;
  nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
  char answer[64];
  const int len = snprintf(answer, sizeof answer, "%s has %u messages", user,
                           40 + atomic_fetch_add(&queries, 1));
  return docache_value_new((const uint8_t *)answer, (size_t)len, out_value, out_error);
}

static void *ask(void *group) {
  static const char user[] = "ada";
  docache_value *value = NULL;
  docache_error *error = NULL;
  uint32_t shared = 0;
  if (docache_group_run(group, (const uint8_t *)user, strlen(user), DOCACHE_FOREVER, query,
                        (uintptr_t)user, &value, &shared, &error) != DOCACHE_OK) {
    fprintf(stderr, "docache: %s\n", docache_error_message(error, NULL));
    docache_error_release(error);
    return NULL;
  }
  printf("%.*s%s\n", (int)docache_value_len(value), (const char *)docache_value_data(value),
         shared ? " (shared)" : "");
  docache_value_release(value);
  return NULL;
}

int main(void) {
  docache_group *group = NULL;
  docache_error *error = NULL;
  if (docache_group_new(NULL, &group, &error) != DOCACHE_OK) {
    fprintf(stderr, "docache: %s\n", docache_error_message(error, NULL));
    docache_error_release(error);
    return 1;
  }
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, ask, group);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  printf("%d callers, %u queries\n", THREADS, atomic_load(&queries));
  docache_group_free(group);
  return 0;
}
