//go:build cgo && docache_shared && !docache_system

package clib

/*
#cgo CFLAGS: -I${SRCDIR}
#cgo LDFLAGS: -L${SRCDIR}/../../../target/release -Wl,-rpath,${SRCDIR}/../../../target/release -ldocache
#if !__has_include("../../../target/release/libdocache.so.0")
#error "docache: the shared library is not built; build it with: cargo xtask go-lib (in the checkout of docache)"
#endif
*/
import "C"
