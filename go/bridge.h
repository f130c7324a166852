/* What the Go package adds to docache.h: Go results travel through the library as ids. */
#ifndef DOCACHE_GO_BRIDGE_H
#define DOCACHE_GO_BRIDGE_H

#include "docache.h"

/* The last success. id is 0 if there was none; otherwise value is retained, and with it the Go result of that id. */
typedef struct docache_go_latest {
  uint64_t id;
  docache_value *value;
} docache_go_latest;

/* One entry of a snapshot. id is 0 if the result did not come from Go; the rest then says what happened. */
typedef struct docache_go_slot {
  uint64_t id;
  int64_t timestamp_ns;
  const docache_error *error; /* borrowed from the snapshot */
} docache_go_slot;

/* Creates a loop that calls docacheGoPerform(worker) and, when the library has let go of it, docacheGoDropWorker. */
docache_status docache_go_loop_new(const docache_loop_options *options, uintptr_t worker, docache_loop **out,
                                   docache_error **out_error);

/* Makes a value that stands for the result `id` of `worker`; docacheGoDropResult tells when nobody can see it. */
docache_status docache_go_value_new(uintptr_t worker, uint64_t id, docache_value **out);

docache_go_latest docache_go_loop_latest(const docache_loop *loop);

/* Fills out[0..count) from the entries first.. of the snapshot; anything but OK means that they are not all there. */
docache_status docache_go_snapshot_fill(const docache_snapshot *snapshot, size_t first, docache_go_slot *out,
                                        size_t count);

/* Asks for docacheGoNotify(token). */
docache_status docache_go_wait_on_ready(docache_wait *wait, uintptr_t token);

#endif
