/* docache.h included first, twice, and from two translation units (header_b.c is the other), linked
   together; and the library agrees with the header about their version. */
#define _POSIX_C_SOURCE 200809L
#include "docache.h"
#include "docache.h"

#include "check.h"

uint32_t abi_version_in_b(void);
size_t options_size_in_b(void);
size_t entry_size_in_b(void);

int main(void) {
  CHECK_INT(docache_abi_version(), ==, DOCACHE_ABI_VERSION);
  CHECK_INT(abi_version_in_b(), ==, DOCACHE_ABI_VERSION);
  CHECK_INT(options_size_in_b(), ==, sizeof(docache_loop_options));
  CHECK_INT(entry_size_in_b(), ==, sizeof(docache_entry));
  checked("two translation units and the library have one ABI version");

  char version[64];
  snprintf(version, sizeof version, "%d.%d.%d", DOCACHE_VERSION_MAJOR, DOCACHE_VERSION_MINOR,
           DOCACHE_VERSION_PATCH);
  if (strcmp(docache_version(), version) != 0)
    fprintf(stderr, "%s and %s\n", docache_version(), version);
  CHECK(strcmp(docache_version(), version) == 0);
  checked("docache_version() is what the macros say");
  return all_checked("header_a.c");
}
