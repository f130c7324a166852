/* What the Go package adds to docache.h: Go results travel through the library as ids. */
#ifndef DOCACHE_GO_BRIDGE_H
#define DOCACHE_GO_BRIDGE_H

#include "docache.h"
#include "drops.h"

/* The last success. id is 0 if there was none; otherwise value is retained, and with it the Go
 * result of that id. */
typedef struct docache_go_latest {
  uint64_t id;
  docache_value *value;
} docache_go_latest;

/* One entry of a snapshot. id is 0 if the result did not come from Go; the rest then says what
 * happened. */
typedef struct docache_go_slot {
  uint64_t id;
  int64_t timestamp_ns;
  const docache_error *error; /* borrowed from the snapshot */
} docache_go_slot;

/* How many drops Go is told of at a time. */
#define DOCACHE_GO_DROPS 4

/* What a drive has to do (see docache_drive_begin), and the first `dropped` of ids are those of
 * results that were dropped. */
typedef struct docache_go_next {
  docache_status status;
  uint32_t dropped;
  uint64_t wait_ns;
  uint64_t ids[DOCACHE_GO_DROPS];
} docache_go_next;

docache_go_next docache_go_drive_begin(docache_drive *drive, docache_go_drops *drops);

/* Ends a call with the result `id`, and goes on to what is next. */
docache_go_next docache_go_drive_succeed(docache_drive *drive, docache_go_drops *drops,
                                         uint64_t id);

/* Ends a call with the failure `id`, and goes on to what is next. The status is what a
 * docache_perform_fn would return. */
docache_go_next docache_go_drive_fail(docache_drive *drive, docache_go_drops *drops,
                                      docache_status status, uint64_t id, const char *message,
                                      size_t message_len);

/* Asks the loop to stop, and waits for nothing. */
void docache_go_loop_ask_to_stop(const docache_loop *loop);

docache_go_latest docache_go_loop_latest(const docache_loop *loop);

/* Fills out[0..count) from the entries first.. of the snapshot; anything but OK means that they are
 * not all there. */
docache_status docache_go_snapshot_fill(const docache_snapshot *snapshot, size_t first,
                                        docache_go_slot *out, size_t count);

/* Asks for docacheGoNotify(token). */
docache_status docache_go_wait_on_ready(docache_wait *wait, uintptr_t token);

#endif
