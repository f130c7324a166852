package cache

import (
	"context"
	"math"
	"runtime"
	"time"
	"weak"
)

// Cache keeps any Go values, as they are: a pointer that was set is the pointer that Get returns.
// It has the API of github.com/sdzyba/lockotron.
//
// The library keeps the keys, their times and their order, and in the place of each value a number
// that stands for it; the value itself stays where Go can see it.
//
// All methods may be called from any goroutine at any time, also after Close.
type Cache struct {
	table   *table
	values  *values
	cleaner *time.Timer // nil: none
}

// NewCache makes a cache; a nil config means [NewConfig]. It panics with a [*docache.ArgumentError]
// for what the [Config] does not accept, and with a [*docache.LibraryError] if there is no memory.
func NewCache(config *Config) *Cache {
	filled, err := config.filled()
	if err == nil && filled.MaxBytes > 0 {
		err = noMaxBytes(filled.MaxBytes)
	}
	if err != nil {
		panic(err)
	}
	interval := filled.CleanupInterval
	if interval == NoCleanup {
		filled.ExpireOnCleanupOnly = true // as in Lockotron
	}
	filled.CleanupInterval = NoCleanup // the library's would leave the values where they are
	c := &Cache{values: newValues()}
	if c.table, err = newTable(&filled); err != nil {
		panic(err)
	}
	if interval != NoCleanup {
		c.cleanEvery(interval)
	}
	return c
}

// cleanEvery lets the cache be collected all the same.
func (c *Cache) cleanEvery(interval time.Duration) {
	w := weak.Make(c)
	// It begins when it is reset, by which time the cache knows it.
	c.cleaner = time.AfterFunc(math.MaxInt64, func() {
		if c := w.Value(); c != nil && !c.table.closed.Load() {
			c.DeleteExpired()
			c.cleaner.Reset(interval)
		}
	})
	runtime.AddCleanup(c, func(t *time.Timer) { t.Stop() }, c.cleaner)
	c.cleaner.Reset(interval)
}

// Set keeps the value for as long as the [Config] says.
func (c *Cache) Set(key string, value any) { c.set(key, byDefault, value) }

// SetEx is Set with its own time to live, or [NoTTL]. With a time of 0, or a negative one other
// than NoTTL, it acts as Delete, unless expired values are returned. (NoTTL is -1 ns: take care
// with time.Until.)
func (c *Cache) SetEx(key string, ttl time.Duration, value any) {
	if c.table.isWorth(ttl) {
		c.set(key, lifetimeOf(ttl), value)
	} else {
		c.Delete(key)
	}
}

func (c *Cache) set(key string, life lifetime, value any) {
	if c.table.closed.Load() {
		return
	}
	c.table.setTicket(key, c.values.add(value), life)
}

// SetList is Set for each key of the map. Other goroutines may see some of the values before the
// rest is set.
func (c *Cache) SetList(list map[string]any) {
	if c.table.closed.Load() {
		return
	}
	l := takeLists()
	defer l.put()
	flush := func() {
		c.table.setTickets(&l.keys, l.tickets[:l.keys.len()], byDefault)
		l.reset()
	}
	for key, value := range list {
		l.tickets[l.keys.len()] = c.values.add(value)
		l.keys.add(key)
		if l.keys.len() == batch {
			flush()
		}
	}
	flush()
	c.values.sweep()
}

// Get returns the key's value, or [ErrNotFound]. It allocates nothing.
func (c *Cache) Get(key string) (any, error) {
	for {
		id, err := c.table.id(key)
		if err != nil {
			return nil, err
		}
		if v, ok := c.values.get(id); ok {
			return v, nil
		}
		// The value went in between, so the key has another one now, or none.
	}
}

// GetList returns the values that are there, in the order of the keys.
func (c *Cache) GetList(keys []string) []any {
	values := make([]any, 0, len(keys))
	if c.table.closed.Load() {
		return values
	}
	_ = inBatches(keys, func(_ int, l *lists) error {
		there := l.found[:l.keys.len()]
		c.table.findAll(&l.keys, there)
		for _, f := range there {
			if f.there() {
				v, _ := c.values.get(f.id()) // there, because of our share
				values = append(values, v)
			}
		}
		releaseAll(there)
		return nil
	})
	return values
}

