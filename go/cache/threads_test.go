package cache

import (
	"runtime"
	"strconv"
	"sync"
	"testing"

	"docache/internal/testkit"
)

func TestManyWaitersFewThreads(t *testing.T) {
	c := newCache(t, manual())
	testkit.ManyWaitersFewThreads(t, waiting, func(work func() (int, error)) (any, error) {
		return c.Fetch("key", func(string) (any, error) { return work() })
	})
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
