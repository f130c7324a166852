//go:build beside

package main

/*
#cgo LDFLAGS: -L${SRCDIR} -lbeside
#include <stdint.h>
uint32_t beside_sum(uint32_t n);
uint32_t beside_catches(void);
*/
import "C"

import "log"

func init() {
	beside = func() {
		if got := C.beside_sum(10); got != 45 {
			log.Fatal("the other library has ", got)
		}
		if C.beside_catches() != 1 {
			log.Fatal("the other library caught no panic")
		}
	}
}
