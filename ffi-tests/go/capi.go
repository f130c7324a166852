// Package stranger calls docache.h as somebody would who knows nothing but that header. It belongs
// to the tests beside it, and is not an interface: for that there is the package docache.
package stranger

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: ${SRCDIR}/../../target/release/libdocache.a -lm
#cgo linux LDFLAGS: -ldl -lpthread
#include "callbacks.h"
#include <stdlib.h>
*/
import "C"

import (
	"sync/atomic"
	"unsafe"
)

// The types and callbacks of the header under names that tests can use, since they cannot import
// "C".
type (
	Status   = C.docache_status
	Value    = C.docache_value
	Error    = C.docache_error
	Logger   = C.docache_logger
	Loop     = C.docache_loop
	Snapshot = C.docache_snapshot
	Wait     = C.docache_wait
	Options  = C.docache_loop_options
	Entry    = C.docache_entry
	Stats    = C.docache_loop_counters
)

const (
	ok              = C.DOCACHE_OK
	miss            = C.DOCACHE_MISS
	pending         = C.DOCACHE_PENDING
	timedOut        = C.DOCACHE_TIMEOUT
	closed          = C.DOCACHE_CLOSED
	doerFailed      = C.DOCACHE_DOER_FAILED
	busy            = C.DOCACHE_BUSY
	invalidArgument = C.DOCACHE_INVALID_ARGUMENT
	reentrant       = C.DOCACHE_REENTRANT
	panicked        = C.DOCACHE_PANIC
	bufferTooSmall  = C.DOCACHE_BUFFER_TOO_SMALL
	forever         = C.DOCACHE_FOREVER
)

var (
	doerFn   = C.docache_perform_fn(C.call_doer)
	dropFn   = C.docache_drop_fn(C.call_drop)
	notifyFn = C.docache_notify_fn(C.call_notify)
	logFn    = C.docache_log_fn(C.call_log)
)

// hour is an interval that no test waits for.
const hour = 3_600_000_000_000

func options(capacity int) Options {
	return Options{size: C.sizeof_docache_loop_options, interval_ns: hour, capacity: C.size_t(capacity)}
}

// longer is memory for options from a future header: n bytes more than we know of, all zero but
// perhaps the last. The caller frees it.
func longer(n int, last byte) (*Options, func()) {
	size := C.size_t(C.sizeof_docache_loop_options + n)
	p := C.calloc(1, size)
	o := (*Options)(p)
	o.size, o.interval_ns = size, hour
	*(*byte)(unsafe.Add(p, size-1)) = last
	return o, func() { C.free(p) }
}

func abiVersion() (linked, header uint32) {
	return uint32(C.docache_abi_version()), C.DOCACHE_ABI_VERSION
}

func version() (linked string, major, minor, patch int) {
	return C.GoString(C.docache_version()), C.DOCACHE_VERSION_MAJOR, C.DOCACHE_VERSION_MINOR, C.DOCACHE_VERSION_PATCH
}

func statusName(s Status) string { return C.GoString(C.docache_status_name(s)) }

