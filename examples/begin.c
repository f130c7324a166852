/* Two requests for the same page on one thread that must not block: the first leads and does the
   work, the second is notified when that is done, and a third finds the page in the cache.

   cargo build --release -p docache-capi
   cc -std=c11 -Wall -Wextra -Iinclude examples/begin.c target/release/libdocache.a
      -lpthread -ldl -lm -o begin
   ./begin */
#include <stdio.h>
#include <string.h>

#include "docache.h"

static const char path[] = "/ada";

/* Comes on the thread that ends the run, and must not block it: an event loop would be woken here,
   by a write to its eventfd or pipe. */
static void wake(uintptr_t token) { *(int *)token = 1; }

static int failed(docache_status status, docache_error *error) {
  fprintf(stderr, "%s: %s\n", docache_status_name(status),
          error != NULL ? docache_error_message(error, NULL) : "");
  docache_error_release(error);
  return 1;
}

/* OK: the value is there. LEADER: do the work. PENDING: somebody is doing it. */
static docache_status begin(docache_cache *pages, docache_value **value, docache_call **call,
                            docache_error **error) {
  return docache_cache_fetch_begin(pages, (const uint8_t *)path, strlen(path), 0, 0, value, call,
                                   error);
}

int main(void) {
  docache_cache *pages = NULL;
  docache_call *first = NULL, *second = NULL;
  docache_value *made = NULL, *shared = NULL, *found = NULL;
  docache_error *error = NULL;
  int woken = 0;

  docache_status status = docache_cache_new(NULL, NULL, 0, NULL, &pages, &error);
  if (status != DOCACHE_OK) return failed(status, error);

  status = begin(pages, &made, &first, &error);
  if (status != DOCACHE_LEADER) return failed(status, error);
  status = begin(pages, &shared, &second, &error);
  if (status != DOCACHE_PENDING) return failed(status, error);
  status = docache_call_on_ready(second, wake, (uintptr_t)&woken, &error);
  if (status != DOCACHE_PENDING) return failed(status, error);

  /* The leader's work, and its end, which frees the call. A leader that cannot go on frees its call
     instead: then somebody who waits is notified, and poll says LEADER. */
  status = docache_value_new((const uint8_t *)"ada's page", 10, &made, &error);
  if (status != DOCACHE_OK) return failed(status, error);
  status = docache_call_end(first, DOCACHE_OK, made, NULL, NULL, &error);
  if (status != DOCACHE_OK) return failed(status, error);
  docache_value_release(made); /* What an end is given stays the caller's. */

  if (!woken) return failed(DOCACHE_PENDING, NULL);
  status = docache_call_poll(second, &shared, NULL, &error);
  if (status != DOCACHE_OK) return failed(status, error);
  printf("shared: %.*s\n", (int)docache_value_len(shared),
         (const char *)docache_value_data(shared));
  docache_value_release(shared);
  docache_call_free(second);

  status = begin(pages, &found, &first, &error);
  if (status != DOCACHE_OK) return failed(status, error); /* There is no call. */
  printf("found: %.*s\n", (int)docache_value_len(found), (const char *)docache_value_data(found));
  docache_value_release(found);
  docache_cache_free(pages);
  return 0;
}
