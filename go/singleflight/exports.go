package singleflight

/*
#include "docache.h"
*/
import "C"

import "docache/internal/registry"

// The functions that the library calls, by way of bridge.c. No code of the user's runs in them.

// party is what the library knows of a seat.
type party interface {
	// notify tells the goroutine in the seat to look at its call. It never blocks.
	notify()
}

// parties holds the seats, in use or pooled, by the id that the library calls them by.
var parties registry.Registry[party]

//export docacheFlightNotify
func docacheFlightNotify(id C.uintptr_t) {
	if p, ok := parties.Get(uintptr(id)); ok {
		p.notify()
	}
}

//export docacheFlightDrop
func docacheFlightDrop(id C.uintptr_t) {
	parties.Take(uintptr(id))
}
