package echocache_test

import (
	"testing"
	"time"

	"docache/echocache"
	"docache/echocache/memory"
)

// Fetches of what is there, in memory, on a goroutine for each processor. Run them with
//
//	go test -run '^$' -bench . -cpu 1,2 ./echocache

func BenchmarkFetchWithCacheHit(b *testing.B) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](1000))
	seven := always(7)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if v, _, err := c.FetchWithCache(background, "key", seven); v != 7 || err != nil {
				b.Error(v, err)
				return
			}
		}
	})
}

func BenchmarkFetchWithLazyRefreshHit(b *testing.B) {
	c := echocache.NewLazyEchoCache(memory.NewStaleWhileRevalidateLRUCache[int](1000), time.Second)
	seven := always(7)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if v, _, err := c.FetchWithLazyRefresh(background, "key", seven, time.Hour); v != 7 || err != nil {
				b.Error(v, err)
				return
			}
		}
	})
}
