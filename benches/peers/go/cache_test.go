package peers

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"docache/cache"
	"docache/internal/clib"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"
)

// The caches are bounded, with room for all keys, and their entries expire. Keys and values are
// strings; docache_any and otter_any keep pointers to them, in caches of any values.
const (
	capacity   = 1 << 16
	timeToLive = 15 * time.Minute
)

// store is a contestant: get returns how long the value is, which it may copy to where there is
// room, and set whether it was refused.
type store struct {
	get func(key string, room []byte) int
	set func(key string, value *string) bool
}

// stores make the contestants.
var stores = []struct {
	name string
	make func(b testing.TB) store
}{
	{"docache", appended},
	{"docache_string", typed},
	{"docache_any", untyped},
	{"otter", func(b testing.TB) store {
		c := otter.Must(&otter.Options[string, string]{
			MaximumSize: capacity, ExpiryCalculator: otter.ExpiryWriting[string, string](timeToLive),
		})
		b.Cleanup(func() { c.StopAllGoroutines() })
		return store{
			func(key string, _ []byte) int { v, _ := c.GetIfPresent(key); return len(v) },
			func(key string, value *string) bool { c.Set(key, *value); return false },
		}
	}},
	{"otter_any", func(b testing.TB) store {
		c := otter.Must(&otter.Options[string, any]{
			MaximumSize: capacity, ExpiryCalculator: otter.ExpiryWriting[string, any](timeToLive),
		})
		b.Cleanup(func() { c.StopAllGoroutines() })
		return store{
			func(key string, _ []byte) int { v, _ := c.GetIfPresent(key); return lenOf(v) },
			func(key string, value *string) bool { c.Set(key, value); return false },
		}
	}},
	{"ristretto", func(b testing.TB) store {
		c, err := ristretto.NewCache(&ristretto.Config[string, string]{
			NumCounters: 10 * capacity, MaxCost: capacity, BufferItems: 64, IgnoreInternalCost: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(c.Close)
		return store{
			func(key string, _ []byte) int { v, _ := c.Get(key); return len(v) },
			func(key string, value *string) bool { return !c.SetWithTTL(key, *value, 1, timeToLive) },
		}
	}},
	{"theine", func(b testing.TB) store {
		c, err := theine.NewBuilder[string, string](capacity).Build()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(c.Close)
		return store{
			func(key string, _ []byte) int { v, _ := c.Get(key); return len(v) },
			func(key string, value *string) bool { return !c.SetWithTTL(key, *value, 1, timeToLive) },
		}
	}},
}

func config() *cache.Config { return &cache.Config{DefaultTTL: timeToLive, Capacity: capacity} }

func strs(b testing.TB) *cache.Typed[string, string] {
	c, err := cache.NewTyped[string, string](config())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// typed gives each reader a string of its own, which it allocates.
func typed(b testing.TB) store {
	c := strs(b)
	return store{
		func(key string, _ []byte) int { v, _ := c.Get(key); return len(v) },
		func(key string, value *string) bool { return c.Set(key, *value) != nil },
	}
}

// appended copies to where the caller has room.
func appended(b testing.TB) store {
	c := strs(b)
	return store{
		func(key string, room []byte) int { v, _ := c.AppendTo(room, key); return len(v) },
		func(key string, value *string) bool { return c.Set(key, *value) != nil },
	}
}

func untyped(b testing.TB) store {
	c := cache.NewCache(config())
	b.Cleanup(func() { c.Close() })
	return store{
		func(key string, _ []byte) int { v, _ := c.Get(key); return lenOf(v) },
		func(key string, value *string) bool { c.Set(key, value); return false },
	}
}

func lenOf(v any) int {
	s, ok := v.(*string)
	if !ok {
		return 0
	}
	return len(*s)
}

// filled is the store with a value of 64 bytes for each of a goroutine's keys.
func filled(b testing.TB, make func(b testing.TB) store) (s store, keys []string, value *string) {
	text := strings.Repeat("x", 64)
	s, keys = make(b), ownKeys(0)
	for _, key := range keys {
		s.set(key, &text)
	}
	return s, keys, &text
}

// each does the operation on a goroutine for each processor, and adds up what it returns. Each
// goroutine begins with another key, so that they do not go abreast.
func each(b *testing.B, operation func(i int, room []byte) int) {
	share(b, func(goroutine, n int) {
		sum, room, first := 0, make([]byte, 0, 64), goroutine*keysOfOne/runtime.GOMAXPROCS(0)
		for i := range n {
			sum += operation((first+i)&(keysOfOne-1), room)
		}
		sink.Add(int64(sum))
	})
}

// BenchmarkGet is a hit, and beside it a call of C that does nothing.
func BenchmarkGet(b *testing.B) {
	b.Run("cgo_call", func(b *testing.B) {
		each(b, func(int, []byte) int { v, _ := clib.ABI(); return int(v) })
	})
	for _, store := range stores {
		b.Run(store.name, func(b *testing.B) {
			s, keys, _ := filled(b, store.make)
			each(b, func(i int, room []byte) int { return s.get(keys[i], room) })
		})
	}
}

// BenchmarkSet replaces a value. All goroutines go through the same keys.
func BenchmarkSet(b *testing.B) {
	for _, store := range stores {
		if store.name == "docache_string" {
			continue // it sets as docache does
		}
		b.Run(store.name, func(b *testing.B) {
			s, keys, value := filled(b, store.make)
			each(b, func(i int, _ []byte) int {
				if s.set(keys[i], value) {
					return 1
				}
				return 0
			})
		})
	}
}

// Each contestant returns what was set. What the others put off is done after a while.
func TestStoresReturnWhatWasSet(t *testing.T) {
	for _, store := range stores {
		s, keys, value := filled(t, store.make)
		there := func() bool { return s.get(keys[0], nil) == len(*value) }
		for limit := time.Now().Add(10 * time.Second); !there(); time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%s: nothing there", store.name)
			}
		}
		if n := s.get("nobody", nil); n != 0 {
			t.Errorf("%s: %d bytes of nobody", store.name, n)
		}
	}
}
