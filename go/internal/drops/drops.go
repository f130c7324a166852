package drops

/*
#cgo CFLAGS: -I${SRCDIR}/../clib -I${SRCDIR}/../../../include
#cgo nocallback docache_go_drops_new
#cgo nocallback docache_go_drops_close
#cgo nocallback docache_go_drops_word
#cgo noescape docache_go_drops_take
#cgo nocallback docache_go_drops_take
#include "drops.h"
*/
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// List holds the ids of the values that were dropped. Values that are still there when it is
// collected are dropped without a trace.
type List struct {
	c    *C.docache_go_drops
	word *uintptr
}

// New returns an empty list, or nil if there is no memory for it.
func New() *List {
	c := C.docache_go_drops_new()
	if c == nil {
		return nil
	}
	l := &List{c, (*uintptr)(unsafe.Pointer(C.docache_go_drops_word(c)))}
	runtime.AddCleanup(l, func(c *C.docache_go_drops) { C.docache_go_drops_close(c) }, c)
	return l
}

// C returns the docache_go_drops that the C functions of other packages take. It is valid for as
// long as the list is reachable.
func (l *List) C() unsafe.Pointer { return unsafe.Pointer(l.c) }

// Any returns true if there is an id to take. It costs an atomic load.
func (l *List) Any() bool {
	defer runtime.KeepAlive(l)
	return atomic.LoadUintptr(l.word) != 0
}

// Take moves ids out of the list, as many as there is room for, and returns their number.
func (l *List) Take(ids []uint64) int {
	n := C.docache_go_drops_take(l.c, (*C.uint64_t)(unsafe.SliceData(ids)), C.size_t(len(ids)))
	runtime.KeepAlive(l)
	return int(n)
}
