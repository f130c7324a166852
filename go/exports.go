package docache

/*
#include "docache.h"
*/
import "C"

import (
	"strings"
	"unsafe"

	"docache/internal/registry"
)

// The functions that the library calls, by way of bridge.c. They hold no lock of this package while user code runs,
// and nothing that a user's code does gets past worker.perform, so no panic ever meets a foreign frame.

// performer is the part of a worker that does not know its value type.
type performer interface {
	// perform calls the Doer and keeps the result under the id it returns.
	perform() outcome
	// drop forgets the result, which no reader can reach any more.
	drop(id uint64)
}

// outcome is what the library is told of a call.
type outcome struct {
	id       uint64
	failed   bool
	panicked bool
	message  string
}

var (
	workers registry.Registry[performer]
	waiters registry.Registry[chan struct{}]
)

//export docacheGoPerform
func docacheGoPerform(id C.uintptr_t, outValue **C.docache_value, outError **C.docache_error) C.docache_status {
	w, ok := workers.Get(uintptr(id))
	if !ok {
		return C.DOCACHE_INTERNAL
	}
	o := w.perform()
	if !o.failed {
		return valueNew(id, o.id, outValue)
	}
	message := strings.ToValidUTF8(o.message, "\uFFFD")
	text := (*C.char)(unsafe.Pointer(unsafe.StringData(message)))
	length := C.size_t(len(message))
	if status := C.docache_error_new(C.int64_t(o.id), text, length, outError, nil); status != C.DOCACHE_OK {
		return status
	}
	if o.panicked {
		return C.DOCACHE_PANIC
	}
	return C.DOCACHE_DOER_FAILED
}

//export docacheGoDropResult
func docacheGoDropResult(worker C.uintptr_t, id C.uint64_t) {
	if w, ok := workers.Get(uintptr(worker)); ok {
		w.drop(uint64(id))
	}
}

//export docacheGoDropWorker
func docacheGoDropWorker(id C.uintptr_t) {
	workers.Take(uintptr(id))
}

//export docacheGoNotify
func docacheGoNotify(token C.uintptr_t) {
	if ready, ok := waiters.Take(uintptr(token)); ok {
		close(ready)
	}
}
