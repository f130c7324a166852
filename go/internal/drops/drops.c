#include "drops.h"

#include <stdatomic.h>
#include <stdlib.h>

/* What a value is that stands for one of Go's: the id is its bytes. */
typedef struct ticket {
  uint64_t id;
  docache_go_drops *drops;
  struct ticket *next; /* in the list */
} ticket;

/* A stack. Many push, and whoever takes takes all, so no node can come back between a load and the
 * exchange that relies on it.
 *
 * Orderings: a push releases its tickets, and taking and closing acquire them. Giving shares back
 * is acq_rel, so that whoever frees the list sees all that was done with it. */
struct docache_go_drops {
  _Atomic(ticket *) head; /* &ended once the list is closed */
  atomic_size_t shares;   /* one for each ticket, and one until the list is closed */
};

static ticket ended;

static void give_back(docache_go_drops *drops, size_t shares) {
  if (shares == 0) return;
  size_t before = atomic_fetch_sub_explicit(&drops->shares, shares, memory_order_acq_rel);
  if (before == shares) free(drops);
}

static size_t free_tickets(ticket *t) {
  size_t n = 0;
  while (t != NULL) {
    ticket *next = t->next;
    free(t);
    t = next;
    n++;
  }
  return n;
}

/* Puts a chain of tickets, from first to last, on the stack, or frees it if that is closed. */
static void push(docache_go_drops *drops, ticket *first, ticket *last) {
  ticket *head = atomic_load_explicit(&drops->head, memory_order_relaxed);
  do {
    if (head == &ended) {
      last->next = NULL;
      give_back(drops, free_tickets(first));
      return;
    }
    last->next = head;
  } while (!atomic_compare_exchange_weak_explicit(&drops->head, &head, first, memory_order_release,
                                                  memory_order_relaxed));
}

static void drop(uintptr_t ctx) {
  ticket *t = (ticket *)ctx;
  push(t->drops, t, t);
}

docache_go_drops *docache_go_drops_new(void) {
  docache_go_drops *drops = malloc(sizeof *drops);
  if (drops == NULL) return NULL;
  atomic_init(&drops->head, NULL);
  atomic_init(&drops->shares, 1);
  return drops;
}

void docache_go_drops_close(docache_go_drops *drops) {
  ticket *t = atomic_exchange_explicit(&drops->head, &ended, memory_order_acq_rel);
  give_back(drops, 1 + free_tickets(t));
}

size_t docache_go_drops_take(docache_go_drops *drops, uint64_t *ids, size_t cap) {
  if (atomic_load_explicit(&drops->head, memory_order_relaxed) == NULL) return 0;
  ticket *t = atomic_exchange_explicit(&drops->head, NULL, memory_order_acquire);
  size_t n = 0;
  while (t != NULL && n < cap) {
    ticket *next = t->next;
    ids[n++] = t->id;
    free(t);
    t = next;
  }
  if (t != NULL) {
    ticket *last = t;
    while (last->next != NULL) last = last->next;
    push(drops, t, last);
  }
  give_back(drops, n);
  return n;
}

docache_value *docache_go_drops_value(docache_go_drops *drops, uint64_t id) {
  ticket *t = malloc(sizeof *t);
  if (t == NULL) return NULL;
  *t = (ticket){id, drops, NULL};
  atomic_fetch_add_explicit(&drops->shares, 1, memory_order_relaxed);
  docache_value *value = NULL;
  docache_value_wrap((const uint8_t *)&t->id, sizeof t->id, (uintptr_t)t, drop, &value, NULL);
  return value;
}
