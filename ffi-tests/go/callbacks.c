#include "callbacks.h"

#include "_cgo_export.h"

docache_status call_doer(uintptr_t ctx, docache_value **out_value, docache_error **out_error) {
  return goDoer(ctx, out_value, out_error);
}

void call_drop(uintptr_t ctx) { goDrop(ctx); }

void call_notify(uintptr_t token) { goNotify(token); }

void call_log(uintptr_t ctx, const docache_log_record *record) {
  goLog(ctx, (char *)record->message, record->message_len, record->level);
}
