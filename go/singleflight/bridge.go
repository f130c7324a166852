package singleflight

/*
#cgo noescape docache_flight_begin
#cgo nocallback docache_flight_begin
#cgo noescape docache_group_forget
#cgo nocallback docache_group_forget
#cgo nocallback docache_group_in_flight
#cgo nocallback docache_call_cancel
#cgo nocallback docache_flight_ticket_new
#cgo nocallback docache_flight_release
#cgo nocallback docache_flight_free
#cgo nocallback docache_flight_poll
#cgo nocallback docache_flight_land
#cgo nocallback docache_flight_leave
#include "bridge.h"
*/
import "C"

import (
	"runtime"
	"unsafe"

	"docache"
	"docache/internal/clib"
	"docache/internal/registry"
)

// This file holds every call into the library, so that the rest of the package is plain Go.
//
// The library never calls into Go: bridge.c puts down what it calls back for, and a call returns
// that as a report. A goroutine that waits inside a callback would keep its thread, so with
// callbacks a crowd at the lock of the parties, or at the processors, would cost a thread for each
// of them.

// party is what the reports know of a seat.
type party interface {
	// notify tells the goroutine in the seat to look at its call. It never blocks.
	notify()
}

// parties holds the seats, in use or pooled, by the id in their tickets.
var parties registry.Registry[party]

// deliver tells those whom a report names.
func deliver(r C.docache_flight_report) {
	for t := r.told; t != nil; {
		id, next := t.id, t.next // once told, a seat may put its ticket into another report
		if p, ok := parties.Get(uintptr(id)); ok {
			p.notify()
		}
		t = next
	}
	if r.dropped == nil {
		return
	}
	for t := r.dropped; t != nil; t = t.next {
		parties.Take(uintptr(t.id))
	}
	C.docache_flight_free(r.dropped)
}

// group owns a docache_group, which is freed once the group is unreachable. The calls that are out
// then stay valid.
type group struct{ c *C.docache_group }

// newGroup makes a group whose flights are spread over that many locks; 0 is as many as suit many
// keys.
func newGroup(shards int) *group {
	if v, ok := clib.ABI(); !ok {
		panic(&docache.ArgumentError{Name: "library", Value: v, Accepted: clib.Accepted})
	}
	g := new(group)
	options := C.docache_group_options{shards: C.size_t(shards)}
	options.size = C.size_t(unsafe.Sizeof(options))
	if status := C.docache_group_new(&options, &g.c, nil); status != C.DOCACHE_OK {
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

// call is one caller's part in a flight. It must be ended, with land if it leads, with leave
// otherwise.
type call struct{ c *C.docache_call }

// begin leads, or joins for the party of that ticket. key leads to n bytes, which the library
// copies.
func (g *group) begin(key unsafe.Pointer, n int, owner uintptr, t ticket) (call, standing) {
	begun := C.docache_flight_begin(g.c, (*C.uint8_t)(key), C.size_t(n), C.uint64_t(owner), t.c)
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

// cancel takes back what a call that waits asked for. If it returns false, notify has been called
// or is about to be.
func (k call) cancel() bool { return C.docache_call_cancel(k.c) == C.DOCACHE_OK }

// poll tells where a call that joined stands, once it is ready: the lead was handed to it, or it
// was told. The outcome is then in the ticket's seat, and stays there until the share is given to
// leave.
func (k call) poll() (s standing, share ticket) {
	polled := C.docache_flight_poll(k.c)
	switch polled.status {
	case C.DOCACHE_OK:
		return told, ticket{polled.ticket}
	case C.DOCACHE_LEADER:
		return leads, ticket{}
	}
	panic(unexpected("an outcome", polled.status))
}

// land ends the flight that the call leads, with the outcome in the seat of the ticket, and the
// call. It tells whether others got the outcome too.
func (k call) land(t ticket) (shared bool) {
	landed := C.docache_flight_land(k.c, t.c)
	if landed.status != C.DOCACHE_OK {
		panic(unexpected("a landing", landed.status))
	}
	deliver(landed.report)
	return landed.shared != 0
}

// leave ends the call; if it waits, or was to lead, nobody notices but the one that leads next.
func (k call) leave(share ticket) { deliver(C.docache_flight_leave(k.c, share.c)) }

// ticket is a share of what stands for a seat in the library.
type ticket struct{ c *C.docache_flight_ticket }

// newTicket is for the party of that id, which leaves the registry when nobody has a share any
// more.
func newTicket(id uintptr) ticket {
	t := ticket{C.docache_flight_ticket_new(C.uintptr_t(id))}
	if t.c == nil {
		parties.Take(id)
		panic(unexpected("a ticket", C.DOCACHE_INTERNAL))
	}
	return t
}

// id names the party whose ticket it is.
func (t ticket) id() uintptr { return uintptr(t.c.id) }

func (t ticket) release() { deliver(C.docache_flight_release(t.c)) }

// unexpected is what the library says if it is out of memory, or was used as this package never
// does.
func unexpected(what string, status C.docache_status) error {
	return &docache.LibraryError{Status: int(status), Message: "it did not give " + what}
}
