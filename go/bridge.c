#include "bridge.h"

#include "_cgo_export.h"

static void notify(uintptr_t token) { docacheGoNotify(token); }

docache_go_next docache_go_drive_begin(docache_drive *drive, docache_go_drops *drops) {
  docache_go_next next;
  next.wait_ns = 0;
  next.status = docache_drive_begin(drive, &next.wait_ns, NULL);
  next.dropped = (uint32_t)docache_go_drops_take(drops, next.ids, DOCACHE_GO_DROPS);
  return next;
}

static docache_go_next finish(docache_drive *drive, docache_go_drops *drops, docache_status status,
                              docache_value *value, docache_error *error) {
  docache_drive_finish(drive, status, value, error, NULL);
  return docache_go_drive_begin(drive, drops);
}

docache_go_next docache_go_drive_succeed(docache_drive *drive, docache_go_drops *drops,
                                         uint64_t id) {
  docache_value *value = docache_go_drops_value(drops, id);
  return finish(drive, drops, value != NULL ? DOCACHE_OK : DOCACHE_INTERNAL, value, NULL);
}

docache_go_next docache_go_drive_fail(docache_drive *drive, docache_go_drops *drops,
                                      docache_status status, uint64_t id, const char *message,
                                      size_t message_len) {
  docache_error *error = NULL;
  docache_error_new((int64_t)id, message, message_len, &error, NULL);
  return finish(drive, drops, status, NULL, error);
}

void docache_go_loop_ask_to_stop(const docache_loop *loop) {
  docache_wait *wait = NULL;
  docache_loop_stop_begin(loop, &wait, NULL);
  docache_wait_free(wait);
}

static uint64_t id_of(const docache_value *value) {
  return *(const uint64_t *)(const void *)docache_value_data(value);
}

docache_go_latest docache_go_loop_latest(const docache_loop *loop) {
  docache_go_latest latest = {0, NULL};
  if (docache_loop_latest(loop, &latest.value, NULL, NULL) == DOCACHE_OK) {
    latest.id = id_of(latest.value);
  }
  return latest;
}

docache_status docache_go_snapshot_fill(const docache_snapshot *snapshot, size_t first,
                                        docache_go_slot *out, size_t count) {
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
      out[i].id =
          entry->value != NULL ? id_of(entry->value) : (uint64_t)docache_error_code(entry->error);
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
