package docache

/*
#cgo CFLAGS: -I${SRCDIR}/internal/clib -I${SRCDIR}/internal/drops -I${SRCDIR}/../include
*/
import "C"
