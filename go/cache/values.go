package cache

import (
	"runtime"
	"sync"
	"sync/atomic"

	"docache/internal/goroutine"
)

// values keeps the Go values of a [Cache] while the library keeps, in their place, tickets with the
// ids that they have here. Reading one takes no lock.
//
// Invariant: an id stands for its value from add until the library has dropped the ticket and
// somebody has noticed, in add or sweep. A reader that got an id from the library without holding a
// share of its value may come too late, and finds that out, since an id is used again only after
// four billion others.
type values struct {
	tickets tickets
	stripes [stripes]stripe
}

// stripe is a part of the values with a lock of its own. A goroutine mostly adds to the same, so
// that its cache lines stay with its processor.
//
// An id is, from the top: 32 bits that count, the place in the stripe, the stripe.
type stripe struct {
	chunks atomic.Pointer[[]*chunk] // only grows

	_ [cacheLine]byte // keeps readers out of what writers write

	mu      sync.Mutex // for what writes
	dropped dropped
	free    []uint32 // places
	used    uint32   // places that were in use at some time
	last    uint32   // how many ids were given

	_ [cacheLine]byte // keeps the next stripe out of the line
}

const (
	stripeBits = 4
	cacheLine  = 64
)

// chunk is a block of tickets, and the values that they stand for.
type chunk struct {
	tickets block
	values  [blockSize]atomic.Pointer[value]
}

type value struct {
	id uint64
	v  any
}

func newValues() *values {
	vs := &values{tickets: newTickets()}
	runtime.AddCleanup(vs, tickets.close, vs.tickets)
	for i := range vs.stripes {
		vs.stripes[i].chunks.Store(new([]*chunk))
		vs.stripes[i].dropped = vs.tickets.dropped(i)
	}
	return vs
}

func placeOf(id uint64) uint32 { return uint32(id) >> stripeBits }

// at is where the id's value is, in its stripe.
func (s *stripe) at(id uint64) (*chunk, uint32) {
	place := placeOf(id)
	return (*s.chunks.Load())[place/blockSize], place % blockSize
}

// get is false if the id's time is over.
func (vs *values) get(id uint64) (any, bool) {
	c, i := vs.stripes[id%stripes].at(id)
	p := c.values[i].Load()
	if p == nil || p.id != id {
		return nil, false
	}
	return p.v, true
}

// stripeOf spreads goroutines over the stripes.
func stripeOf(near uintptr) uint32 {
	const golden = 0x9e3779b97f4a7c15 // mixes all bits into the highest
	return uint32(uint64(near) * golden >> (64 - stripeBits))
}

// add gives v a ticket, which the library must be given and will drop.
func (vs *values) add(v any) ticket {
	p := &value{v: v}
	n := stripeOf(goroutine.Near())
	s := &vs.stripes[n]
	s.mu.Lock()
	place := s.take()
	if s.last++; s.last == 0 {
		s.last = 1
	}
	next := s.last % stripes
	p.id = uint64(s.last)<<32 | uint64(place<<stripeBits|n)
	c, i := s.at(p.id)
	t := c.tickets.at(i)
	t.begin(p.id)
	c.values[i].Store(p)
	s.mu.Unlock()
	// Nobody may ever add to the stripes of goroutines that are gone.
	vs.stripes[next].sweep()
	runtime.KeepAlive(vs) // and with it the tickets
	return t
}

// take gives a place, and lets go of what was dropped but for the value in it, which is about to be
// replaced.
func (s *stripe) take() uint32 {
	if t := s.dropped.take(); t.c != nil {
		place := placeOf(t.end())
		s.letGo(t.next())
		return place
	}
	if n := len(s.free); n > 0 {
		place := s.free[n-1]
		s.free = s.free[:n-1]
		return place
	}
	place := s.used
	s.used++
	if chunks := *s.chunks.Load(); int(place/blockSize) == len(chunks) {
		chunks = append(chunks, &chunk{tickets: s.dropped.newBlock()}) // who has the old slice does not look that far
		s.chunks.Store(&chunks)
	}
	return place
}

// letGo lets go of the values of tickets that the library has dropped.
func (s *stripe) letGo(t ticket) {
	for ; t.c != nil; t = t.next() {
		id := t.end()
		c, i := s.at(id)
		c.values[i].Store(nil)
		s.free = append(s.free, placeOf(id))
	}
}

// sweep lets go of what was dropped. It costs an atomic load if that is nothing.
func (s *stripe) sweep() {
	if s.dropped.any() {
		s.mu.Lock()
		s.letGo(s.dropped.take())
		s.mu.Unlock()
	}
}

// sweep does so everywhere.
func (vs *values) sweep() {
	for i := range vs.stripes {
		vs.stripes[i].sweep()
	}
	runtime.KeepAlive(vs)
}

// len is the number of values.
func (vs *values) len() (n int) {
	for i := range vs.stripes {
		s := &vs.stripes[i]
		s.mu.Lock()
		n += int(s.used) - len(s.free)
		s.mu.Unlock()
	}
	return n
}
