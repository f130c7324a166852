package docache

/*
#include "docache.h"
*/
import "C"

import "docache/internal/registry"

// The one function that the library calls, by way of bridge.c, and only from inside a call that a
// goroutine of this package has made: no thread of the library's own ever calls Go.

var waiters registry.Registry[chan struct{}]

//export docacheGoNotify
func docacheGoNotify(token C.uintptr_t) {
	if ready, ok := waiters.Take(uintptr(token)); ok {
		close(ready)
	}
}
