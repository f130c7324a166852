#include "tickets.h"

#include <stdlib.h>
#include <string.h>

/* A stripe's list is a stack. Many push, and whoever takes takes all, so no ticket can come back
 * between a load and the exchange that relies on it.
 *
 * Orderings: a push releases its ticket, and taking, in Go, and closing acquire it. A push that
 * finds the list closed has acquired the count that it then takes one from. Counting down is
 * acq_rel, so that whoever frees sees all that was done. */

static docache_go_ticket closed; /* stands in a list that is closed */

static void give_back(docache_go_tickets *tickets, size_t n) {
  if (__atomic_sub_fetch(&tickets->out, n, __ATOMIC_ACQ_REL) != 0) return;
  while (tickets->blocks != NULL) {
    docache_go_block *next = tickets->blocks->next;
    free(tickets->blocks);
    tickets->blocks = next;
  }
  free(tickets);
}

static void drop(uintptr_t ctx) {
  docache_go_ticket *ticket = (docache_go_ticket *)ctx;
  docache_go_stripe *stripe = ticket->stripe;
  void *head = __atomic_load_n(&stripe->dropped, __ATOMIC_ACQUIRE);
  do {
    if (head == &closed) {
      give_back(stripe->all, 1);
      return;
    }
    ticket->next = head;
  } while (!__atomic_compare_exchange_n(&stripe->dropped, &head, ticket, 1, __ATOMIC_RELEASE,
                                        __ATOMIC_ACQUIRE));
}

void docache_go_tickets_init(docache_go_tickets *tickets) {
  memset(tickets, 0, sizeof *tickets);
  for (size_t i = 0; i < DOCACHE_GO_STRIPES; i++) tickets->stripes[i].all = tickets;
}

void docache_go_tickets_add_block(docache_go_stripe *stripe, docache_go_block *block) {
  for (size_t i = 0; i < DOCACHE_GO_BLOCK; i++) {
    block->tickets[i] = (docache_go_ticket){0, NULL, stripe};
  }
  docache_go_block **blocks = &stripe->all->blocks;
  block->next = __atomic_load_n(blocks, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(blocks, &block->next, block, 1, __ATOMIC_RELEASE,
                                      __ATOMIC_RELAXED)) {
  }
}

void docache_go_tickets_close(docache_go_tickets *tickets) {
  size_t out = 1, back = 1;
  for (size_t i = 0; i < DOCACHE_GO_STRIPES; i++) out += tickets->stripes[i].live;
  __atomic_store_n(&tickets->out, out, __ATOMIC_RELAXED); /* released by the exchanges */
  for (size_t i = 0; i < DOCACHE_GO_STRIPES; i++) {
    docache_go_ticket *t =
        __atomic_exchange_n(&tickets->stripes[i].dropped, (void *)&closed, __ATOMIC_ACQ_REL);
    for (; t != NULL; t = t->next) back++;
  }
  give_back(tickets, back);
}

docache_value *docache_go_ticket_value(docache_go_ticket *ticket) {
  docache_value *value = NULL;
  docache_value_wrap((const uint8_t *)&ticket->id, sizeof ticket->id, (uintptr_t)ticket, drop,
                     &value, NULL);
  return value;
}
