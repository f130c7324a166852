#include "bridge.h"

#include <stdlib.h>

/* What goes on in the function that this thread is in. The library calls back only from inside
 * functions that docache.h marks [CB], and so only while there is one of these. */
typedef struct log {
  docache_flight_report report;
  docache_flight_ticket **last_told;
} log;

static _Thread_local log *current;

static void begin_log(log *l) {
  *l = (log){{NULL, NULL}, &l->report.told};
  current = l;
}

static docache_flight_report end_log(log *l) {
  current = NULL;
  return l->report;
}

static void notify(uintptr_t token) {
  docache_flight_ticket *ticket = (docache_flight_ticket *)token;
  ticket->next = NULL;
  *current->last_told = ticket;
  current->last_told = &ticket->next;
}

static void drop(uintptr_t ctx) {
  docache_flight_ticket *ticket = (docache_flight_ticket *)ctx;
  ticket->next = current->report.dropped;
  current->report.dropped = ticket;
}

docache_flight_ticket *docache_flight_ticket_new(uintptr_t id) {
  docache_flight_ticket *ticket = malloc(sizeof *ticket);
  if (ticket == NULL) return NULL;
  *ticket = (docache_flight_ticket){id, NULL, NULL};
  log l;
  begin_log(&l);
  docache_value_wrap((const uint8_t *)&ticket->id, sizeof ticket->id, (uintptr_t)ticket, drop,
                     &ticket->value, NULL);
  docache_flight_ticket *dropped = end_log(&l).dropped;
  docache_flight_free(dropped);
  return dropped == NULL ? ticket : NULL;
}

void docache_flight_free(docache_flight_ticket *dropped) {
  while (dropped != NULL) {
    docache_flight_ticket *next = dropped->next;
    free(dropped);
    dropped = next;
  }
}

docache_flight_report docache_flight_release(docache_flight_ticket *ticket) {
  log l;
  begin_log(&l);
  docache_value_release(ticket->value);
  return end_log(&l);
}

docache_flight_begun docache_flight_begin(docache_group *group, const uint8_t *key, size_t key_len,
                                          uint64_t owner, docache_flight_ticket *ticket) {
  docache_flight_begun begun = {NULL, DOCACHE_INTERNAL};
  begun.status = docache_group_begin_as(group, key, key_len, owner, &begun.call, NULL);
  if (begun.status == DOCACHE_PENDING) {
    begun.status = docache_call_on_ready(begun.call, notify, (uintptr_t)ticket, NULL);
  }
  return begun;
}

docache_flight_polled docache_flight_poll(docache_call *call) {
  docache_flight_polled polled = {NULL, DOCACHE_INTERNAL};
  docache_value *value = NULL;
  polled.status = docache_call_poll(call, &value, NULL, NULL);
  if (polled.status == DOCACHE_OK) {
    polled.ticket = (docache_flight_ticket *)docache_value_data(value); /* its first member */
  }
  return polled;
}

docache_flight_landed docache_flight_land(docache_call *call, docache_flight_ticket *ticket) {
  docache_flight_landed landed = {{NULL, NULL}, DOCACHE_INTERNAL, 0};
  log l;
  begin_log(&l);
  landed.status = docache_call_end(call, DOCACHE_OK, ticket->value, NULL, &landed.shared, NULL);
  landed.report = end_log(&l);
  return landed;
}

docache_flight_report docache_flight_leave(docache_call *call, docache_flight_ticket *share) {
  log l;
  begin_log(&l);
  if (share != NULL) docache_value_release(share->value);
  docache_call_free(call);
  return end_log(&l);
}
