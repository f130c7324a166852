/* A C program of two Rust libraries: docache and lib.rs. */
#include <stdint.h>
#include <stdio.h>

#include "docache.h"

uint32_t beside_sum(uint32_t n);
uint32_t beside_catches(void);

int main(void) {
  docache_cache *cache = NULL;
  const uint8_t key[] = {'k'};
  if (docache_cache_new(NULL, NULL, 0, NULL, &cache, NULL) != DOCACHE_OK) return 1;
  if (docache_cache_set(cache, key, sizeof key, key, sizeof key, 0, NULL) != DOCACHE_OK) return 2;
  docache_cache_free(cache);
  if (beside_sum(10) != 45) return 3;
  if (beside_catches() != 1) return 4;
  puts("two Rust libraries work in one program");
  return 0;
}
