//go:build !docache_shared

package cache

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: ${SRCDIR}/../../target/release/libdocache.a -lm
#cgo linux LDFLAGS: -ldl -lpthread
*/
import "C"
