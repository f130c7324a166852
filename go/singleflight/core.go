package singleflight

import (
	"context"
	"hash/maphash"
	"math/bits"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"docache/internal/goroutine"
)

// core is what a KeyedGroups points to. Keys are told apart by ==, and spread over the shards by
// the hash that a map would use.
type core[Key comparable, Res any] struct {
	shards  []shard[Key, Res] // a power of two
	seed    maphash.Seed
	checks  bool // there may be keys that cannot be compared
	repanic bool
	seats   sync.Pool // of *seat[Key, Res]
}

func newCore[Key comparable, Res any](repanic bool) *core[Key, Res] {
	return &core[Key, Res]{
		shards:  make([]shard[Key, Res], shardsFor[Key](runtime.GOMAXPROCS(0))),
		seed:    maphash.MakeSeed(),
		checks:  hasInterface(reflect.TypeFor[Key]()),
		repanic: repanic,
		seats:   sync.Pool{New: func() any { return newSeat[Key, Res]() }},
	}
}

// shardsFor is so many that goroutines on all processors, with keys of their own, seldom meet.
func shardsFor[Key comparable](processors int) int {
	const fewest, most, each = 64, 512, 16
	if unsafe.Sizeof(*new(Key)) == 0 {
		return 1 // there is but one key
	}
	return min(max(1<<bits.Len(uint(each*processors-1)), fewest), most)
}

// hash panics for a key that cannot be compared, with the words of a map.
func (c *core[Key, Res]) hash(key Key) uint64 {
	switch {
	case len(c.shards) == 1:
		return 0
	case c.checks:
		_ = map[Key]struct{}(nil)[key]
	}
	return maphash.Comparable(c.seed, key)
}

// hasInterface tells whether a value of the type has an interface in it.
func hasInterface(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Array:
		return hasInterface(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasInterface(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

func (c *core[Key, Res]) shard(hash uint64) *shard[Key, Res] {
	return &c.shards[hash&uint64(len(c.shards)-1)]
}

func (c *core[Key, Res]) do(ctx context.Context, key Key, fn Func[Res]) (res Res, err error, shared bool) {
	if ctx.Err() != nil {
		return res, context.Cause(ctx), false
	}
	hash := c.hash(key)
	s := c.shard(hash)
	r, w := s.enter(key, hash, goroutine.ID(), &c.seats)
	return c.finish(ctx, s, r, w, fn, nil)
}

// doChan enters before it returns. A goroutine of its own does it, so that a run knows who is
// inside it, and waits; in the place of its caller is what it sends to.
func (c *core[Key, Res]) doChan(key Key, fn Func[Res]) <-chan Result[Res] {
	hash := c.hash(key)
	s := c.shard(hash)
	results, entered := make(chan Result[Res], 1), make(chan struct{})
	go func() {
		r, w := s.enter(key, hash, goroutine.ID(), &c.seats)
		close(entered)
		res, err, shared := c.finish(context.Background(), s, r, w, fn, results)
		results <- Result[Res]{res, err, shared}
	}()
	<-entered
	return results
}

// finish is the rest of a call. results is nil, or what the caller will send to if this returns.
func (c *core[Key, Res]) finish(
	ctx context.Context, s *shard[Key, Res], r *run[Key, Res], w *seat[Key, Res], fn Func[Res], results chan<- Result[Res],
) (res Res, err error, shared bool) {
	switch {
	case r == nil:
		return res, ErrReentrant, false
	case w == nil:
		return c.lead(ctx, s, r, fn, results)
	}
	told := w.wait(ctx, s)
	leads := w.leads // also if ctx was done first, but the lead came before it could leave
	c.put(w)
	switch {
	case leads && ctx.Err() == nil:
		return c.lead(ctx, s, r, fn, results)
	case leads:
		s.handOn(r)
		fallthrough
	case !told:
		return res, context.Cause(ctx), false
	}
	return c.share(&r.outcome, results)
}

func (c *core[Key, Res]) put(w *seat[Key, Res]) {
	w.run, w.leads, w.prev, w.next = nil, false, nil, nil
	c.seats.Put(w)
}

// lead runs the work. However that ends, the lead does too: the run lands, or, if the work has
// failed and the leader's own context is done, one of those that wait leads next. What else would
// have come of the work they cannot know.
func (c *core[Key, Res]) lead(
	ctx context.Context, s *shard[Key, Res], r *run[Key, Res], fn Func[Res], results chan<- Result[Res],
) (res Res, err error, shared bool) {
	ended := false
	defer func() {
		if ended {
			return
		}
		// A panic, or Goexit, which nothing recovers. The frames that panicked are still on the
		// stack here, so a panic that goes on from here is printed with them.
		p := recover()
		o := outcome[Res]{err: ErrGoexit, end: exited}
		if p != nil {
			o = outcome[Res]{err: panicError(p), end: panicked}
		}
		res, err, shared = o.res, o.err, s.land(r, o)
		switch {
		case p == nil && results != nil:
			results <- Result[Res]{res, err, shared} // since nothing returns from here
		case p != nil && c.repanic:
			panic(err)
		case p != nil && results == nil:
			panic(p)
		}
	}()
	res, err = fn()
	ended = true
	if err != nil && ctx.Err() != nil {
		s.handOn(r)
		return res, err, false
	}
	return res, err, s.land(r, outcome[Res]{res: res, err: err})
}

// share is the end of a call that waited for that outcome.
func (c *core[Key, Res]) share(o *outcome[Res], results chan<- Result[Res]) (res Res, err error, shared bool) {
	switch {
	case o.end == panicked && c.repanic:
		panic(o.err)
	case o.end == exited && c.repanic && results == nil:
		runtime.Goexit()
	}
	return o.res, o.err, true
}

func (c *core[Key, Res]) forget(key Key) bool {
	hash := c.hash(key)
	return c.shard(hash).forget(key, hash)
}

// inFlight looks at one shard after the other.
func (c *core[Key, Res]) inFlight() (n int) {
	for i := range c.shards {
		n += c.shards[i].inFlight()
	}
	return n
}
