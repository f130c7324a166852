package cache

import (
	"context"
	"runtime"
	"sync"

	"docache/internal/park"
	"docache/internal/registry"
)

// place is where a goroutine sits that waits for another's load: the half of a seat that the
// registry knows, by an id.
//
// Invariant: failure is written only by the goroutine whose load the place waits for, before it
// sends to ready.
type place struct {
	ready   chan struct{} // notify sends, once for each call that waits
	failure error
}

// notify tells the goroutine in the seat to look at its call, and what there is to see if that is a
// failure. It never blocks.
func (p *place) notify(failure error) {
	p.failure = failure
	p.ready <- struct{}{}
}

// places holds the seats, in use or pooled.
var places registry.Registry[*place]

// seat is the half that the goroutine knows. Nobody else has a part in it once its call is over, so
// that it is pooled then; the collector empties the pool.
type seat struct {
	*place
	token token
}

var seats = sync.Pool{New: func() any {
	s := &seat{place: &place{ready: make(chan struct{}, 1)}}
	id := places.Add(s.place)
	s.token = newToken(id)
	runtime.AddCleanup(s, func(t token) {
		places.Take(t.id())
		t.free()
	}, s.token)
	return s
}}

func takeSeat() *seat { return seats.Get().(*seat) }

func (s *seat) put() {
	s.failure = nil
	seats.Put(s)
}

// wait returns true once the call is ready, false if ctx is done first. Either way nobody sends to
// s.ready any more.
func (s *seat) wait(ctx context.Context, k call) bool {
	return park.Wait(ctx, s.ready, k.cancel)
}
