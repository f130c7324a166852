/* Groups that stop at real signals, each in a child process whose exit code is checked. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "run.h"

static int to_parent[2];

/* Tells the parent how far the child is. */
static void tell(char what) { CHECK_INT(write(to_parent[1], &what, 1), ==, 1); }

static void expect(char what) {
  char told = 0;
  CHECK_INT(read(to_parent[0], &told, 1), ==, 1);
  CHECK_INT(told, ==, what);
}

static docache_status serve(uintptr_t ctx, const docache_stop_token *stop,
                            docache_error **out_error) {
  tell('b');
  return wait_for_stop(ctx, stop, out_error);
}

static docache_status never_stop(uintptr_t ctx, const docache_stop_token *stop,
                                 docache_error **out_error) {
  (void)ctx;
  tell('b');
  CHECK_OK(docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error));
  tell('s');
  for (;;) pause();
}

static docache_run_group *group_with(docache_run_execute_fn execute, const int *signals,
                                     size_t count) {
  docache_run_group *group = new_run_group(0);
  CHECK_OK(docache_run_group_add_signals(group, signals, count, NULL));
  const docache_run_actor actor = actor_called("server", execute);
  CHECK_OK(docache_run_group_add(group, &actor, 0, NULL, NULL));
  return group;
}

/* The number of the signal that ended the run in an orderly way. */
static int ended_by(docache_run_group *group) {
  docache_run_report *report = NULL;
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_OK(docache_run_group_run(group, &report, NULL));
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  CHECK_INT(cause.kind, ==, DOCACHE_RUN_SIGNAL);
  docache_run_report_free(report);
  docache_run_group_free(group);
  return cause.signal;
}

static void end_at_sigterm(void) { exit(ended_by(group_with(serve, NULL, 0))); }

static void end_at_sigusr1(void) {
  const int signals[] = {SIGUSR1, SIGHUP};
  exit(ended_by(group_with(serve, signals, 2)));
}

/* After the group the signal is what it was before: the end of the process. */
static void be_killed_later(void) {
  CHECK_INT(ended_by(group_with(serve, NULL, 0)), ==, SIGTERM);
  tell('o');
  for (;;) pause();
}

/* The same after a group that never ran. */
static void be_killed_without_a_run(void) {
  docache_run_group_free(group_with(serve, NULL, 0));
  tell('o');
  for (;;) pause();
}

static void be_hurried(void) {
  docache_run_group *group = group_with(never_stop, NULL, 0);
  docache_run_report *report = NULL;
  docache_error *error = NULL;
  docache_run_cause cause = DOCACHE_RUN_CAUSE_INIT;
  CHECK_STATUS(docache_run_group_run(group, &report, &error), DOCACHE_TIMEOUT);
  CHECK_ERROR(error, DOCACHE_TIMEOUT, "second signal", "SIGINT", "server");
  CHECK_OK(docache_run_report_cause(report, &cause, NULL));
  CHECK(cause.kind == DOCACHE_RUN_SIGNAL && cause.signal == SIGTERM);
  CHECK_OK(docache_run_report_cut_short(report, &cause, NULL));
  CHECK(cause.kind == DOCACHE_RUN_SIGNAL && cause.signal == SIGINT);
  docache_run_report_free(report);
  docache_run_group_detach(group);
  /* And is killed then, as its actor never ends. */
  tell('w');
  for (;;) pause();
}

static docache_status return_at_once(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  (void)ctx, (void)stop, (void)out_error;
  return DOCACHE_OK;
}

/* Groups that are over before, or just as, they begin to listen. What wakes who listens must not
   raise SIGPIPE, which ends a C program. */
static void be_over_at_once(void) {
  for (int i = 0; i < 500; i++) {
    docache_run_group *group = group_with(return_at_once, NULL, 0);
    if (i % 2 == 0) CHECK_OK(docache_run_group_stop(group, NULL));
    CHECK_INT(run_and_free(group, DOCACHE_OK), ==,
              i % 2 == 0 ? DOCACHE_RUN_STOPPED : DOCACHE_RUN_FINISHED);
  }
  exit(3);
}

