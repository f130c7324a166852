package cache

import (
	"sync"
	"sync/atomic"
)

// values keeps the Go values of a [Cache] while the library keeps, in their place, the ids that
// they have here. Reading one takes no lock.
//
// Invariant: an id stands for its value from add until it is removed, which is when the library has
// dropped it. A reader that got an id from the library without holding a share of its value may
// come too late, and notices, since an id is used again only after four billion others.
type values struct {
	chunks atomic.Pointer[[]*chunk] // only grows

	mu   sync.Mutex // for what writes
	free []uint32   // places
	used uint32     // places that were in use at some time
	last uint32     // how many ids were given
}

const chunkBits = 9

type chunk [1 << chunkBits]atomic.Pointer[value]

type value struct {
	id uint64
	v  any
}

func newValues() *values {
	vs := new(values)
	vs.chunks.Store(new([]*chunk))
	return vs
}

func (vs *values) at(id uint64) *atomic.Pointer[value] {
	place := uint32(id)
	return &(*vs.chunks.Load())[place>>chunkBits][place&(1<<chunkBits-1)]
}

// get is false if the id's time is over.
func (vs *values) get(id uint64) (any, bool) {
	p := vs.at(id).Load()
	if p == nil || p.id != id {
		return nil, false
	}
	return p.v, true
}

// add gives v an id, which is not 0.
func (vs *values) add(v any) uint64 {
	p := &value{v: v}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	var place uint32
	if n := len(vs.free); n > 0 {
		place = vs.free[n-1]
		vs.free = vs.free[:n-1]
	} else {
		place = vs.used
		vs.used++
		if chunks := *vs.chunks.Load(); int(place>>chunkBits) == len(chunks) {
			chunks = append(chunks, new(chunk)) // who has the old slice does not look that far
			vs.chunks.Store(&chunks)
		}
	}
	if vs.last++; vs.last == 0 {
		vs.last = 1
	}
	p.id = uint64(vs.last)<<32 | uint64(place)
	vs.at(p.id).Store(p)
	return p.id
}

func (vs *values) remove(ids []uint64) {
	if len(ids) == 0 {
		return
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, id := range ids {
		vs.at(id).Store(nil)
		vs.free = append(vs.free, uint32(id))
	}
}

// len is the number of values.
func (vs *values) len() int {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return int(vs.used) - len(vs.free)
}
