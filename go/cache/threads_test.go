package cache

import (
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// Waiting must not cost a thread per goroutine.
func TestManyWaitersFewThreads(t *testing.T) {
	const many = 20_000
	c := newCache(t, manual())
	g := newGate()
	var wg sync.WaitGroup
	call := func() {
		defer wg.Done()
		v, err := c.Fetch("key", func(string) (any, error) {
			g.Pass()
			return 1, nil
		})
		if v != 1 || err != nil {
			t.Error(v, err)
		}
	}
	wg.Add(1)
	go call()
	within(t, g.Entered, "the load")
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

// Many who load, write and delete at once crowd at the locks that they have in common.
func TestACrowdOfWritersFewThreads(t *testing.T) {
	const many, rounds = 20_000, 5
	c := newCache(t, manual())
	var wg sync.WaitGroup
	for i := range many {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for round := range rounds {
				key := strconv.Itoa(i/8*7 + round)
				v, err := c.Fetch(key, func(string) (any, error) {
					runtime.Gosched()
					return 1, nil
				})
				if v != 1 || err != nil {
					t.Error(v, err)
				}
				c.Set(key, 1)
			}
		}()
	}
	wg.Wait()
	fewThreads(t, "afterwards")
}