static atomic_int taken_by;

static void take(int number) {
  (void)number;
  atomic_store(&taken_by, (int)gettid());
}

static docache_status signal_oneself(uintptr_t ctx, const docache_stop_token *stop,
                                     docache_error **out_error) {
  (void)ctx, (void)stop, (void)out_error;
  CHECK_INT(kill(getpid(), SIGUSR2), ==, 0);
  return DOCACHE_OK;
}

/* The threads of the library take no signal: the main thread does, while it waits in the run. */
static void keep_out_of_it(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = take;
  CHECK_INT(sigaction(SIGUSR2, &action, NULL), ==, 0);
  docache_run_group *group = new_run_group(0);
  const docache_run_actor actor = actor_called("signals", signal_oneself);
  CHECK_OK(docache_run_group_add(group, &actor, 0, NULL, NULL));
  CHECK_INT(run_and_free(group, DOCACHE_OK), ==, DOCACHE_RUN_FINISHED);
  CHECK_INT(atomic_load(&taken_by), ==, (int)getpid());
  exit(9);
}

/* Has a child do `body`, sends it the signals when it has told so far, and says how it ended. */
static int child_after(void (*body)(void), const char *steps, const int *signals) {
  CHECK_INT(pipe(to_parent), ==, 0);
  fflush(NULL);
  const pid_t child = fork();
  CHECK_INT(child, >=, 0);
  if (child == 0) {
    alarm(CHECK_PATIENCE_S);
    body();
  }
  for (; *steps != '\0'; steps++, signals++) {
    expect(*steps);
    CHECK_INT(kill(child, *signals), ==, 0);
  }
  int status = 0;
  CHECK_INT(waitpid(child, &status, 0), ==, child);
  close(to_parent[0]);
  close(to_parent[1]);
  return status;
}

static int exit_code(int status) {
  CHECK(WIFEXITED(status));
  return WEXITSTATUS(status);
}

int main(void) {
  /* Whoever started this in the background may have had it ignore SIGINT. */
  CHECK(signal(SIGINT, SIG_DFL) != SIG_ERR);
  CHECK(signal(SIGTERM, SIG_DFL) != SIG_ERR);
  docache_run_group *group = new_run_group(0);
  const docache_status added = docache_run_group_add_signals(group, NULL, 0, NULL);
  docache_run_group_free(group);
  if (added == DOCACHE_UNSUPPORTED) {
    checked("a library without signals says so");
    return all_checked("run_signals.c");
  }
  CHECK_STATUS(added, DOCACHE_OK);
  CHECK_INT(exit_code(child_after(end_at_sigterm, "b", (const int[]){SIGTERM})), ==, SIGTERM);
  CHECK_INT(exit_code(child_after(end_at_sigterm, "b", (const int[]){SIGINT})), ==, SIGINT);
  checked("an orderly end at SIGTERM and SIGINT");
  CHECK_INT(exit_code(child_after(end_at_sigusr1, "b", (const int[]){SIGUSR1})), ==, SIGUSR1);
  checked("signals of one's own choice");
  const int hurried = child_after(be_hurried, "bsw", (const int[]){SIGTERM, SIGINT, SIGKILL});
  CHECK(WIFSIGNALED(hurried) && WTERMSIG(hurried) == SIGKILL);
  checked("a second signal ends the wait");
  const int killed = child_after(be_killed_later, "bo", (const int[]){SIGTERM, SIGTERM});
  CHECK(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGTERM);
  const int unrun = child_after(be_killed_without_a_run, "o", (const int[]){SIGINT});
  CHECK(WIFSIGNALED(unrun) && WTERMSIG(unrun) == SIGINT);
  checked("after the group the signal is what it was");
  CHECK_INT(exit_code(child_after(be_over_at_once, "", NULL)), ==, 3);
  checked("groups that are over at once");
  CHECK_INT(exit_code(child_after(keep_out_of_it, "", NULL)), ==, 9);
  checked("the library's threads take no signals");
  return all_checked("run_signals.c");
}
