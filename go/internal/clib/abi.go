//go:build cgo

package clib

/*
#cgo CFLAGS: -I${SRCDIR} -I${SRCDIR}/../../../include
#cgo nocallback docache_abi_version
#cgo nocallback docache_error_message
#cgo nocallback docache_error_release
#cgo noescape docache_error_message
#include "docache.h"
*/
import "C"

import "unsafe"

// Accepted is what to do if the library that is linked is not the one of the header.
const Accepted = "link the one whose docache_abi_version is the header's"

// ABI returns the version of the ABI of the library that is linked, and true if it is the
// header's. It is also the cheapest call there is into the library, which the benchmarks measure.
func ABI() (linked uint32, ok bool) {
	v := C.docache_abi_version()
	return uint32(v), v == C.DOCACHE_ABI_VERSION
}

// TakeMessage returns the message of a docache_error, and releases it. e may be nil.
func TakeMessage(e unsafe.Pointer) string {
	if e == nil {
		return "no explanation given"
	}
	failure := (*C.docache_error)(e)
	var n C.size_t
	text := C.docache_error_message(failure, &n)
	message := C.GoStringN(text, C.int(n))
	C.docache_error_release(failure)
	return message
}
