/* Go values that the library keeps: it has ids in their place, and says here which it has dropped.
 * Whoever lets go of a value may do so on any thread, so nothing here calls into Go. */
#ifndef DOCACHE_GO_DROPS_H
#define DOCACHE_GO_DROPS_H

#include "docache.h"

/* The ids whose values are gone, last in, first out. */
typedef struct docache_go_drops docache_go_drops;

/* Makes a list. NULL: no memory. */
docache_go_drops *docache_go_drops_new(void);

/* Closes the list: what is dropped from now on is forgotten. It is freed with the last value that
 * could go into it. */
void docache_go_drops_close(docache_go_drops *drops);

/* Takes up to `cap` ids out of the list, and returns how many. */
size_t docache_go_drops_take(docache_go_drops *drops, uint64_t *ids, size_t cap);

/* Makes a value whose bytes are the id, which goes into the list once nobody has the value any
 * more. NULL: no memory, and the id does not come back. */
docache_value *docache_go_drops_value(docache_go_drops *drops, uint64_t id);

#endif