// Fetch returns the key's value. If there is none it calls fallback and keeps what that returns; of
// the callers that want the same key at the same time only one does, on its own goroutine; the
// others wait for it, and get the same value or error. Errors are not kept.
//
// A panic in fallback continues in the call that ran it; callers that waited get a [PanicError], or
// [ErrGoexit] after [runtime.Goexit]: recover inside fallback if all are to get an error. If the
// key is set or deleted during the load, the result is not kept, though the load's callers get it.
// Inside the load that it would wait for, on the same goroutine, Fetch returns [ErrReentrant].
func (c *Cache) Fetch(key string, fallback func(string) (any, error)) (any, error) {
	return c.fetch(context.Background(), key, byDefault, fallback)
}

// FetchEx is Fetch with its own time to live, or [NoTTL], for the value that fallback returns. Of
// callers that want the same key at the same time, the one that loads decides. If that time is over
// already, the value is returned and not kept, unless expired values are returned.
func (c *Cache) FetchEx(key string, ttl time.Duration, fallback func(string) (any, error)) (any, error) {
	return c.fetch(context.Background(), key, lifetimeOf(ttl), fallback)
}

// FetchCtx is Fetch for a caller that waits no longer than ctx allows: it returns the cause of ctx
// (see [context.Cause]) once that is done; the others are not affected. A caller that loads is
// inside fallback, which ctx does not stop; an error that it returns once ctx is done goes to this
// caller only, see [Typed.Fetch].
func (c *Cache) FetchCtx(ctx context.Context, key string, fallback func(string) (any, error)) (any, error) {
	return c.fetch(ctx, key, byDefault, fallback)
}

func (c *Cache) fetch(ctx context.Context, key string, life lifetime, fallback func(string) (any, error)) (any, error) {
	if v, err := c.Get(key); err != ErrNotFound {
		return v, err
	}
	defer c.values.sweep()
	return load[any](ctx, c.table, c, key, life, func() (any, error) { return fallback(key) })
}

// seal implements loader.
func (c *Cache) seal(v any) (sealed, error) { return sealed{ticket: c.values.add(v)}, nil }

// open implements loader.
func (c *Cache) open(f found) (any, error) {
	v, _ := c.values.get(f.id()) // there, because of the share
	return v, nil
}

// Delete removes the key's value.
func (c *Cache) Delete(key string) {
	c.table.remove(key)
	c.values.sweep()
}

// DeleteList is Delete for each key.
func (c *Cache) DeleteList(keys []string) {
	if c.table.closed.Load() {
		return
	}
	_ = inBatches(keys, func(_ int, l *lists) error {
		c.table.removeAll(&l.keys)
		return nil
	})
	c.values.sweep()
}

// DeleteAll removes everything.
func (c *Cache) DeleteAll() {
	if !c.table.closed.Load() {
		c.table.clear()
		c.table.flush()
		c.values.sweep()
	}
}

// DeleteExpired removes expired values, which also happens in the background, see [Config].
func (c *Cache) DeleteExpired() {
	c.table.purge()
	c.table.flush()
	c.values.sweep()
}

// Len returns the number of entries, including expired ones that were not removed yet.
func (c *Cache) Len() int { return c.table.len() }

// Stats returns the counters.
func (c *Cache) Stats() Stats { return c.table.stats() }

// Close ends the background cleanup and drops everything that is kept. From then on Get and Fetch
// return [ErrClosed], and nothing is kept. Loads under way end as usual. A cache that is not closed
// is collected like anything else, once it is not referenced. Close returns nil.
func (c *Cache) Close() error {
	if c.cleaner != nil {
		c.cleaner.Stop()
	}
	c.table.close()
	c.values.sweep()
	return nil
}
