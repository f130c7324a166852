package singleflight

/*
#cgo noescape docache_flight_begin
#cgo nocallback docache_flight_begin
#cgo noescape docache_group_forget
#cgo nocallback docache_group_forget
#cgo nocallback docache_group_in_flight
#cgo nocallback docache_call_cancel
#include "bridge.h"
*/
import "C"

import (
	"runtime"
	"unsafe"

	"docache"
)

// This file holds every call into the library, so that the rest of the package is plain Go.
//
// Only calls that can neither notify nor let go of an outcome are marked nocallback: both call back.

// group owns a docache_group, which is freed once the group is unreachable. The calls that are out then stay valid.
type group struct{ c *C.docache_group }

func newGroup() *group {
	if v := uint32(C.docache_abi_version()); v != C.DOCACHE_ABI_VERSION {
		panic(&docache.ArgumentError{
			Name: "library", Value: v, Accepted: "link the one whose docache_abi_version is the header's",
		})
	}
	g := new(group)
	if status := C.docache_group_new(nil, &g.c, nil); status != C.DOCACHE_OK {
		panic(unexpected("a group", status))
	}
	runtime.AddCleanup(g, func(c *C.docache_group) { C.docache_group_free(c) }, g.c)
	return g
}

// standing is where a call stands.
type standing int

const (
	leads     standing = iota // this caller is to run the work, and to land the call
	waits                     // another does; the party will be notified once
	ready                     // another did, and poll has something to say
	told                      // there is an outcome
	reentrant                 // the caller itself leads what it would wait for; there is no call
)

// call is one caller's part in a flight. It must be ended, with land if it leads, with leave otherwise.
type call struct{ c *C.docache_call }

// begin leads, or joins for the party of that id. key leads to n bytes, which the library copies.
func (g *group) begin(key unsafe.Pointer, n int, owner, id uintptr) (call, standing) {
	begun := C.docache_flight_begin(g.c, (*C.uint8_t)(key), C.size_t(n), C.uint64_t(owner), C.uintptr_t(id))
	runtime.KeepAlive(g)
	switch begun.status {
	case C.DOCACHE_LEADER:
		return call{begun.call}, leads
	case C.DOCACHE_PENDING:
		return call{begun.call}, waits
	case C.DOCACHE_OK:
		return call{begun.call}, ready
	case C.DOCACHE_REENTRANT:
		return call{}, reentrant
	}
	panic(unexpected("a call", begun.status))
}

// forget lets later calls begin a new flight, and tells whether there was one.
func (g *group) forget(key unsafe.Pointer, n int) bool {
	status := C.docache_group_forget(g.c, (*C.uint8_t)(key), C.size_t(n), nil)
	runtime.KeepAlive(g)
	return status == C.DOCACHE_OK
}

func (g *group) inFlight() int {
	defer runtime.KeepAlive(g)
	return int(C.docache_group_in_flight(g.c))
}

// cancel takes back what a call that waits asked for. If it returns false, notify has been called or is being called.
func (k call) cancel() bool { return C.docache_call_cancel(k.c) == C.DOCACHE_OK }

// poll tells where a call that joined stands, once it is ready: the lead was handed to it, or it was told. The outcome is
// then in the seat of that id, and stays there until the share is given to leave.
func (k call) poll() (s standing, id uintptr, share ticket) {
	polled := C.docache_flight_poll(k.c)
	switch polled.status {
	case C.DOCACHE_OK:
		return told, uintptr(polled.id), ticket{polled.value}
	case C.DOCACHE_LEADER:
		return leads, 0, ticket{}
	}
	panic(unexpected("an outcome", polled.status))
}

// land ends the flight that the call leads, with the outcome in the seat of the ticket, and the call. It tells whether
// others got the outcome too.
func (k call) land(t ticket) (shared bool) {
	landed := C.docache_flight_land(k.c, t.c)
	if landed.status != C.DOCACHE_OK {
		panic(unexpected("a landing", landed.status))
	}
	return landed.shared != 0
}

// leave ends the call; if it waits, or was to lead, nobody notices but the one that leads next.
func (k call) leave(share ticket) { C.docache_flight_leave(k.c, share.c) }

// ticket is a share of the value that stands for the outcome in a seat.
type ticket struct{ c *C.docache_value }

// newTicket is for the party of that id, which leaves the registry when nobody has a share any more.
func newTicket(id uintptr) ticket {
	t := ticket{C.docache_flight_value(C.uintptr_t(id))}
	if t.c == nil {
		panic(unexpected("a value", C.DOCACHE_INTERNAL))
	}
	return t
}

func (t ticket) release() { C.docache_value_release(t.c) }

// unexpected is what the library says if it is out of memory, or was used as this package never does.
func unexpected(what string, status C.docache_status) error {
	return &docache.LibraryError{Status: int(status), Message: "it did not give " + what}
}
