/* Which threads there are, for programs in C and C++. */
#ifndef DOCACHE_TEST_THREADS_H
#define DOCACHE_TEST_THREADS_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* How many threads of this process have a name that begins so; 0 where the system does not tell. */
static inline int threads_called(const char *name) {
  char path[300], found[32];
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  if (tasks == NULL) return 0;
  for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
    FILE *comm = fopen(path, "r");
    if (comm == NULL) continue;
    if (fgets(found, sizeof found, comm) != NULL && strncmp(found, name, strlen(name)) == 0)
      count++;
    fclose(comm);
  }
  closedir(tasks);
  return count;
}

/* Waits, a minute at most, until the library's idle threads have gone that sweep, and those of
 * loops that nobody waited for. Leak checkers take what belongs to a thread that is there at the
 * end for lost. */
static inline int await_end_of_threads(void) {
  const struct timespec pause = {0, 10000000};
  int left = 1;
  for (int i = 0; i < 6000 && left > 0; i++) {
    left = threads_called("docache-sweep") + threads_called("docache-loop");
    if (left > 0) nanosleep(&pause, NULL);
  }
  return left == 0;
}

#endif /* DOCACHE_TEST_THREADS_H */