func cBytes(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

func valueNew(b []byte, out **Value, outError **Error) Status {
	return C.docache_value_new(cBytes(b), C.size_t(len(b)), out, outError)
}

// valueNewFromNothing claims that n bytes stand at NULL.
func valueNewFromNothing(n int, out **Value, outError **Error) Status {
	return C.docache_value_new(nil, C.size_t(n), out, outError)
}

// valueWrap gives the library memory of C's, which must stay until ctx is dropped; the tests never
// free it.
func valueWrap(b []byte, ctx uintptr, out **Value, outError **Error) Status {
	p := (*C.uint8_t)(C.CBytes(b))
	return C.docache_value_wrap(p, C.size_t(len(b)), C.uintptr_t(ctx), dropFn, out, outError)
}

func valueRetain(v *Value) *Value { return C.docache_value_retain(v) }
func valueRelease(v *Value)       { C.docache_value_release(v) }
func valueBytes(v *Value) []byte {
	return C.GoBytes(unsafe.Pointer(C.docache_value_data(v)), C.int(C.docache_value_len(v)))
}

func errorNew(code int64, message string, out, outError **Error) Status {
	text := (*C.char)(unsafe.Pointer(unsafe.StringData(message)))
	return C.docache_error_new(C.int64_t(code), text, C.size_t(len(message)), out, outError)
}

func errorRetain(e *Error) *Error { return C.docache_error_retain(e) }
func errorRelease(e *Error)       { C.docache_error_release(e) }
func errorCode(e *Error) int64    { return int64(C.docache_error_code(e)) }
func errorStatus(e *Error) Status { return C.docache_error_status(e) }
func errorMessage(e *Error) string {
	var n C.size_t
	text := C.docache_error_message(e, &n)
	return C.GoStringN(text, C.int(n))
}

func loggerNew(fn C.docache_log_fn, ctx uintptr, level int, out **Logger, outError **Error) Status {
	return C.docache_logger_new(fn, C.uintptr_t(ctx), dropFn, C.int32_t(level), out, outError)
}

func loggerRetain(l *Logger) *Logger { return C.docache_logger_retain(l) }
func loggerRelease(l *Logger)        { C.docache_logger_release(l) }

func loopNew(o *Options, fn C.docache_perform_fn, ctx uintptr, out **Loop, outError **Error) Status {
	return C.docache_loop_new(o, fn, C.uintptr_t(ctx), dropFn, out, outError)
}

// loopNewNamed lays the options out in C's memory, because a Go struct may not carry a C-visible Go
// pointer.
func loopNewNamed(o Options, name string, logger *Logger, ctx uintptr, out **Loop, outError **Error) Status {
	o.name, o.name_len, o.logger = C.CString(name), C.size_t(len(name)), logger
	defer C.free(unsafe.Pointer(o.name))
	return C.docache_loop_new(&o, doerFn, C.uintptr_t(ctx), dropFn, out, outError)
}

func loopFree(l *Loop)                           { C.docache_loop_free(l) }
func loopStart(l *Loop, outError **Error) Status { return C.docache_loop_start(l, outError) }
func loopRun(l *Loop, outError **Error) Status   { return C.docache_loop_run(l, outError) }
func loopIsRunning(l *Loop) bool                 { return bool(C.docache_loop_is_running(l)) }
func loopStop(l *Loop, timeout int64, outError **Error) Status {
	return C.docache_loop_stop(l, C.int64_t(timeout), outError)
}

func loopLatest(l *Loop, out **Value, entry *Entry, outError **Error) Status {
	return C.docache_loop_latest(l, out, entry, outError)
}

func loopLatestCopy(l *Loop, b []byte, n *int, outError **Error) Status {
	var needed C.size_t
	status := C.docache_loop_latest_copy(l, cBytes(b), C.size_t(len(b)), &needed, nil, outError)
	*n = int(needed)
	return status
}

func loopSnapshot(l *Loop, out **Snapshot, outError **Error) Status {
	return C.docache_loop_snapshot(l, out, outError)
}

func snapshotRetain(s *Snapshot) *Snapshot { return C.docache_snapshot_retain(s) }
func snapshotRelease(s *Snapshot)          { C.docache_snapshot_release(s) }
func snapshotLen(s *Snapshot) int          { return int(C.docache_snapshot_len(s)) }
func snapshotVersion(s *Snapshot) uint64   { return uint64(C.docache_snapshot_version(s)) }

// snapshotRead reads up to len(out) entries; n is how many there were.
func snapshotRead(s *Snapshot, first int, out []Entry, n *int, outError **Error) Status {
	var count C.size_t
	status := C.docache_snapshot_read(s, C.size_t(first), unsafe.SliceData(out), C.size_t(len(out)), &count, outError)
	*n = int(count)
	return status
}

func loopVersion(l *Loop) uint64 { return uint64(C.docache_loop_version(l)) }

// loopWord returns how to load the version word, nil for a loop that is NULL.
func loopWord(l *Loop) func() uint64 {
	word := (*uint64)(unsafe.Pointer(C.docache_loop_version_word(l)))
	if word == nil {
		return nil
	}
	return func() uint64 { return atomic.LoadUint64(word) }
}

func statsSize(s *Stats, size int) { s.size = C.size_t(size) }
func loopStats(l *Loop, out *Stats, outError **Error) Status {
	return C.docache_loop_stats(l, out, outError)
}
func loopLastError(l *Loop, out **Error, outError **Error) Status {
	return C.docache_loop_last_error(l, out, outError)
}

func loopWaitFirst(l *Loop, timeout int64, outError **Error) Status {
	return C.docache_loop_wait_first(l, C.int64_t(timeout), outError)
}

func loopChanged(l *Loop, since uint64, timeout int64, out *uint64, outError **Error) Status {
	return C.docache_loop_changed(l, C.uint64_t(since), C.int64_t(timeout), (*C.uint64_t)(out), outError)
}

func loopRefresh(l *Loop, timeout int64, out *uint64, outError **Error) Status {
	return C.docache_loop_refresh(l, C.int64_t(timeout), (*C.uint64_t)(out), outError)
}

func loopWaitFirstBegin(l *Loop, out **Wait, outError **Error) Status {
	return C.docache_loop_wait_first_begin(l, out, outError)
}

func loopChangedBegin(l *Loop, since uint64, out **Wait, outError **Error) Status {
	return C.docache_loop_changed_begin(l, C.uint64_t(since), out, outError)
}

func loopRefreshBegin(l *Loop, out **Wait, outError **Error) Status {
	return C.docache_loop_refresh_begin(l, out, outError)
}

func loopStopBegin(l *Loop, out **Wait, outError **Error) Status {
	return C.docache_loop_stop_begin(l, out, outError)
}

func waitOnReady(w *Wait, fn C.docache_notify_fn, token uintptr, outError **Error) Status {
	return C.docache_wait_on_ready(w, fn, C.uintptr_t(token), outError)
}

func waitPoll(w *Wait, out *uint64, outError **Error) Status {
	return C.docache_wait_poll(w, (*C.uint64_t)(out), outError)
}

func waitCancel(w *Wait) Status { return C.docache_wait_cancel(w) }
func waitFree(w *Wait)          { C.docache_wait_free(w) }
