package singleflight

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestACallerLeavesWithItsContext(t *testing.T) {
	var group Group[int]
	g := newGate()
	stays := make(chan int, 2)
	call := func() {
		v, _ := group.Do(func() (int, error) {
			g.Pass()
			return 3, nil
		})
		stays <- v
	}
	go call()
	within(t, g.Entered, "the run")
	go call()
	tired := errors.New("tired")
	plain, cancel := context.WithCancel(context.Background())
	caused, cancelCause := context.WithCancelCause(context.Background())
	leaves := func(ctx context.Context, want error) <-chan struct{} {
		return async(func() {
			if v, err := group.DoCtx(ctx, func() (int, error) { return 9, nil }); v != 0 || err != want {
				t.Error(v, err)
			}
		})
	}
	a, b := leaves(plain, context.Canceled), leaves(caused, tired)
	eventually(t, "waiters", func() bool { return waiting(t) == 3 })
	cancel()
	cancelCause(tired)
	within(t, a, "the first that leaves")
	within(t, b, "the second that leaves")
	if !group.InFlight() {
		t.Error("the run did not go on")
	}
	close(g.Leave)
	if v, w := <-stays, <-stays; v != 3 || w != 3 {
		t.Error(v, w)
	}
}

func TestAContextThatIsDoneRunsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var groups KeyedGroups[string, int]
	_, err := groups.DoCtx(ctx, "key", func() (int, error) { t.Error("ran"); return 0, nil })
	if err != context.Canceled {
		t.Error(err)
	}
}

func TestTheLeadersContextDoesNotStopTheRun(t *testing.T) {
	var group Group[int]
	ctx, cancel := context.WithCancel(context.Background())
	v, err := group.DoCtx(ctx, func() (int, error) {
		cancel()
		return 4, nil
	})
	if v != 4 || err != nil {
		t.Error(v, err)
	}
}

func TestTheFirstCallersContextFailsNobodyElse(t *testing.T) {
	for _, failure := range []error{context.Canceled, errors.New("another")} {
		var group Group[int]
		g := newGate()
		ctx, cancel := context.WithCancel(context.Background())
		led := async(func() {
			v, err := group.DoCtx(ctx, func() (int, error) {
				g.Pass()
				return 1, failure
			})
			if v != 1 || err != failure {
				t.Error(v, err)
			}
		})
		within(t, g.Entered, "the run")
		results := make(chan int, 5)
		for i := range 5 {
			go func() {
				v, err := group.DoCtx(soon(t), func() (int, error) { return 10 + i, nil })
				if err != nil {
					t.Error(err)
				}
				results <- v
			}()
		}
		eventually(t, "waiters", func() bool { return waiting(t) == 5 })
		cancel()
		close(g.Leave)
		within(t, led, "the leader")
		first := <-results
		for range 4 {
			if v := <-results; v != first || v < 10 {
				t.Error(v)
			}
		}
		if group.InFlight() {
			t.Error("still in flight")
		}
	}
}

// With nobody there to lead next, the next call begins anew.
func TestALeaderAloneFailsWithItsContext(t *testing.T) {
	var group Group[int]
	ctx, cancel := context.WithCancel(context.Background())
	_, err := group.DoCtx(ctx, func() (int, error) {
		cancel()
		return 0, ctx.Err()
	})
	if err != context.Canceled || group.InFlight() {
		t.Error(err, group.InFlight())
	}
	if v, err := group.Do(func() (int, error) { return 2, nil }); v != 2 || err != nil {
		t.Error(v, err)
	}
}

// A lead that comes to a caller whose context is done goes on to the next, whichever of both the
// caller sees first.
func TestALeadThatComesTooLateIsHandedOn(t *testing.T) {
	c := newCore[string, int](false)
	hash := c.hash("key")
	s := c.shard(hash)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wrong := func() (int, error) { t.Error("ran"); return 0, nil }
	for range 50 { // select takes either
		r, _ := s.enter("key", hash, 1, &c.seats)
		_, late := s.enter("key", hash, 2, &c.seats)
		_, next := s.enter("key", hash, 3, &c.seats)
		s.handOn(r)
		if _, err, shared := c.finish(ctx, s, r, late, wrong, nil); err != context.Canceled || shared {
			t.Fatal(err, shared)
		}
		within(t, next.ready, "the lead")
		if !next.leads || c.inFlight() != 1 {
			t.Fatal(next.leads, c.inFlight())
		}
		c.put(next)
		s.handOn(r)
	}
	if n := c.inFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

// Contexts end while runs land. Everybody gets an outcome or its own context's error, and no
// notification is lost or reaches a later call.
func TestLeavingRacesWithLanding(t *testing.T) {
	var groups KeyedGroups[string, int]
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 2000 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				v, err := groups.DoCtx(ctx, "key", func() (int, error) { return 1, nil })
				if v != 1 && (v != 0 || err != context.Canceled) {
					t.Error(v, err)
				}
			}
		}()
	}
	wg.Wait()
	if n := groups.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}
