package peers

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	docache "docache/singleflight"
	"golang.org/x/sync/singleflight"
)

// Each operation is one Do whose function returns a number at once. Run them with
//
//	go test -run '^$' -bench . -cpu 1,2
//
// ns/op is the time over all goroutines together: with -cpu 2, one goroutine's call takes twice the
// figure printed.

// flights are the contestants: each makes a group and returns how to call it.
var flights = []struct {
	name string
	make func() func(key string) int
}{
	{"docache", func() func(key string) int {
		group := new(docache.KeyedGroups[string, int])
		work := func() (int, error) { return 1, nil }
		return func(key string) int {
			value, _ := group.Do(key, work)
			return value
		}
	}},
	{"x_sync_singleflight", func() func(key string) int {
		var group singleflight.Group
		work := func() (any, error) { return 1, nil }
		return func(key string) int {
			value, _, _ := group.Do(key, work)
			return value.(int)
		}
	}},
}

// mostGoroutines is how many goroutines can have keys of their own, keysOfOne how many each has;
// both are powers of two.
const (
	mostGoroutines = 64
	keysOfOne      = 1024
)

var keys = sync.OnceValue(func() []string {
	keys := make([]string, mostGoroutines*keysOfOne)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%08d", i)
	}
	return keys
})

// ownKeys are the keys of one goroutine.
func ownKeys(goroutine int) []string { return keys()[goroutine*keysOfOne:][:keysOfOne] }

// sink keeps the compiler from dropping what is measured; each goroutine writes it once.
var sink atomic.Int64

// share gives each of as many goroutines as there are processors its part of the operations at
// once. (Those of RunParallel take them from a counter in between, and meet there: at times that
// costs as much as the operation.)
func share(b *testing.B, body func(goroutine, n int)) {
	b.ReportAllocs()
	b.ResetTimer()
	var goroutines sync.WaitGroup
	procs := runtime.GOMAXPROCS(0)
	for i := range procs {
		goroutines.Go(func() { body(i, (b.N+i)/procs) })
	}
	goroutines.Wait()
}

// benchmarkFlights lets each goroutine go through its own keys, as of gives them.
func benchmarkFlights(b *testing.B, of func(goroutine int) []string) {
	keys() // are made before the clock runs
	for _, flight := range flights {
		b.Run(flight.name, func(b *testing.B) {
			call := flight.make()
			share(b, func(goroutine, n int) {
				keys := of(goroutine % mostGoroutines)
				sum := 0
				for i := range n {
					sum += call(keys[i&(len(keys)-1)])
				}
				sink.Add(int64(sum))
			})
		})
	}
}

// BenchmarkKeyedStr goes through many keys; goroutines do not share any.
func BenchmarkKeyedStr(b *testing.B) {
	benchmarkFlights(b, ownKeys)
}

// BenchmarkKeyedDistinct uses one key for each goroutine.
func BenchmarkKeyedDistinct(b *testing.B) {
	benchmarkFlights(b, func(goroutine int) []string {
		return keys()[goroutine*keysOfOne:][:1]
	})
}

// BenchmarkKeyedOne uses one key for all goroutines, which run or share its work.
func BenchmarkKeyedOne(b *testing.B) {
	benchmarkFlights(b, func(int) []string {
		return keys()[:1]
	})
}

// Each contestant returns what its work returns.
func TestFlightsReturnTheirWork(t *testing.T) {
	for _, flight := range flights {
		call := flight.make()
		if value := call(keys()[0]); value != 1 {
			t.Errorf("%s: got %d, want 1", flight.name, value)
		}
	}
}
