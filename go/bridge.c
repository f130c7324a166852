#include "bridge.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "_cgo_export.h"

/* What the bytes of a value are: the key of a Go result. */
typedef struct ticket {
  uint64_t id;
  docache_go_drops *drops;
  struct ticket *next; /* among the drops */
} ticket;

/* Many push, and whoever takes takes all, so that a plain stack will do. It outlives its tickets: the loop goes first. */
struct docache_go_drops {
  _Atomic(ticket *) head;
};

static void push(docache_go_drops *drops, ticket *first, ticket *last) {
  ticket *head = atomic_load_explicit(&drops->head, memory_order_relaxed);
  do {
    last->next = head;
  } while (!atomic_compare_exchange_weak_explicit(&drops->head, &head, first, memory_order_release,
                                                  memory_order_relaxed));
}

static void drop_ticket(uintptr_t ctx) {
  ticket *t = (ticket *)ctx;
  push(t->drops, t, t);
}

/* Takes up to `most` ids; the others wait for the next time. */
static uint32_t drain(docache_go_drops *drops, uint64_t *ids, uint32_t most) {
  if (atomic_load_explicit(&drops->head, memory_order_relaxed) == NULL) return 0;
  ticket *t = atomic_exchange_explicit(&drops->head, NULL, memory_order_acquire);
  uint32_t n = 0;
  while (t != NULL && n < most) {
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
  return n;
}

docache_go_drops *docache_go_drops_new(void) {
  docache_go_drops *drops = malloc(sizeof *drops);
  if (drops != NULL) atomic_init(&drops->head, NULL);
  return drops;
}

void docache_go_loop_free(docache_loop *loop, docache_go_drops *drops) {
  docache_loop_free(loop);
  uint64_t ids[DOCACHE_GO_DROPS];
  while (drain(drops, ids, DOCACHE_GO_DROPS) != 0) {
  }
  free(drops);
}

static void notify(uintptr_t token) { docacheGoNotify(token); }

docache_go_next docache_go_drive_begin(docache_drive *drive, docache_go_drops *drops) {
  docache_go_next next;
  next.wait_ns = 0;
  next.status = docache_drive_begin(drive, &next.wait_ns, NULL);
  next.dropped = drain(drops, next.ids, DOCACHE_GO_DROPS);
  return next;
}

static docache_go_next finish(docache_drive *drive, docache_go_drops *drops, docache_status status,
                              docache_value *value, docache_error *error) {
  docache_drive_finish(drive, status, value, error, NULL);
  return docache_go_drive_begin(drive, drops);
}

docache_go_next docache_go_drive_succeed(docache_drive *drive, docache_go_drops *drops, uint64_t id) {
  docache_value *value = NULL;
  ticket *t = malloc(sizeof *t);
  if (t == NULL) return finish(drive, drops, DOCACHE_INTERNAL, NULL, NULL);
  *t = (ticket){id, drops, NULL};
  docache_status status =
      docache_value_wrap((const uint8_t *)&t->id, sizeof t->id, (uintptr_t)t, drop_ticket, &value, NULL);
  return finish(drive, drops, status, value, NULL);
}

docache_go_next docache_go_drive_fail(docache_drive *drive, docache_go_drops *drops, docache_status status, uint64_t id,
                                      const char *message, size_t message_len) {
  docache_error *error = NULL;
  docache_error_new((int64_t)id, message, message_len, &error, NULL);
  return finish(drive, drops, status, NULL, error);
}

void docache_go_loop_ask_to_stop(const docache_loop *loop) {
  docache_wait *wait = NULL;
  docache_loop_stop_begin(loop, &wait, NULL);
  docache_wait_free(wait);
}

static uint64_t id_of(const docache_value *value) { return *(const uint64_t *)(const void *)docache_value_data(value); }

docache_go_latest docache_go_loop_latest(const docache_loop *loop) {
  docache_go_latest latest = {0, NULL};
  if (docache_loop_latest(loop, &latest.value, NULL, NULL) == DOCACHE_OK) {
    latest.id = id_of(latest.value);
  }
  return latest;
}

docache_status docache_go_snapshot_fill(const docache_snapshot *snapshot, size_t first, docache_go_slot *out,
                                        size_t count) {
  docache_entry entries[32];
  while (count > 0) {
    size_t want = count < 32 ? count : 32;
    size_t got = 0;
    docache_status status = docache_snapshot_read(snapshot, first, entries, want, &got, NULL);
    if (status != DOCACHE_OK || got != want) {
      return status != DOCACHE_OK ? status : DOCACHE_INTERNAL;
    }
    for (size_t i = 0; i < got; i++) {
      const docache_entry *entry = &entries[i];
      out[i].id = entry->value != NULL ? id_of(entry->value) : (uint64_t)docache_error_code(entry->error);
      out[i].timestamp_ns = entry->timestamp_ns;
      out[i].error = entry->error;
    }
    first += got;
    out += got;
    count -= got;
  }
  return DOCACHE_OK;
}

docache_status docache_go_wait_on_ready(docache_wait *wait, uintptr_t token) {
  return docache_wait_on_ready(wait, notify, token, NULL);
}
