/* What the programs about groups of actors share. */
#ifndef DOCACHE_TEST_RUN_H
#define DOCACHE_TEST_RUN_H

#include "check.h"

CHECK_UNUSED static docache_run_group *new_run_group(uint64_t deadline_ns) {
  docache_run_group_options options = DOCACHE_RUN_GROUP_OPTIONS_INIT;
  options.deadline_ns = deadline_ns;
  docache_run_group *group = NULL;
  CHECK_OK(docache_run_group_new(&options, &group, NULL));
  CHECK(group != NULL);
  return group;
}

CHECK_UNUSED static docache_run_actor actor_called(const char *name,
                                                   docache_run_execute_fn execute) {
  docache_run_actor actor = DOCACHE_RUN_ACTOR_INIT;
  actor.name = name;
  actor.name_len = strlen(name);
  actor.execute = execute;
  return actor;
}

/* Waits until it is told to stop. */
CHECK_UNUSED static docache_status wait_for_stop(uintptr_t ctx, const docache_stop_token *stop,
                                                 docache_error **out_error) {
  (void)ctx;
  return docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error);
}

/* The DOCACHE_RUN_ cause of a run that came to this status; and frees the group. */
CHECK_UNUSED static int32_t run_and_free(docache_run_group *group, docache_status expected) {
  docache_run_report *report = NULL;
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_STATUS(docache_run_group_run(group, &report, NULL), expected);
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  docache_run_report_free(report);
  docache_run_group_free(group);
  return cause.kind;
}

#endif /* DOCACHE_TEST_RUN_H */
