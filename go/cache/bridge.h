/* What this package adds to docache.h.
 *
 * None of this calls into Go. What the library calls back for is put down: that a call is ready,
 * and that a value is gone that stood for one of Go's. A goroutine inside a callback keeps its
 * thread also while it waits for a lock or a processor. */
#ifndef DOCACHE_GO_CACHE_BRIDGE_H
#define DOCACHE_GO_CACHE_BRIDGE_H

#include "docache.h"
#include "tickets.h"

/* Who waits for a call: the token that the library is given. */
typedef struct docache_go_cache_seat {
  uintptr_t id;
  struct docache_go_cache_seat *next; /* in a list of those that are to be told */
} docache_go_cache_seat;

/* What was found: a share of the value, which the caller releases, and its bytes. */
typedef struct docache_go_cache_found {
  docache_value *value;
  const uint8_t *data;
  size_t len;
} docache_go_cache_found;

/* How a fetch began, or what a call has come to. With OK there is something in `found`. For `told`
 * see below. */
typedef struct docache_go_cache_begun {
  docache_call *call;
  docache_go_cache_seat *told;
  docache_go_cache_found found;
  docache_status status;
} docache_go_cache_begun;

/* How the end of a call went. It is the caller's duty to tell those that are in the list, in its
 * order; each is its owner's again once told. */
typedef struct docache_go_cache_landed {
  docache_go_cache_seat *told;
  docache_status status;
} docache_go_cache_landed;

/* A docache_cache, or a docache_go_ticket. Go looks at each pointer that it gives to C, unless that
 * is to numbers; at a number it does not. */
typedef uintptr_t docache_go_cache_handle;

/* docache_cache_try_get with what it says in one word: the value's length, also if that is more
 * than `cap`; the status if it is negative; DOCACHE_GO_CACHE_MISS. Each argument that Go gives to C
 * has its price. */
#define DOCACHE_GO_CACHE_MISS INT64_MIN
int64_t docache_go_cache_copy(docache_go_cache_handle cache, const uint8_t *key, size_t key_len,
                              uint8_t *buffer, size_t cap);

docache_go_cache_found docache_go_cache_find(docache_go_cache_handle cache, const uint8_t *key,
                                             size_t key_len);

/* Keeps the ticket for each key. `keys` are one after the other, `lens` their lengths. The tickets
 * are the library's from now on, which drops them, also those that it does not take. */
void docache_go_cache_set_tickets(docache_go_cache_handle cache, const uint8_t *keys,
                                  const size_t *lens, size_t n,
                                  docache_go_ticket *const *tickets, uint64_t ttl_ns);

/* The same for one key. */
void docache_go_cache_set_ticket(docache_go_cache_handle cache, const uint8_t *key, size_t key_len,
                                 docache_go_cache_handle ticket, uint64_t ttl_ns);

/* docache_cache_set with what it says in two words. */
typedef struct docache_go_cache_stored {
  docache_error *error;
  docache_status status;
} docache_go_cache_stored;
docache_go_cache_stored docache_go_cache_set(docache_go_cache_handle cache, const uint8_t *key,
                                             size_t key_len, const uint8_t *data, size_t len,
                                             uint64_t ttl_ns);

/* docache_cache_set_many with the keys and the values one after the other; says what the first part
 * that fails says. */
docache_status docache_go_cache_set_all(docache_cache *cache, const uint8_t *keys,
                                        const size_t *key_lens, const uint8_t *values,
                                        const size_t *value_lens, size_t n, uint64_t ttl_ns,
                                        docache_error **out_error);

/* docache_cache_get_many, likewise; found[i].value is NULL where there is nothing. */
docache_status docache_go_cache_find_all(docache_cache *cache, const uint8_t *keys,
                                         const size_t *lens, size_t n,
                                         docache_go_cache_found *found);

/* docache_cache_remove_many, likewise. */
docache_status docache_go_cache_remove_all(docache_cache *cache, const uint8_t *keys,
                                           const size_t *lens, size_t n, size_t *removed);

/* Gives shares back. */
void docache_go_cache_let_go(const docache_go_cache_found *found, size_t n);

/* Finds (OK), leads (LEADER), or joins and asks for the seat to be told (PENDING), unless the call
 * is ready already: TOLD_ALREADY. `owner` is who calls. */
#define DOCACHE_GO_CACHE_TOLD_ALREADY 1000
docache_go_cache_begun docache_go_cache_begin(docache_cache *cache, const uint8_t *key,
                                              size_t key_len, uint64_t ttl_ns, uint64_t owner,
                                              docache_go_cache_seat *seat);

/* What a call that joined has come to. A call that was handed the lead, and finds that the value
 * has come meanwhile, ends the load with that, and then there are those that are `told`. */
docache_go_cache_begun docache_go_cache_look(docache_call *call);

/* Ends the load that the call leads, and the call: with a copy of bytes, with a ticket as in
 * docache_go_cache_set_ticket, or with a failure. */
docache_go_cache_landed docache_go_cache_land(docache_call *call, const uint8_t *data, size_t len);
docache_go_cache_landed docache_go_cache_land_ticket(docache_call *call, docache_go_ticket *ticket);
docache_go_cache_landed docache_go_cache_fail(docache_call *call);

/* Ends a call that does not lead. */
docache_go_cache_landed docache_go_cache_leave(docache_call *call);

#endif
