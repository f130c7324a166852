/* A loop that counts and a client that retries until it likes the count, as the parts of one group:
   it ends when the client is content, or by Ctrl-C, and then nothing runs any more.

   cargo build --release -p docache-capi
   cc -std=c11 -Wall -Wextra -Iinclude examples/run.c target/release/libdocache.a
      -lpthread -ldl -lm -o run
   ./run */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "docache.h"

#define MS UINT64_C(1000000)

/* What the loop does again and again. */
static docache_status count(uintptr_t ctx, const docache_stop_token *stop,
                            docache_error **out_error) {
  (void)stop, (void)out_error;
  atomic_fetch_add((atomic_int *)ctx, 1);
  return DOCACHE_OK;
}

/* One attempt of the client's. */
static docache_status ask(uintptr_t ctx, docache_retrier *retrier, docache_error **out_error) {
  const int counted = atomic_load((atomic_int *)ctx);
  printf("attempt %" PRIu64 ": %d\n", docache_retrier_iteration(retrier), counted);
  if (counted >= 3) return DOCACHE_OK;
  static const char not_yet[] = "not yet";
  docache_error_new(counted, not_yet, strlen(not_yet), out_error, NULL);
  return DOCACHE_DOER_FAILED;
}

/* The client. A Ctrl-C ends its waits at once. */
static docache_status be_client(uintptr_t ctx, const docache_stop_token *stop,
                                docache_error **out_error) {
  docache_backoff backoff = DOCACHE_BACKOFF_INIT;
  backoff.first_ns = 20 * MS;
  backoff.most_ns = 1000 * MS;
  docache_run_retry_options options = DOCACHE_RUN_RETRY_OPTIONS_INIT;
  options.backoff = &backoff;
  options.budget_ns = 10000 * MS;
  options.stop = stop;
  const docache_status status = docache_run_retry(&options, ask, ctx, NULL, out_error);
  return status == DOCACHE_CANCELLED ? DOCACHE_OK : status;
}

int main(void) {
  atomic_int counter = 0;
  docache_error *error = NULL;
  docache_run_group *group = NULL;
  docache_run_loop *loop = NULL;
  docache_run_report *report = NULL;

  docache_run_group_options options = DOCACHE_RUN_GROUP_OPTIONS_INIT;
  options.stop_on = DOCACHE_STOP_ON_RETURN;
  options.deadline_ns = 5000 * MS; /* who has not stopped by then is named, and left behind */
  docache_run_loop_actor counts = DOCACHE_RUN_LOOP_ACTOR_INIT;
  counts.name = "counter";
  counts.name_len = strlen(counts.name);
  counts.execute = count;
  counts.pause_ns = 50 * MS;
  docache_run_actor client = DOCACHE_RUN_ACTOR_INIT;
  client.name = "client";
  client.name_len = strlen(client.name);
  client.execute = be_client;

  docache_status status = docache_run_group_new(&options, &group, &error);
  if (status == DOCACHE_OK) status = docache_run_loop_new(NULL, &loop, &error);
  if (status == DOCACHE_OK)
    status = docache_run_loop_add(loop, &counts, (uintptr_t)&counter, NULL, &error);
  if (status == DOCACHE_OK) {
    status = docache_run_group_add_loop(group, "loop", 4, 0, loop, &error);
    if (status == DOCACHE_OK) loop = NULL; /* it is the group's now */
  }
  if (status == DOCACHE_OK)
    status = docache_run_group_add(group, &client, (uintptr_t)&counter, NULL, &error);
  if (status == DOCACHE_OK) status = docache_run_group_add_signals(group, NULL, 0, &error);
  if (status == DOCACHE_OK) status = docache_run_group_run(group, &report, &error);

  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  if (docache_run_report_cause(report, &cause, NULL) == DOCACHE_OK)
    printf("%.*s\n", (int)cause.message_len, cause.message);
  if (status != DOCACHE_OK)
    fprintf(stderr, "%s: %s\n", docache_status_name(status),
            error != NULL ? docache_error_message(error, NULL) : "");
  docache_error_release(error);
  docache_run_report_free(report);
  docache_run_loop_free(loop);
  docache_run_group_free(group);
  return status != DOCACHE_OK;
}
