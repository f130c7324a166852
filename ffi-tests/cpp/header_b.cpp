// The second translation unit of header_a.cpp: makes and runs a loop cache of the same type.
#include "docache.hpp"

int latest_in_b();

int latest_in_b() {
  docache::loop_cache<int> cache(std::chrono::hours(1), [] { return 2; });
  cache.start();
  return **cache.wait_first(docache::forever);
}
