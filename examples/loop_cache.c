/* A thread asks the system for its load average every 100 ms; readers get the latest
   answer without ever waiting for it.

   cargo build --release -p docache-capi
   cc -std=c11 -Wall -Wextra -Iinclude examples/loop_cache.c target/release/libdocache.a
      -lpthread -ldl -lm -o loop_cache
   ./loop_cache */
#define _DEFAULT_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "docache.h"

#define MS UINT64_C(1000000)

/* The Doer: does the expensive work and hands over the result, here three doubles. */
static docache_status read_load(uintptr_t context, docache_value **out_value,
                                docache_error **out_error) {
  (void)context;
  double load[3];
  if (getloadavg(load, 3) != 3) {
    static const char message[] = "the system has no load average";
    docache_error_new(1, message, sizeof message - 1, out_error, NULL);
    return DOCACHE_DOER_FAILED;
  }
  return docache_value_new((const uint8_t *)load, sizeof load, out_value, out_error);
}

static int fail(docache_error *error) {
  fprintf(stderr, "docache: %s\n", docache_error_message(error, NULL));
  docache_error_release(error);
  return 1;
}

int main(void) {
  docache_loop_options options = {.size = sizeof options, .interval_ns = 100 * MS, .capacity = 16};
  docache_loop *loop = NULL;
  docache_error *error = NULL;
  if (docache_loop_new(&options, read_load, 0, NULL, &loop, &error) != DOCACHE_OK)
    return fail(error);
  if (docache_loop_start(loop, &error) != DOCACHE_OK ||
      docache_loop_wait_first(loop, (int64_t)(1000 * MS), &error) != DOCACHE_OK) {
    docache_loop_free(loop);
    return fail(error);
  }

  /* Read as fast as possible until there have been ten results: about a second. */
  uint64_t reads = 0;
  double load[3] = {0, 0, 0};
  size_t len = 0;
  while (docache_loop_version(loop) < 10) {
    if (docache_loop_latest_copy(loop, (uint8_t *)load, sizeof load, &len, NULL, NULL) ==
        DOCACHE_OK)
      reads++;
  }
  docache_loop_stop(loop, DOCACHE_FOREVER, NULL);

  docache_snapshot *snapshot = NULL;
  if (docache_loop_snapshot(loop, &snapshot, &error) == DOCACHE_OK) {
    docache_entry entry;
    size_t count = 0;
    for (size_t i = 0;
         docache_snapshot_read(snapshot, i, &entry, 1, &count, NULL) == DOCACHE_OK && count == 1;
         i++) {
      printf("#%-3" PRIu64 " %5.1f s ago, %s\n", entry.sequence, (double)entry.age_ns / 1e9,
             entry.error != NULL ? docache_error_message(entry.error, NULL) : "ok");
    }
    docache_snapshot_release(snapshot);
  }
  printf("load %.2f %.2f %.2f; %" PRIu64 " reads, %" PRIu64 " calls of the system\n", load[0],
         load[1], load[2], reads, docache_loop_version(loop));
  docache_loop_free(loop);
  return 0;
}
