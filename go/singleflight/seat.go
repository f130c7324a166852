package singleflight

import (
	"context"

	"docache/internal/park"
)

// seat is where a goroutine sits that waits for another's run. It is pooled.
//
// Invariant: the fields are guarded by the lock of the shard until the seat is told, which is once
// for each time it was added to a queue and not taken out by leave; then they are the goroutine's.
type seat[Key comparable, Res any] struct {
	ready      chan struct{} // tell sends
	run        *run[Key, Res]
	owner      uintptr // the goroutine
	prev, next *seat[Key, Res]
	leads      bool // it is told to go on with the run, not of an outcome
}

func newSeat[Key comparable, Res any]() *seat[Key, Res] {
	return &seat[Key, Res]{ready: make(chan struct{}, 1)}
}

// tell wakes the goroutine. It never blocks.
func (w *seat[Key, Res]) tell() { w.ready <- struct{}{} }

// wait returns true once the seat is told, false if ctx is done first. Either way it is then in no
// queue, and nobody tells it any more; but the lead may have come to it.
func (w *seat[Key, Res]) wait(ctx context.Context, s *shard[Key, Res]) bool {
	if ctx.Done() == nil {
		<-w.ready
		return true
	}
	return park.Wait(ctx, w.ready, func() bool { return s.leave(w) })
}

// queue holds those that wait for a run, in the order in which they came.
type queue[Key comparable, Res any] struct{ first, last *seat[Key, Res] }

func (q *queue[Key, Res]) add(w *seat[Key, Res]) {
	w.prev, w.next = q.last, nil
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
}

func (q *queue[Key, Res]) remove(w *seat[Key, Res]) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}
