package docache

import (
	"context"
	"sync"
	"testing"
	"time"

	"docache/internal/clib"
	"docache/internal/testkit"
)

// In BenchmarkLatest each operation is one read of the newest value, beside what one would do
// without this package, and beside a bare call into C. Run it with
//
//	go test -run '^$' -bench . -cpu 1,2
//
// ns/op is the time over all goroutines together: with -cpu 2, one goroutine's read takes twice the
// figure printed.

// guarded is the same cache as one would write it by hand, with a lock around the newest result.
type guarded[T any] struct {
	mu     sync.RWMutex
	latest Data[T]
}

func (g *guarded[T]) Latest() Data[T] {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.latest
}

// The loops are written out: a function that they share would cost more than what it calls.
func BenchmarkLatest(b *testing.B) {
	b.Run("docache", func(b *testing.B) {
		c := started(b, counting(), WithCapacity(16))
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			sum := 0
			for pb.Next() {
				sum += c.Latest().Value
			}
			testkit.Keep(sum)
		})
	})
	// The same through a Cache whose type the compiler does not see: an indirect call, and the
	// result on the stack.
	b.Run("docache_interface", func(b *testing.B) {
		c := hide(started(b, counting(), WithCapacity(16)))
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			sum := 0
			for pb.Next() {
				sum += c.Latest().Value
			}
			testkit.Keep(sum)
		})
	})
	b.Run("rwmutex", func(b *testing.B) {
		g := &guarded[int]{latest: Data[int]{Value: 1, Timestamp: time.Now()}}
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			sum := 0
			for pb.Next() {
				sum += g.Latest().Value
			}
			testkit.Keep(sum)
		})
	})
	b.Run("cgo_call", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				clib.ABI()
			}
		})
	})
}

//go:noinline
func hide(c *LoopCache[int]) Cache[int] { return c }

// BenchmarkLatestWhileChanging reads while a result is published each millisecond.
func BenchmarkLatestWhileChanging(b *testing.B) {
	b.Run("docache", func(b *testing.B) {
		c, err := New(context.Background(), time.Millisecond, Doer[int](counting()), WithCapacity(16))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			sum := 0
			for pb.Next() {
				sum += c.Latest().Value
			}
			testkit.Keep(sum)
		})
	})
}

// BenchmarkData copies the last 16 results.
func BenchmarkData(b *testing.B) {
	b.Run("docache", func(b *testing.B) {
		c := started(b, counting(), WithCapacity(16))
		again(b, c, 16)
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Data()
			}
		})
	})
}

// BenchmarkCall is the price of one result: a call of the Doer asked for with Refresh, published,
// noticed and read.
func BenchmarkCall(b *testing.B) {
	b.Run("docache", func(b *testing.B) {
		c := started(b, counting(), WithCapacity(16))
		ctx := context.Background()
		b.ReportAllocs()
		b.ResetTimer()
		sum := 0
		for range b.N {
			if err := c.Refresh(ctx); err != nil {
				b.Fatal(err)
			}
			sum += c.Latest().Value
		}
		testkit.Keep(sum)
	})
}
