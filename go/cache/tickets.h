/* What the library keeps in the place of Go values: tickets, whose ids Go knows. Go chooses the
 * tickets and writes the ids; the library says which it has dropped. Whoever lets go of a value may
 * do so on any thread, so nothing here calls into Go, and Go finds the list in this memory without
 * a call into C. */
#ifndef DOCACHE_GO_CACHE_TICKETS_H
#define DOCACHE_GO_CACHE_TICKETS_H

#include "docache.h"

/* The tickets that go into one list, so that processors seldom meet at it. */
typedef struct docache_go_stripe {
  void *dropped; /* the last that was dropped, or NULL; to be read and taken atomically, with all
                  * that follow it */
  size_t live;   /* how many tickets are out: Go's alone, until the tickets are closed */
  struct docache_go_tickets *all;
  uint8_t pad[40]; /* keeps the next stripe out of the cache line */
} docache_go_stripe;

typedef struct docache_go_ticket {
  uint64_t id;                    /* stays while the ticket is out */
  struct docache_go_ticket *next; /* among the dropped */
  docache_go_stripe *stripe;
} docache_go_ticket;

#define DOCACHE_GO_STRIPES 16
#define DOCACHE_GO_BLOCK 64

/* Tickets are made by the block. */
typedef struct docache_go_block {
  docache_go_ticket tickets[DOCACHE_GO_BLOCK];
  struct docache_go_block *next;
} docache_go_block;

typedef struct docache_go_tickets {
  docache_go_stripe stripes[DOCACHE_GO_STRIPES];
  docache_go_block *blocks;
  size_t out; /* once closed: how many are, and one for who closes */
} docache_go_tickets;

/* Fills in what malloc gave. */
void docache_go_tickets_init(docache_go_tickets *tickets);
void docache_go_tickets_add_block(docache_go_stripe *stripe, docache_go_block *block);

/* Frees them once none is out any more. */
void docache_go_tickets_close(docache_go_tickets *tickets);

/* Makes a value of which the id is the bytes. The ticket is out until nobody has the value any
 * more. NULL: no memory, and it is back already. */
docache_value *docache_go_ticket_value(docache_go_ticket *ticket);

#endif
