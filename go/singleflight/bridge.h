/* What this package adds to docache.h: outcomes travel through the library as the tickets of the
 * seats that hold them.
 *
 * None of this calls into Go. What the library calls back for is put down, and returned by the
 * function that brought it about: a goroutine inside a callback keeps its thread also while it
 * waits for a lock or a processor. */
#ifndef DOCACHE_GO_FLIGHT_BRIDGE_H
#define DOCACHE_GO_FLIGHT_BRIDGE_H

#include "docache.h"

/* What the library knows of the seat `id`: a value whose bytes are the id, a token to notify. */
typedef struct docache_flight_ticket {
  uintptr_t id;
  docache_value *value;
  struct docache_flight_ticket *next; /* in a report */
} docache_flight_ticket;

/* Who is to hear of what a function did. It is the caller's duty to tell them. */
typedef struct docache_flight_report {
  /* Their calls are ready, in the order of the list; each is its seat's again once told. */
  docache_flight_ticket *told;
  /* Nobody has a share any more; to be given to docache_flight_free. */
  docache_flight_ticket *dropped;
} docache_flight_report;

/* How a call began. */
typedef struct docache_flight_begun {
  docache_call *call;
  docache_status status;
} docache_flight_begun;

/* What a call has come to. With OK, the caller has a share of the ticket, and with it the outcome
 * in that seat stays. */
typedef struct docache_flight_polled {
  docache_flight_ticket *ticket;
  docache_status status;
} docache_flight_polled;

/* How the end of a flight went, and whether others got the outcome too. */
typedef struct docache_flight_landed {
  docache_flight_report report;
  docache_status status;
  uint32_t shared;
} docache_flight_landed;

/* Makes the ticket of a seat, with one share of it. NULL: no memory. */
docache_flight_ticket *docache_flight_ticket_new(uintptr_t id);

/* Gives a share back. */
docache_flight_report docache_flight_release(docache_flight_ticket *ticket);

/* Frees the dropped tickets of a report. */
void docache_flight_free(docache_flight_ticket *dropped);

/* Leads (LEADER), or joins and asks to be told (PENDING), unless there is something to poll for
 * already (OK). `owner` is who calls. */
docache_flight_begun docache_flight_begin(docache_group *group, const uint8_t *key, size_t key_len,
                                          uint64_t owner, docache_flight_ticket *ticket);

docache_flight_polled docache_flight_poll(docache_call *call);

/* Ends the flight that the call leads, and the call. */
docache_flight_landed docache_flight_land(docache_call *call, docache_flight_ticket *ticket);

/* Ends a call, and gives back a share of a ticket, unless that is NULL. */
docache_flight_report docache_flight_leave(docache_call *call, docache_flight_ticket *share);

#endif
