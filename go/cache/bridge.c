#include "bridge.h"

/* Who is to be told of what goes on in the function that this thread is in. The library notifies
 * only from inside functions that docache.h marks [CB], and so only while there is one of these. */
typedef struct log {
  docache_go_cache_seat *told;
  docache_go_cache_seat **last;
} log;

static _Thread_local log *current;

static void begin_log(log *l) {
  *l = (log){NULL, &l->told};
  current = l;
}

static docache_go_cache_landed end_log(log *l, docache_status status) {
  current = NULL;
  return (docache_go_cache_landed){l->told, status};
}

static void notify(uintptr_t token) {
  docache_go_cache_seat *seat = (docache_go_cache_seat *)token;
  seat->next = NULL;
  *current->last = seat;
  current->last = &seat->next;
}

static docache_go_cache_found found(docache_value *value) {
  if (value == NULL) return (docache_go_cache_found){NULL, NULL, 0};
  return (docache_go_cache_found){value, docache_value_data(value), docache_value_len(value)};
}

static docache_cache *cache_of(docache_go_cache_handle handle) { return (docache_cache *)handle; }

int64_t docache_go_cache_copy(docache_go_cache_handle cache, const uint8_t *key, size_t key_len,
                              uint8_t *buffer, size_t cap) {
  size_t len = 0;
  docache_status status =
      docache_cache_try_get(cache_of(cache), key, key_len, buffer, cap, &len, NULL);
  if (status == DOCACHE_OK || status == DOCACHE_BUFFER_TOO_SMALL) return (int64_t)len;
  return status == DOCACHE_MISS ? DOCACHE_GO_CACHE_MISS : status;
}

docache_go_cache_found docache_go_cache_find(docache_go_cache_handle cache, const uint8_t *key,
                                             size_t key_len) {
  docache_value *value = NULL;
  docache_cache_get(cache_of(cache), key, key_len, &value, NULL);
  return found(value);
}

static void set_ticket(docache_cache *cache, const uint8_t *key, size_t key_len,
                       docache_go_ticket *ticket, uint64_t ttl_ns) {
  docache_value *value = docache_go_ticket_value(ticket);
  if (value == NULL) return;
  docache_cache_set_value(cache, key, key_len, value, ttl_ns, NULL);
  docache_value_release(value);
}

void docache_go_cache_set_ticket(docache_go_cache_handle cache, const uint8_t *key, size_t key_len,
                                 docache_go_cache_handle ticket, uint64_t ttl_ns) {
  set_ticket(cache_of(cache), key, key_len, (docache_go_ticket *)ticket, ttl_ns);
}

void docache_go_cache_set_tickets(docache_go_cache_handle cache, const uint8_t *keys,
                                  const size_t *lens, size_t n, docache_go_ticket *const *tickets,
                                  uint64_t ttl_ns) {
  for (size_t i = 0; i < n; i++) {
    set_ticket(cache_of(cache), keys, lens[i], tickets[i], ttl_ns);
    keys += lens[i];
  }
}

docache_go_cache_stored docache_go_cache_set(docache_go_cache_handle cache, const uint8_t *key,
                                             size_t key_len, const uint8_t *data, size_t len,
                                             uint64_t ttl_ns) {
  docache_go_cache_stored stored = {NULL, DOCACHE_INTERNAL};
  stored.status =
      docache_cache_set(cache_of(cache), key, key_len, data, len, ttl_ns, &stored.error);
  return stored;
}

/* How many keys the library is given at a time. */
#define SPANS 64

static void spans(docache_bytes *out, const uint8_t *bytes, const size_t *lens, size_t n) {
  for (size_t i = 0; i < n; i++) {
    out[i] = (docache_bytes){bytes, lens[i]};
    bytes += lens[i];
  }
}

static const uint8_t *end_of(docache_bytes span) { return span.data + span.len; }

static size_t part(size_t n) { return n < SPANS ? n : SPANS; }

docache_status docache_go_cache_set_all(docache_cache *cache, const uint8_t *keys,
                                        const size_t *key_lens, const uint8_t *values,
                                        const size_t *value_lens, size_t n, uint64_t ttl_ns,
                                        docache_error **out_error) {
  docache_bytes k[SPANS], v[SPANS];
  docache_status worst = DOCACHE_OK;
  for (size_t m; n != 0; n -= m, key_lens += m, value_lens += m) {
    m = part(n);
    spans(k, keys, key_lens, m);
    spans(v, values, value_lens, m);
    docache_status status =
        docache_cache_set_many(cache, k, v, m, ttl_ns, worst == DOCACHE_OK ? out_error : NULL);
    if (worst == DOCACHE_OK) worst = status;
    keys = end_of(k[m - 1]);
    values = end_of(v[m - 1]);
  }
  return worst;
}

