/* What this package adds to docache.h: outcomes travel through the library as the ids of the seats that hold them. */
#ifndef DOCACHE_GO_FLIGHT_BRIDGE_H
#define DOCACHE_GO_FLIGHT_BRIDGE_H

#include "docache.h"

/* How a call began. */
typedef struct docache_flight_begun {
  docache_call *call;
  docache_status status;
} docache_flight_begun;

/* What a call has come to. With OK, value is a share to give back, and with it the outcome of the seat `id` stays. */
typedef struct docache_flight_polled {
  docache_value *value;
  uintptr_t id;
  docache_status status;
} docache_flight_polled;

/* How the end of a flight went, and whether others got the outcome too. */
typedef struct docache_flight_landed {
  docache_status status;
  uint32_t shared;
} docache_flight_landed;

/* Makes a value that stands for the outcome of the seat `id`; docacheFlightDrop tells when nobody can see it. NULL: no
 * memory, and it has told already. */
docache_value *docache_flight_value(uintptr_t id);

/* Leads (LEADER), or joins and asks for docacheFlightNotify(id) (PENDING), unless there is something to poll for already
 * (OK). `owner` is who calls. */
docache_flight_begun docache_flight_begin(docache_group *group, const uint8_t *key, size_t key_len, uint64_t owner,
                                          uintptr_t id);

docache_flight_polled docache_flight_poll(docache_call *call);

/* Ends the flight that the call leads, and the call. */
docache_flight_landed docache_flight_land(docache_call *call, docache_value *value);

/* Ends a call, and gives back a share of a value, unless that is NULL. */
void docache_flight_leave(docache_call *call, docache_value *value);

#endif
