/* A plugin's life: the shared library is loaded, used, shut down and unloaded, time and again; its
 * path is the argument. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "docache.h"

/* Whether anything of the library is mapped. */
static int is_mapped(void) {
  char line[4096];
  int found = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) return 1;
  while (fgets(line, sizeof line, maps) != NULL) found |= strstr(line, "libdocache") != NULL;
  fclose(maps);
  return found;
}

/* ISO C knows no way from an object pointer to a function. */
#define LOAD(library, name) (*(void **)&name = dlsym(library, "docache_" #name)) == NULL

static int use(void *library) {
  docache_status (*cache_new)(const docache_cache_options *, docache_evict_fn, uintptr_t,
                              docache_drop_fn, docache_cache **, docache_error **);
  docache_status (*cache_set)(const docache_cache *, const uint8_t *, size_t, const uint8_t *,
                              size_t, uint64_t, docache_error **);
  docache_status (*cache_contains)(const docache_cache *, const uint8_t *, size_t,
                                   docache_error **);
  void (*cache_free)(docache_cache *);
  docache_status (*shutdown)(void);
  docache_cache_options options = DOCACHE_CACHE_OPTIONS_INIT;
  docache_cache *cache = NULL;
  const uint8_t key[] = {'k'};
  if (LOAD(library, cache_new) || LOAD(library, cache_set) || LOAD(library, cache_contains))
    return 1;
  if (LOAD(library, cache_free) || LOAD(library, shutdown)) return 2;
  options.sweep_interval_ns = 1000000;
  if (cache_new(&options, NULL, 0, NULL, &cache, NULL) != DOCACHE_OK) return 3;
  if (cache_set(cache, key, sizeof key, key, sizeof key, 1000000, NULL) != DOCACHE_OK) return 4;
  while (cache_contains(cache, key, sizeof key, NULL) == DOCACHE_OK) continue;
  cache_free(cache);
  return shutdown() == DOCACHE_OK ? 0 : 5;
}

static int outcome;

/* While a thread is there that used the library, the system may keep it for what that thread's
 * thread-locals hold. */
static void *use_in_thread(void *library) {
  outcome = use(library);
  return NULL;
}

int main(int argc, char **argv) {
  for (int round = 0; round < 10; round++) {
    pthread_t thread;
    void *library = dlopen(argc == 2 ? argv[1] : "libdocache.so.0", RTLD_NOW);
    if (library == NULL) return puts(dlerror()), 10;
    if (pthread_create(&thread, NULL, use_in_thread, library) != 0 ||
        pthread_join(thread, NULL) != 0)
      return 11;
    if (outcome != 0) return outcome;
    if (dlclose(library) != 0) return 12;
    if (is_mapped()) return 13;
  }
  puts("the library was unloaded ten times");
  return 0;
}
