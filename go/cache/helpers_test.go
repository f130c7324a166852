package cache

import (
	"context"
	"errors"
	"testing"
	"time"

	"docache/internal/testkit"
)

var (
	soon       = testkit.Soon
	within     = testkit.Within
	async      = testkit.Async
	eventually = testkit.Eventually
	collect    = testkit.Collect
	newGate    = testkit.NewGate
	fewThreads = testkit.FewThreads
)

var errTest = errors.New("on purpose")

// waiting is the number of goroutines that wait for another's load.
func waiting(t testing.TB) int {
	t.Helper()
	return testkit.Inside(t, "cache.(*seat).wait")
}

// rarely is a CleanupInterval that no test lives to see.
const rarely = 1000 * time.Hour

// manual is a Config with which nothing happens in the background, and reads return nothing that
// has expired.
func manual() *Config { return &Config{CleanupInterval: rarely} }

func newCache(t testing.TB, config *Config) *Cache {
	c := NewCache(config)
	t.Cleanup(func() { c.Close() })
	return c
}

func typed[K ~string | ~[]byte, V any](t testing.TB, config *Config, codec ...Codec[V]) *Typed[K, V] {
	t.Helper()
	c, err := NewTyped[K, V](config, codec...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fetcher is what the two kinds of cache have in common, for values that are strings.
type fetcher interface {
	get(key string) (string, error)
	set(key, value string)
	fetch(ctx context.Context, key string, fn func() (string, error)) (string, error)
	remove(key string)
	clear()
	close()
	len() int
	stats() Stats
}

type anyFetcher struct{ c *Cache }

func str(v any, err error) (string, error) {
	s, _ := v.(string)
	return s, err
}

func (f anyFetcher) get(key string) (string, error) { return str(f.c.Get(key)) }
func (f anyFetcher) set(key, value string)          { f.c.Set(key, value) }
func (f anyFetcher) remove(key string)              { f.c.Delete(key) }
func (f anyFetcher) clear()                         { f.c.DeleteAll() }
func (f anyFetcher) close()                         { f.c.Close() }
func (f anyFetcher) len() int                       { return f.c.Len() }
func (f anyFetcher) stats() Stats                   { return f.c.Stats() }
func (f anyFetcher) fetch(ctx context.Context, key string, fn func() (string, error)) (string, error) {
	return str(f.c.FetchCtx(ctx, key, func(string) (any, error) { return fn() }))
}

type typedFetcher struct{ c *Typed[string, string] }

func (f typedFetcher) get(key string) (string, error) { return f.c.Get(key) }
func (f typedFetcher) set(key, value string)          { _ = f.c.Set(key, value) }
func (f typedFetcher) remove(key string)              { f.c.Delete(key) }
func (f typedFetcher) clear()                         { f.c.Clear() }
func (f typedFetcher) close()                         { f.c.Close() }
func (f typedFetcher) len() int                       { return f.c.Len() }
func (f typedFetcher) stats() Stats                   { return f.c.Stats() }
func (f typedFetcher) fetch(ctx context.Context, key string, fn func() (string, error)) (string, error) {
	return f.c.Fetch(ctx, key, func(context.Context) (string, error) { return fn() })
}

// both runs a test for both kinds of cache.
func both(t *testing.T, test func(t *testing.T, c fetcher)) {
	t.Run("Cache", func(t *testing.T) { test(t, anyFetcher{newCache(t, manual())}) })
	t.Run("Typed", func(t *testing.T) { test(t, typedFetcher{typed[string, string](t, manual())}) })
}

type outcome struct {
	v   string
	err error
}
