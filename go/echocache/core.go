package echocache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"sync/atomic"

	"docache"
	"docache/singleflight"
)

// core is what both kinds of cache are made of; V is what the store keeps.
//
// A caller that has missed may become the leader of a flight only after another has landed, with
// the value in the store. So whoever lands counts it, before it does, in the stripe of the key; and
// who leads looks into the store again if the stripe has changed since before its first look. Most
// misses thus ask the store once.
type core[V any] struct {
	cacher   Cacher[V]
	flights  singleflight.KeyedGroups[string, V]
	seed     maphash.Seed
	stripes  [64]atomic.Uint64
	counters counters
	listener atomic.Pointer[func(Warning)]
}

func (c *core[V]) init(cacher Cacher[V]) {
	if cacher == nil {
		panic(&docache.ArgumentError{Name: "cacher", Value: nil, Accepted: "give a store"})
	}
	c.cacher, c.seed = cacher, maphash.MakeSeed()
}

// look is what there was when a caller looked for a key.
type look struct {
	stripe *atomic.Uint64
	landed uint64
}

func (c *core[V]) look(key string) look {
	s := &c.stripes[maphash.String(c.seed, key)%uint64(len(c.stripes))]
	return look{s, s.Load()}
}

func (l look) isOld() bool { return l.stripe.Load() != l.landed }

// get returns what the store has. A failure, or a panic, counts as nothing.
func (c *core[V]) get(ctx context.Context, key string) (v V, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.storeFailed(ctx, Warning{OpGet, key, panicError(p)})
		}
	}()
	found, ok, err := c.cacher.Get(ctx, key)
	if err != nil {
		c.storeFailed(ctx, Warning{OpGet, key, err})
		return v, false
	}
	return found, ok
}

func (c *core[V]) set(ctx context.Context, key string, v V) {
	defer func() {
		if p := recover(); p != nil {
			c.storeFailed(ctx, Warning{OpSet, key, panicError(p)})
		}
	}()
	if err := c.cacher.Set(ctx, key, v); err != nil {
		c.storeFailed(ctx, Warning{OpSet, key, err})
	}
}

// panicError is for what recover returned, while the frames that panicked are still on the stack.
func panicError(p any) docache.PanicError {
	return docache.PanicError{Value: p, Panic: p, Stack: string(debug.Stack())}
}

// load computes and keeps the key's value, or waits for whoever does. will says whether a value
// that came into the store since l will do.
func (c *core[V]) load(
	ctx context.Context, key string, l look, will func(V) bool, fn RefreshFunc[V],
) (V, error) {
	led := false
	v, err := c.flights.DoCtx(ctx, key, func() (V, error) {
		led = true
		if l.isOld() {
			if v, ok := c.get(ctx, key); ok && will(v) {
				return v, nil
			}
		}
		v, err := c.compute(ctx, fn)
		if err == nil {
			c.set(ctx, key, v)
			l.stripe.Add(1)
		}
		return v, err
	})
	if err == nil {
		if !led {
			c.counters.coalesced.Add(1)
		}
		return v, nil
	}
	if cause := context.Cause(ctx); !led && cause != nil && errors.Is(err, cause) {
		err = leaving(ctx)
	}
	var none V
	return none, err
}

// compute runs fn, and counts it.
func (c *core[V]) compute(ctx context.Context, fn RefreshFunc[V]) (V, error) {
	c.counters.loads.Add(1)
	good := false
	defer func() {
		if !good {
			c.counters.loadFailures.Add(1)
		}
	}()
	v, err := fn(ctx)
	good = err == nil
	return v, err
}

// leaving is the error of a context that is done; [errors.Is] finds it and its cause.
func leaving(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("echocache: %w: %w", err, cause)
}

// storeFailed counts and reports a failure, unless it only says that the caller has left.
func (c *core[V]) storeFailed(ctx context.Context, w Warning) {
	if ctx.Err() == nil {
		c.counters.storeFailures.Add(1)
		c.warn(w)
	}
}

func (c *core[V]) warn(w Warning) {
	if listener := c.listener.Load(); listener != nil {
		defer func() { _ = recover() }()
		(*listener)(w)
	}
}

func (c *core[V]) onWarning(listener func(Warning)) {
	if listener == nil {
		c.listener.Store(nil)
	} else {
		c.listener.Store(&listener)
	}
}
