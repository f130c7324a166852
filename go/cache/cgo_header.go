package cache

/*
#cgo CFLAGS: -I${SRCDIR}/../internal/clib -I${SRCDIR}/../../include
*/
import "C"
