/* Children of a fork that say how they have done. Define _GNU_SOURCE before any header. */
#ifndef DOCACHE_TEST_CHILD_H
#define DOCACHE_TEST_CHILD_H

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* A child that has done well says so and is killed, so that nobody takes for leaked what its
   parent's threads have on stacks that are not there any more. */
CHECK_UNUSED static void end_well(int report) {
  CHECK_INT(write(report, "w", 1), ==, 1);
  for (;;) pause();
}

/* Waits for the report, and ends the child. */
CHECK_UNUSED static void expect_report(int from, pid_t child) {
  char report = 0;
  CHECK_INT(read(from, &report, 1), ==, 1);
  CHECK_INT(report, ==, 'w');
  CHECK_INT(kill(child, SIGKILL), ==, 0);
}

/* In the child: where it reports to. In the parent 0, when the child has ended, and well. */
CHECK_UNUSED static int fork_and_wait(void) {
  int reports[2];
  CHECK_INT(pipe(reports), ==, 0);
  fflush(NULL);
  const pid_t child = fork();
  CHECK_INT(child, >=, 0);
  if (child == 0) {
    alarm(CHECK_PATIENCE_S);
    return reports[1];
  }
  close(reports[1]);
  expect_report(reports[0], child);
  CHECK_INT(waitpid(child, NULL, 0), ==, child);
  close(reports[0]);
  return 0;
}

/* Has a child do this and say that it has done well; waits for that. */
#define IN_CHILD(body, argument)              \
  do {                                        \
    const int child_report = fork_and_wait(); \
    if (child_report != 0) {                  \
      (body)(argument);                       \
      end_well(child_report);                 \
    }                                         \
  } while (0)

#endif
