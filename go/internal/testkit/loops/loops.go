// Package loops runs loop caches beside tests, as programs and test suites do that leave theirs
// running.
package loops

import (
	"context"
	"time"

	"docache"
)

// Run starts n loops that run their Doers every millisecond or two, and returns once each has a
// result. They go on until stop is called, if ever.
func Run(n int) (stop func()) {
	caches := make([]docache.Cache[int], n)
	for i := range caches {
		calls := 0
		caches[i] = docache.NewCache(context.Background(), time.Duration(1+i%2)*time.Millisecond, i%5, nil,
			docache.DoerFunc[int](func() (int, error) { calls++; return calls, nil }))
		go caches[i].Loop()
	}
	for _, c := range caches {
		for c.Latest().Timestamp.IsZero() {
			time.Sleep(time.Millisecond)
		}
	}
	return func() {
		for _, c := range caches {
			c.Stop()
		}
	}
}
