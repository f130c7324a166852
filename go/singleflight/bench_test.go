package singleflight

import (
	"strconv"
	"sync"
	"testing"
)

// In these benchmarks each operation is one call whose work is next to nothing, beside what one
// would write without this package. Run them with
//
//	go test -run '^$' -bench . -cpu 1,2 ./singleflight
//
// ns/op is the time over all goroutines together: with -cpu 2, one goroutine's call takes twice the
// figure printed.

// byHand is the usual map of runs behind a lock, without a thought for panics.
type byHand[Key comparable, Res any] struct {
	mu   sync.Mutex
	runs map[Key]*handRun[Res]
}

type handRun[Res any] struct {
	done sync.WaitGroup
	res  Res
	err  error
}

func (g *byHand[Key, Res]) Do(key Key, fn func() (Res, error)) (Res, error) {
	g.mu.Lock()
	if r, ok := g.runs[key]; ok {
		g.mu.Unlock()
		r.done.Wait()
		return r.res, r.err
	}
	if g.runs == nil {
		g.runs = make(map[Key]*handRun[Res])
	}
	r := new(handRun[Res])
	r.done.Add(1)
	g.runs[key] = r
	g.mu.Unlock()
	r.res, r.err = fn()
	g.mu.Lock()
	delete(g.runs, key)
	g.mu.Unlock()
	r.done.Done()
	return r.res, r.err
}

type doer[Key comparable] interface {
	Do(key Key, fn func() (int, error)) (int, error)
}

func one() (int, error) { return 1, nil }

// alone makes calls that nobody shares, on a goroutine of its own for each processor, each with
// keys of its own.
func alone[Key comparable](b *testing.B, g doer[Key], keys func(goroutine int) []Key) {
	var mu sync.Mutex
	goroutines := 0
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		mine := keys(goroutines)
		goroutines++
		mu.Unlock()
		for i := 0; pb.Next(); i++ {
			if v, err := g.Do(mine[i%len(mine)], one); v != 1 || err != nil {
				b.Error(v, err)
				return
			}
		}
	})
}

func BenchmarkKeyedStr(b *testing.B) {
	keys := func(goroutine int) (out []string) {
		for i := range 1024 {
			out = append(out, "user:"+strconv.Itoa(goroutine)+":"+strconv.Itoa(i))
		}
		return out
	}
	b.Run("docache", func(b *testing.B) { alone(b, new(KeyedGroups[string, int]), keys) })
	b.Run("mutex_map", func(b *testing.B) { alone(b, new(byHand[string, int]), keys) })
}

func BenchmarkKeyedU64(b *testing.B) {
	keys := func(goroutine int) (out []uint64) {
		for i := range uint64(1024) {
			out = append(out, uint64(goroutine)<<32+i)
		}
		return out
	}
	b.Run("docache", func(b *testing.B) { alone(b, new(KeyedGroups[uint64, int]), keys) })
	b.Run("mutex_map", func(b *testing.B) { alone(b, new(byHand[uint64, int]), keys) })
}

// BenchmarkKeyedStruct is for keys that are written out.
func BenchmarkKeyedStruct(b *testing.B) {
	type key struct {
		table string
		row   int
	}
	keys := func(goroutine int) (out []key) {
		for i := range 1024 {
			out = append(out, key{"table" + strconv.Itoa(goroutine), i})
		}
		return out
	}
	b.Run("docache", func(b *testing.B) { alone(b, new(KeyedGroups[key, int]), keys) })
	b.Run("mutex_map", func(b *testing.B) { alone(b, new(byHand[key, int]), keys) })
}

type unkeyed struct{ g Group[int] }

func (u *unkeyed) Do(_ struct{}, fn func() (int, error)) (int, error) { return u.g.Do(fn) }

// BenchmarkGroup is one goroutine: with more of them see BenchmarkOneKey.
func BenchmarkGroup(b *testing.B) {
	single := func(b *testing.B, g doer[struct{}]) {
		b.ReportAllocs()
		for range b.N {
			if v, err := g.Do(struct{}{}, one); v != 1 || err != nil {
				b.Fatal(v, err)
			}
		}
	}
	b.Run("docache", func(b *testing.B) { single(b, new(unkeyed)) })
	b.Run("mutex_map", func(b *testing.B) { single(b, new(byHand[struct{}, int])) })
}

// BenchmarkOneKey has 100 goroutines for each processor call for the same key, with work of about a
// microsecond, so that most calls wait.
func BenchmarkOneKey(b *testing.B) {
	work := func() (int, error) {
		n := 0
		for i := range 1000 {
			n += i & 1
		}
		return n / 500, nil
	}
	crowd := func(b *testing.B, g doer[string]) {
		b.ReportAllocs()
		b.SetParallelism(100)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if v, err := g.Do("key", work); v != 1 || err != nil {
					b.Error(v, err)
					return
				}
			}
		})
	}
	b.Run("docache", func(b *testing.B) { crowd(b, new(KeyedGroups[string, int])) })
	b.Run("mutex_map", func(b *testing.B) { crowd(b, new(byHand[string, int])) })
}
