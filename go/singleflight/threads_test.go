package singleflight

import (
	"runtime/pprof"
	"sync"
	"testing"
)

// Waiting must not cost a thread per goroutine.
func TestManyWaitersFewThreads(t *testing.T) {
	const many, limit = 20_000, 100
	var groups KeyedGroups[string, int]
	g := newGate()
	var wg sync.WaitGroup
	call := func() {
		defer wg.Done()
		v, err := groups.Do("key", func() (int, error) {
			g.pass()
			return 1, nil
		})
		if v != 1 || err != nil {
			t.Error(v, err)
		}
	}
	wg.Add(1)
	go call()
	within(t, g.entered, "the run")
	for range many {
		wg.Add(1)
		go call()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == many })
	few := func(when string) {
		if now, ever := threads(), pprof.Lookup("threadcreate").Count(); now >= limit || ever >= limit {
			t.Errorf("%s: %d threads, %d since the start", when, now, ever)
		}
	}
	few("waiting")
	close(g.leave)
	wg.Wait()
	few("told")
}
