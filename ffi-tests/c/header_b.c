/* The second translation unit of header_a.c: sees the same constants and the same layout. */
#include "docache.h"

uint32_t abi_version_in_b(void);
size_t options_size_in_b(void);
size_t entry_size_in_b(void);

uint32_t abi_version_in_b(void) { return DOCACHE_ABI_VERSION; }
size_t options_size_in_b(void) { return sizeof(docache_loop_options); }
size_t entry_size_in_b(void) { return sizeof(docache_entry); }
