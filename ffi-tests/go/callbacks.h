/* The callbacks that the tests hand to the library; each passes its ctx on to Go. */
#ifndef CALLBACKS_H
#define CALLBACKS_H

#include "docache.h"

docache_status call_doer(uintptr_t ctx, docache_value **out_value, docache_error **out_error);
void call_drop(uintptr_t ctx);
void call_notify(uintptr_t token);
void call_log(uintptr_t ctx, const docache_log_record *record);

#endif
