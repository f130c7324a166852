package echocache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"docache/echocache"
	"docache/echocache/memory"
)

func Example() {
	ctx := context.Background()
	prices := echocache.NewLazyEchoCache(memory.NewStaleWhileRevalidateLRUCache[int](1000), time.Second)
	n := 0
	price := func(context.Context) (int, error) { n++; return 100 + n, nil }
	for range 3 { // the first fetch computes; all that follow return a value at once
		v, _, err := prices.FetchWithLazyRefresh(ctx, "tea", price, time.Minute)
		fmt.Println(v, err)
	}
	// Output:
	// 101 <nil>
	// 101 <nil>
	// 101 <nil>
}

func ExampleEchoCache() {
	ctx := context.Background()
	users := echocache.NewEchoCache(memory.NewLRUExpirableCache[string](1000, time.Minute))
	load := func(context.Context) (string, error) {
		fmt.Println("loading")
		return "Ada", nil
	}
	for range 2 {
		name, ok, err := users.FetchWithCache(ctx, "1815", load)
		fmt.Println(name, ok, err)
	}
	// Output:
	// loading
	// Ada true <nil>
	// Ada true <nil>
}

func ExampleEchoCacheLazy() {
	ctx := context.Background()
	store := memory.NewStaleWhileRevalidateLRUCache[int](1000)
	visits := echocache.NewLazyEchoCache(store, time.Second)
	n := 0
	count := func(context.Context) (int, error) { n++; return n, nil }
	first, _, _ := visits.FetchWithLazyRefresh(ctx, "today", count, time.Millisecond)
	time.Sleep(5 * time.Millisecond)
	stale, _, _ := visits.FetchWithLazyRefresh(ctx, "today", count, time.Millisecond)
	_, err := visits.Shutdown(ctx) // lets the refresh end
	last, _, _ := visits.FetchWithLazyRefresh(ctx, "today", count, time.Millisecond)
	fmt.Println(first, stale, last, err)
	// Output: 1 1 2 <nil>
}

func ExampleEchoCacheLazy_ShutdownLazyRefresh() {
	visits := echocache.NewLazyEchoCache(memory.NewStaleWhileRevalidateSingleCache[int](time.Hour), time.Second)
	defer visits.ShutdownLazyRefresh() // cancels the refresh that runs, and waits for it
	fmt.Println(visits.Stats().Refreshes)
	// Output: 0
}

func ExampleShutdownReport() {
	visits := echocache.NewLazyEchoCache(memory.NewStaleWhileRevalidateLRUCache[int](10), time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	report, err := visits.Shutdown(ctx)
	fmt.Println(report.Drained, report.Dropped, report.Running, err)
	// Output: 0 [] [] <nil>
}

func ExampleLazyEchoCacheOption() {
	options := []echocache.LazyEchoCacheOption{
		echocache.WithQueueSize(100),
		echocache.WithWorkerCount(4),
	}
	store := memory.NewStaleWhileRevalidateLRUCache[string](1000)
	pages := echocache.NewLazyEchoCache(store, time.Second, options...)
	page, _, err := pages.FetchWithLazyRefresh(context.Background(), "/",
		func(context.Context) (string, error) { return "welcome", nil }, echocache.NeverExpire)
	fmt.Println(page, err)
	// Output: welcome <nil>
}

// table is a store of one's own.
type table[T any] struct {
	mu   sync.Mutex
	rows map[string]T
}

func (s *table[T]) Get(_ context.Context, key string) (value T, exists bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, exists = s.rows[key]
	return value, exists, nil
}

func (s *table[T]) Set(_ context.Context, key string, value T) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		return errors.New("the table is not open")
	}
	s.rows[key] = value
	return nil
}

func ExampleCacher() {
	var own echocache.Cacher[int] = &table[int]{rows: map[string]int{"there": 7}}
	c := echocache.NewEchoCache(own)
	v, _, err := c.FetchWithCache(context.Background(), "there", nil)
	fmt.Println(v, err)
	// Output: 7 <nil>
}

// lockless is a store of one's own for one process, which needs no locks.
type lockless[T any] struct {
	table[echocache.StaleValue[T]]
}

func (*lockless[T]) TryAcquireRefreshLock(context.Context, string, string, time.Duration) (bool, error) {
	return true, nil
}

func (*lockless[T]) ReleaseRefreshLock(context.Context, string, string) error { return nil }

func ExampleStaleWhileRevalidateCache() {
	own := new(lockless[int])
	own.rows = map[string]echocache.StaleValue[int]{}
	c := echocache.NewLazyEchoCache[int](own, time.Second)
	var seven echocache.RefreshFunc[int] = func(context.Context) (int, error) { return 7, nil }
	v, _, err := c.FetchWithLazyRefresh(context.Background(), "k", seven, time.Minute)
	fmt.Println(v, err)
	// Output: 7 <nil>
}

func ExampleStaleValue() {
	own := new(lockless[string])
	yesterday := time.Now().AddDate(0, 0, -1)
	own.rows = map[string]echocache.StaleValue[string]{"k": {Value: "old", CreatedAt: yesterday}}
	c := echocache.NewLazyEchoCache[string](own, time.Second)
	fresh := func(context.Context) (string, error) { return "new", nil }
	v, _, err := c.FetchWithLazyRefresh(context.Background(), "k", fresh, time.Hour)
	fmt.Println(v, err, c.Stats().StaleHits)
	// Output: old <nil> 1
}

func ExampleWarning() {
	c := echocache.NewEchoCache[int](new(table[int])) // which cannot write
	c.OnWarning(func(w echocache.Warning) { fmt.Println(w) })
	v, ok, err := c.FetchWithCache(context.Background(), "k", func(context.Context) (int, error) { return 7, nil })
	fmt.Println(v, ok, err, c.Stats().StoreFailures)
	// Output:
	// echocache: set "k": the table is not open
	// 7 true <nil> 1
}

func ExampleOp() {
	fmt.Println(echocache.OpGet, echocache.OpSet, echocache.OpLock, echocache.OpUnlock, echocache.OpRefresh)
	// Output: get set lock unlock refresh
}

func ExampleStats() {
	c := echocache.NewEchoCache(memory.NewSingleCache[int](time.Hour))
	for range 3 {
		_, _, _ = c.FetchWithCache(context.Background(), "k", func(context.Context) (int, error) { return 7, nil })
	}
	s := c.Stats()
	fmt.Println(s.Loads, s.Hits)
	// Output: 1 2
}

func ExampleWithin() {
	own := &table[int]{rows: map[string]int{}}
	own.mu.Lock() // it hangs
	c := echocache.NewEchoCache(echocache.Within[int](own, time.Millisecond))
	v, ok, err := c.FetchWithCache(context.Background(), "k", func(context.Context) (int, error) { return 7, nil })
	fmt.Println(v, ok, err, c.Stats().StoreFailures)
	// Output: 7 true <nil> 2
}
