#include "bridge.h"

#include <stdlib.h>

#include "_cgo_export.h"

/* What the bytes of a value are. */
typedef struct ticket {
  uintptr_t id;
} ticket;

static void drop_ticket(uintptr_t ctx) {
  ticket *t = (ticket *)ctx;
  uintptr_t id = t->id;
  free(t);
  docacheFlightDrop(id);
}

static void notify(uintptr_t id) { docacheFlightNotify(id); }

docache_value *docache_flight_value(uintptr_t id) {
  ticket *t = malloc(sizeof *t);
  if (t == NULL) {
    docacheFlightDrop(id);
    return NULL;
  }
  t->id = id;
  docache_value *value = NULL;
  docache_value_wrap((const uint8_t *)t, sizeof *t, (uintptr_t)t, drop_ticket, &value, NULL);
  return value;
}

docache_flight_begun docache_flight_begin(docache_group *group, const uint8_t *key, size_t key_len, uint64_t owner,
                                          uintptr_t id) {
  docache_flight_begun begun = {NULL, DOCACHE_INTERNAL};
  begun.status = docache_group_begin_as(group, key, key_len, owner, &begun.call, NULL);
  if (begun.status == DOCACHE_PENDING) {
    begun.status = docache_call_on_ready(begun.call, notify, id, NULL);
  }
  return begun;
}

docache_flight_polled docache_flight_poll(docache_call *call) {
  docache_flight_polled polled = {NULL, 0, DOCACHE_INTERNAL};
  polled.status = docache_call_poll(call, &polled.value, NULL, NULL);
  if (polled.status == DOCACHE_OK) {
    polled.id = ((const ticket *)docache_value_data(polled.value))->id;
  }
  return polled;
}

docache_flight_landed docache_flight_land(docache_call *call, docache_value *value) {
  docache_flight_landed landed = {DOCACHE_INTERNAL, 0};
  landed.status = docache_call_finish(call, DOCACHE_OK, value, NULL, &landed.shared, NULL);
  docache_call_free(call);
  return landed;
}

void docache_flight_leave(docache_call *call, docache_value *value) {
  docache_value_release(value);
  docache_call_free(call);
}
