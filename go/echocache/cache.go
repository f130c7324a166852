package echocache

import "context"

// EchoCache remembers values in a store. All methods may be called from any goroutine at any time.
type EchoCache[T any] struct {
	core core[T]
}

// NewEchoCache makes a cache over a store. It panics with a [*docache.ArgumentError] if that is
// nil.
func NewEchoCache[T any](cacher Cacher[T]) *EchoCache[T] {
	c := new(EchoCache[T])
	c.core.init(cacher)
	return c
}

// FetchWithCache returns the key's value. If the store has none, or fails, it runs refreshFn and
// keeps what that returns; of the callers that want the same key at the same time only one does,
// and the others wait for it.
//
// The bool is true if there is a value, found or computed, and false with an error. Errors are
// those of refreshFn, unchanged; the error of ctx and its cause, once that is done, where
// [errors.Is] finds both; and for those who wait what singleflight says of a run that panicked. The
// store's errors go to OnWarning.
func (c *EchoCache[T]) FetchWithCache(ctx context.Context, key string, refreshFn RefreshFunc[T]) (T, bool, error) {
	l := c.core.look(key)
	if v, ok := c.core.get(ctx, key); ok {
		c.core.counters.hits.Add(1)
		return v, true, nil
	}
	v, err := c.core.load(ctx, key, l, func(T) bool { return true }, refreshFn)
	return v, err == nil, err
}

// OnWarning has f called with each failure of the store, on the goroutine that meets it, which
// waits. It replaces an earlier function; nil is for none. A panic in f is ignored.
func (c *EchoCache[T]) OnWarning(f func(Warning)) { c.core.onWarning(f) }

// Stats returns the counters. Those of refreshes are 0.
func (c *EchoCache[T]) Stats() Stats { return c.core.counters.stats() }
