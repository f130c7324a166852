package singleflight

import (
	"runtime"
	"sync"
	"testing"
)

// Waiting must not cost a thread per goroutine.
func TestManyWaitersFewThreads(t *testing.T) {
	const many = 20_000
	var groups KeyedGroups[string, int]
	g := newGate()
	var wg sync.WaitGroup
	call := func() {
		defer wg.Done()
		v, err := groups.Do("key", func() (int, error) {
			g.Pass()
			return 1, nil
		})
		if v != 1 || err != nil {
			t.Error(v, err)
		}
	}
	wg.Add(1)
	go call()
	within(t, g.Entered, "the run")
	for range many {
		wg.Add(1)
		go call()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == many })
	fewThreads(t, "waiting")
	close(g.Leave)
	wg.Wait()
	fewThreads(t, "told")
}

// Many runs that end at once, each with some who wait, crowd at the locks that they have in common.
func TestACrowdOfRunsFewThreads(t *testing.T) {
	const many, rounds = 20_000, 10
	var groups KeyedGroups[int, int]
	var wg sync.WaitGroup
	for i := range many {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for round := range rounds {
				v, err := groups.Do(i/8*7+round, func() (int, error) {
					runtime.Gosched()
					return 1, nil
				})
				if v != 1 || err != nil {
					t.Error(v, err)
				}
			}
		}()
	}
	wg.Wait()
	fewThreads(t, "afterwards")
}