docache_status docache_go_cache_find_all(docache_cache *cache, const uint8_t *keys,
                                         const size_t *lens, size_t n,
                                         docache_go_cache_found *out) {
  docache_bytes k[SPANS];
  docache_value *v[SPANS];
  for (size_t m; n != 0; n -= m, lens += m, out += m) {
    m = part(n);
    spans(k, keys, lens, m);
    size_t count = 0;
    docache_status status = docache_cache_get_many(cache, k, m, v, &count, NULL);
    if (status != DOCACHE_OK) return status;
    for (size_t i = 0; i < m; i++) out[i] = found(v[i]);
    keys = end_of(k[m - 1]);
  }
  return DOCACHE_OK;
}

docache_status docache_go_cache_remove_all(docache_cache *cache, const uint8_t *keys,
                                           const size_t *lens, size_t n, size_t *removed) {
  docache_bytes k[SPANS];
  *removed = 0;
  for (size_t m; n != 0; n -= m, lens += m) {
    m = part(n);
    spans(k, keys, lens, m);
    size_t count = 0;
    docache_status status = docache_cache_remove_many(cache, k, m, &count, NULL);
    if (status != DOCACHE_OK) return status;
    *removed += count;
    keys = end_of(k[m - 1]);
  }
  return DOCACHE_OK;
}

void docache_go_cache_let_go(const docache_go_cache_found *out, size_t n) {
  for (size_t i = 0; i < n; i++) docache_value_release(out[i].value);
}

docache_go_cache_begun docache_go_cache_begin(docache_cache *cache, const uint8_t *key,
                                              size_t key_len, uint64_t ttl_ns, uint64_t owner,
                                              docache_go_cache_seat *seat) {
  docache_go_cache_begun begun = {NULL, NULL, {NULL, NULL, 0}, DOCACHE_INTERNAL};
  docache_value *value = NULL;
  log l;
  begin_log(&l);
  begun.status =
      docache_cache_fetch_begin(cache, key, key_len, ttl_ns, owner, &value, &begun.call, NULL);
  /* There are some if the value came in before this caller could lead. */
  begun.told = end_log(&l, DOCACHE_OK).told;
  begun.found = found(value);
  if (begun.status == DOCACHE_PENDING) {
    begun.status = docache_call_on_ready(begun.call, notify, (uintptr_t)seat, NULL);
    if (begun.status == DOCACHE_OK) begun.status = DOCACHE_GO_CACHE_TOLD_ALREADY;
  }
  return begun;
}

docache_go_cache_begun docache_go_cache_look(docache_call *call) {
  docache_go_cache_begun seen = {call, NULL, {NULL, NULL, 0}, DOCACHE_INTERNAL};
  docache_value *value = NULL;
  log l;
  begin_log(&l);
  seen.status = docache_call_poll(call, &value, NULL, NULL);
  seen.told = end_log(&l, DOCACHE_OK).told; /* if the lead had come to it, and then the value */
  seen.found = found(value);
  return seen;
}

/* Ends the call with the value, whose share it takes, or with a failure if that is NULL. */
static docache_go_cache_landed end(docache_call *call, docache_value *value,
                                   docache_status status) {
  log l;
  begin_log(&l);
  status = docache_call_end(call, status, value, NULL, NULL, NULL);
  docache_value_release(value);
  return end_log(&l, status);
}

docache_go_cache_landed docache_go_cache_land(docache_call *call, const uint8_t *data, size_t len) {
  docache_value *value = NULL;
  docache_status made = docache_value_new(data, len, &value, NULL);
  return end(call, value, made == DOCACHE_OK ? DOCACHE_OK : DOCACHE_DOER_FAILED);
}

docache_go_cache_landed docache_go_cache_land_ticket(docache_call *call,
                                                     docache_go_ticket *ticket) {
  docache_value *value = docache_go_ticket_value(ticket);
  return end(call, value, value != NULL ? DOCACHE_OK : DOCACHE_DOER_FAILED);
}

docache_go_cache_landed docache_go_cache_fail(docache_call *call) {
  return end(call, NULL, DOCACHE_DOER_FAILED);
}

docache_go_cache_landed docache_go_cache_leave(docache_call *call) {
  log l;
  begin_log(&l);
  docache_call_free(call);
  return end_log(&l, DOCACHE_OK);
}
