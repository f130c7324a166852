package cache

/*
#cgo nocallback docache_go_tickets_init
#cgo nocallback docache_go_tickets_add_block
#cgo nocallback docache_go_tickets_close
#include "tickets.h"
#include <stdlib.h>
*/
import "C"

import (
	"sync/atomic"
)

// This file is what Go does with the memory of tickets.h.

const (
	stripes   = C.DOCACHE_GO_STRIPES
	blockSize = C.DOCACHE_GO_BLOCK
)

// tickets are those of a cache. They are freed once they are closed and the library has dropped
// all.
type tickets struct{ c *C.docache_go_tickets }

func newTickets() tickets {
	c := (*C.docache_go_tickets)(C.malloc(C.sizeof_docache_go_tickets)) // which does not return NULL in Go
	C.docache_go_tickets_init(c)
	return tickets{c}
}

func (t tickets) close() { C.docache_go_tickets_close(t.c) }

func (t tickets) dropped(stripe int) dropped { return dropped{&t.c.stripes[stripe]} }

// dropped is the list of the tickets of a stripe that the library has dropped.
type dropped struct{ c *C.docache_go_stripe }

// any may be called without a lock.
func (d dropped) any() bool { return atomic.LoadPointer(&d.c.dropped) != nil }

// take empties the list.
func (d dropped) take() ticket {
	if !d.any() {
		return ticket{}
	}
	return ticket{(*C.docache_go_ticket)(atomic.SwapPointer(&d.c.dropped, nil))}
}

func (d dropped) newBlock() block {
	c := (*C.docache_go_block)(C.malloc(C.sizeof_docache_go_block)) // which does not return NULL in Go
	C.docache_go_tickets_add_block(d.c, c)
	return block{c}
}

type block struct{ c *C.docache_go_block }

func (b block) at(i uint32) ticket { return ticket{&b.c.tickets[i]} }

// ticket is one of them.
type ticket struct{ c *C.docache_go_ticket }

// begin is for a ticket that is to go out. Both this and end need the lock of its stripe.
func (t ticket) begin(id uint64) {
	t.c.id = C.uint64_t(id)
	t.c.stripe.live++
}

// end is for a ticket that is back, and returns its id.
func (t ticket) end() uint64 {
	t.c.stripe.live--
	return uint64(t.c.id)
}

// next is the one that follows in a list.
func (t ticket) next() ticket { return ticket{t.c.next} }
