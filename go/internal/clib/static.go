//go:build cgo && !docache_shared && !docache_system

package clib

/*
#cgo CFLAGS: -I${SRCDIR}
#cgo linux LDFLAGS: -L${SRCDIR} -L${SRCDIR}/../../../target/release -l:libdocache.a -lm -ldl -lpthread
#cgo !linux LDFLAGS: -L${SRCDIR} -L${SRCDIR}/../../../target/release -ldocache -lm
#if __has_include("built.h")
#include "built.h"
#elif !__has_include("../../../target/release/libdocache.a")
#error "docache: the C library is not built; build it with: cargo xtask go-lib (in the checkout of docache)"
#endif
*/
import "C"
