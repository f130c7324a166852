// docache.hpp included first, twice, and from two translation units (header_b.cpp is the other),
// linked together.
#include "docache.hpp"
#include "docache.hpp"

#include "check.hpp"

int latest_in_b();

int main() {
  docache::loop_cache<int> cache(std::chrono::hours(1), [] { return 1; });
  cache.start();
  CHECK_EQUAL(**cache.wait_first(docache::forever), 1);
  CHECK_EQUAL(latest_in_b(), 2);
  check::passed("two translation units share one header");
  return check::all_passed("header_a.cpp");
}
