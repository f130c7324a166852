package cache

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"docache/internal/clib"
	"docache/internal/testkit"
)

// In these benchmarks each operation is one call, beside a bare call into C and what one would
// write without this package. Run them with
//
//	go test -run '^$' -bench . -cpu 1,2 ./cache
//
// ns/op is the time over all goroutines together: with -cpu 2, one goroutine's call takes twice the
// figure printed.

// each does the operation on a goroutine for each processor, and adds up what it returns.
func each(b *testing.B, operation func(i int) int) {
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		sum := 0
		for i := 0; pb.Next(); i++ {
			sum += operation(i & 1023)
		}
		testkit.Keep(sum)
	})
}

func keysOf(n int) (keys []string) {
	for i := range n {
		keys = append(keys, "user:"+strconv.Itoa(i))
	}
	return keys
}

func benchTyped[V any](b *testing.B, v V) (*Typed[string, V], []string) {
	c, err := NewTyped[string, V](nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	keys := keysOf(1024)
	for _, key := range keys {
		if err := c.Set(key, v); err != nil {
			b.Fatal(err)
		}
	}
	return c, keys
}

// BenchmarkGet is a hit on a short key with a value of 64 bytes: copied into the caller's buffer,
// as an array, as a new string; and with a Go value of any kind.
func BenchmarkGet(b *testing.B) {
	b.Run("cgo_call", func(b *testing.B) { each(b, func(int) int { v, _ := clib.ABI(); return int(v) }) })
	b.Run("docache", func(b *testing.B) {
		c, keys := benchTyped(b, strings.Repeat("x", 64))
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			sum, buf := 0, make([]byte, 0, 64)
			for i := 0; pb.Next(); i++ {
				out, _ := c.AppendTo(buf, keys[i&1023])
				sum += len(out)
			}
			testkit.Keep(sum)
		})
	})
	b.Run("docache_array", func(b *testing.B) {
		c, keys := benchTyped(b, [64]byte{1})
		each(b, func(i int) int {
			v, _ := c.Get(keys[i])
			return int(v[0])
		})
	})
	b.Run("docache_string", func(b *testing.B) {
		c, keys := benchTyped(b, strings.Repeat("x", 64))
		each(b, func(i int) int {
			v, _ := c.Get(keys[i])
			return len(v)
		})
	})
	b.Run("docache_any", func(b *testing.B) {
		c, keys := NewCache(nil), keysOf(1024)
		defer c.Close()
		for _, key := range keys {
			c.Set(key, &key)
		}
		each(b, func(i int) int {
			v, _ := c.Get(keys[i])
			return len(*v.(*string))
		})
	})
	b.Run("rwmutex_map", func(b *testing.B) {
		var mu sync.RWMutex
		m, keys := map[string]any{}, keysOf(1024)
		for _, key := range keys {
			m[key] = &key
		}
		each(b, func(i int) int {
			mu.RLock()
			v := m[keys[i]]
			mu.RUnlock()
			return len(*v.(*string))
		})
	})
}

// BenchmarkSet replaces a value of 64 bytes.
func BenchmarkSet(b *testing.B) {
	b.Run("docache", func(b *testing.B) {
		v := strings.Repeat("x", 64)
		c, keys := benchTyped(b, v)
		each(b, func(i int) int {
			if c.Set(keys[i], v) != nil {
				return 1
			}
			return 0
		})
	})
	b.Run("docache_any", func(b *testing.B) {
		c, keys := NewCache(nil), keysOf(1024)
		defer c.Close()
		v := any(&keys[0])
		each(b, func(i int) int { c.Set(keys[i], v); return 0 })
	})
	b.Run("rwmutex_map", func(b *testing.B) {
		var mu sync.RWMutex
		m, keys := map[string]any{}, keysOf(1024)
		v := any(&keys[0])
		each(b, func(i int) int {
			mu.Lock()
			m[keys[i]] = v
			mu.Unlock()
			return 0
		})
	})
}

// BenchmarkFetch is a hit, and a load of nothing whose value is deleted again.
func BenchmarkFetch(b *testing.B) {
	c, keys := NewCache(nil), keysOf(1024)
	defer c.Close()
	v := any(&keys[0])
	fallback := func(string) (any, error) { return v, nil }
	for _, key := range keys {
		c.Set(key, v)
	}
	b.Run("docache_hit", func(b *testing.B) {
		each(b, func(i int) int {
			v, _ := c.Fetch(keys[i], fallback)
			return len(*v.(*string))
		})
	})
	b.Run("docache_miss_and_delete", func(b *testing.B) {
		each(b, func(i int) int {
			c.Delete(keys[i])
			v, _ := c.Fetch(keys[i], fallback)
			return len(*v.(*string))
		})
	})
}
