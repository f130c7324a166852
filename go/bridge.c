#include "bridge.h"

#include <stdlib.h>

#include "_cgo_export.h"

/* What the bytes of a value are: the key of a Go result. */
typedef struct ticket {
  uint64_t id;
  uintptr_t worker;
} ticket;

static void drop_ticket(uintptr_t ctx) {
  ticket *t = (ticket *)ctx;
  uintptr_t worker = t->worker;
  uint64_t id = t->id;
  free(t);
  docacheGoDropResult(worker, id);
}

static docache_status perform(uintptr_t ctx, docache_value **out_value, docache_error **out_error) {
  return docacheGoPerform(ctx, out_value, out_error);
}

static void drop_worker(uintptr_t ctx) { docacheGoDropWorker(ctx); }

static void notify(uintptr_t token) { docacheGoNotify(token); }

docache_status docache_go_loop_new(const docache_loop_options *options, uintptr_t worker, docache_loop **out,
                                   docache_error **out_error) {
  return docache_loop_new(options, perform, worker, drop_worker, out, out_error);
}

docache_status docache_go_value_new(uintptr_t worker, uint64_t id, docache_value **out) {
  ticket *t = malloc(sizeof *t);
  if (t == NULL) {
    docacheGoDropResult(worker, id);
    return DOCACHE_INTERNAL;
  }
  t->id = id;
  t->worker = worker;
  return docache_value_wrap((const uint8_t *)t, sizeof *t, (uintptr_t)t, drop_ticket, out, NULL);
}

static uint64_t id_of(const docache_value *value) { return ((const ticket *)docache_value_data(value))->id; }

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
