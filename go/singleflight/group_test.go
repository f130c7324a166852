package singleflight

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

type result struct {
	v      *int
	err    error
	shared bool
}

func TestCallersShareOneRun(t *testing.T) {
	var groups KeyedGroups[string, *int]
	g, failure, runs := newGate(), errors.New("half of it"), 0
	work := func() (*int, error) {
		runs++
		g.Pass()
		return new(int), failure
	}
	const many = 50
	results := make(chan result, many+1)
	call := func() {
		v, err, shared := groups.DoShared("key", work)
		results <- result{v, err, shared}
	}
	go call()
	within(t, g.Entered, "the run")
	for range many {
		go call()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == many })
	close(g.Leave)
	first := <-results
	for range many {
		if r := <-results; r != first || r.v == nil || r.err != failure || !r.shared {
			t.Errorf("%v, not %v", r, first)
		}
	}
	if runs != 1 {
		t.Errorf("%d runs", runs)
	}
}

func TestACallAloneSharesNothing(t *testing.T) {
	var group Group[int]
	for i := range 3 {
		if v, err, shared := group.DoShared(func() (int, error) { return i, nil }); v != i || err != nil || shared {
			t.Error(v, err, shared)
		}
	}
	if v, err := group.Do(func() (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Error(v, err)
	}
}

func TestKeysDoNotMeet(t *testing.T) {
	var groups, others KeyedGroups[string, string]
	v, err := groups.Do("a", func() (string, error) {
		b, _ := groups.Do("b", func() (string, error) { return "b", nil })
		empty, _ := groups.Do("", func() (string, error) { return "empty", nil })
		other, err := others.Do("a", func() (string, error) { return "other", nil })
		return "a " + b + " " + empty + " " + other, err
	})
	if v != "a b empty other" || err != nil {
		t.Error(v, err)
	}
}

func TestForgetDetachesLaterCallersOnly(t *testing.T) {
	var group Group[int]
	if group.Forget() || group.InFlight() {
		t.Error("something to forget before the first call")
	}
	g := newGate()
	results := make(chan int, 2)
	call := func() {
		v, _ := group.Do(func() (int, error) {
			g.Pass()
			return 1, nil
		})
		results <- v
	}
	go call()
	within(t, g.Entered, "the run")
	go call()
	eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
	if !group.InFlight() || !group.Forget() || group.Forget() || group.InFlight() {
		t.Error("Forget")
	}
	if v, err := group.Do(func() (int, error) { return 2, nil }); v != 2 || err != nil {
		t.Error(v, err)
	}
	close(g.Leave)
	if a, b := <-results, <-results; a != 1 || b != 1 {
		t.Errorf("the forgotten run's callers got %d and %d", a, b)
	}
}

func TestInFlightCountsRuns(t *testing.T) {
	var groups KeyedGroups[int, int]
	if n := groups.InFlight(); n != 0 {
		t.Error(n)
	}
	n, err := groups.Do(1, func() (int, error) {
		return groups.Do(2, func() (int, error) { return groups.InFlight(), nil })
	})
	if n != 2 || err != nil || groups.InFlight() != 0 || groups.Forget(1) {
		t.Error(n, err, groups.InFlight())
	}
}

func TestReentryIsRefused(t *testing.T) {
	var groups KeyedGroups[string, int]
	wrong := func() (int, error) { t.Error("ran"); return 0, nil }
	v, err := groups.Do("a", func() (int, error) {
		_, direct := groups.Do("a", wrong)
		_, nested := groups.Do("b", func() (int, error) { return groups.DoCtx(soon(t), "a", wrong) })
		if direct != ErrReentrant || nested != ErrReentrant {
			t.Error(direct, nested)
		}
		// Once it is forgotten, the run is not what a call would wait for.
		groups.Forget("a")
		return groups.Do("a", func() (int, error) { return 5, nil })
	})
	if v != 5 || err != nil {
		t.Error(v, err)
	}
}

// A goroutine that leads a forgotten run of the key waits for another's run of it like anyone else.
func TestTheLeaderOfAForgottenRunMayWait(t *testing.T) {
	var group Group[int]
	g := newGate()
	var other <-chan struct{}
	v, err := group.Do(func() (int, error) {
		group.Forget()
		other = async(func() {
			group.Do(func() (int, error) {
				g.Pass()
				return 2, nil
			})
		})
		within(t, g.Entered, "the other's run")
		async(func() {
			eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
			close(g.Leave)
		})
		return group.Do(func() (int, error) { return 1, nil })
	})
	if v != 2 || err != nil {
		t.Error(v, err)
	}
	within(t, other, "the other")
}

func TestTheLeadCanBeHandedOn(t *testing.T) {
	var groups KeyedGroups[string, int]
	c := groups.ready()
	hash := c.hash("key")
	s := c.shard(hash)
	r, waits := s.enter("key", hash, 0, &c.seats)
	if r == nil || waits != nil {
		t.Fatal("it does not lead")
	}
	results := make(chan int, 3)
	var runs atomic.Int32
	for range 3 {
		go func() {
			v, _ := groups.Do("key", func() (int, error) { return int(runs.Add(1)), nil })
			results <- v
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == 3 })
	s.handOn(r)
	for range 3 {
		if v := <-results; v != 1 {
			t.Errorf("run %d", v)
		}
	}
}

func TestRunsOfAKeyNeverOverlap(t *testing.T) {
	const keys, goroutines, calls = 3, 8, 3000
	var groups KeyedGroups[uint8, uint64]
	var running [keys]atomic.Int32
	var began, ended [keys]uint64 // no lock: that is what the race detector looks at
	var wg sync.WaitGroup
	for range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range calls {
				key := uint8(rand.IntN(keys))
				v, err := groups.Do(key, func() (uint64, error) {
					if running[key].Add(1) != 1 {
						t.Error("two at once")
					}
					began[key]++
					n := began[key]
					ended[key]++
					running[key].Add(-1)
					return n, nil
				})
				if err != nil || v == 0 {
					t.Error(v, err)
				}
			}
		}()
	}
	wg.Wait()
	var runs uint64
	for key := range keys {
		runs += ended[key]
		if began[key] != ended[key] {
			t.Errorf("key %d: %d of %d", key, ended[key], began[key])
		}
	}
	if runs == 0 || runs > goroutines*calls {
		t.Errorf("%d runs", runs)
	}
}
