package drops

/*
#cgo CFLAGS: -I${SRCDIR}/../clib -I${SRCDIR}/../../../include
#cgo nocallback docache_go_drops_new
#cgo nocallback docache_go_drops_close
#include "drops.h"
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// List holds the ids of the values that were dropped. Values that are still there when it is
// collected are dropped without a trace.
type List struct{ c *C.docache_go_drops }

// New returns an empty list, or nil if there is no memory for it.
func New() *List {
	c := C.docache_go_drops_new()
	if c == nil {
		return nil
	}
	l := &List{c}
	runtime.AddCleanup(l, func(c *C.docache_go_drops) { C.docache_go_drops_close(c) }, c)
	return l
}

// C returns the docache_go_drops that the C functions of other packages take. It is valid for as
// long as the list is reachable.
func (l *List) C() unsafe.Pointer { return unsafe.Pointer(l.c) }
