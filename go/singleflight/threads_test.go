package singleflight

import (
	"runtime"
	"sync"
	"testing"

	"docache/internal/testkit"
)

func TestManyWaitersFewThreads(t *testing.T) {
	var groups KeyedGroups[string, int]
	testkit.ManyWaitersFewThreads(t, waiting, func(work func() (int, error)) (any, error) {
		return groups.Do("key", work)
	})
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
