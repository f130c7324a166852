package singleflight

import (
	"context"
	"runtime"
	"sync"
	"unsafe"

	"docache/internal/goroutine"
	"docache/internal/park"
)

// core is what a KeyedGroups points to.
type core[Key comparable, Res any] struct {
	group   *group
	form    form
	repanic bool
	seats   sync.Pool // of *seat[Key, Res]
}

// end is how a run ended.
type end int8

const (
	returned end = iota
	panicked
	exited
)

// place is where a goroutine sits during a call: the half of a seat that the registry knows, by an
// id.
//
// Invariant: res, err and end are written by the goroutine in the seat only, before its call lands;
// from then on those that got a share of the ticket read them, and the seat is not used again
// unless nobody did.
type place[Key comparable, Res any] struct {
	ready chan struct{} // notify sends, once for each call that waits
	key   Key           // during a call; also keeps what it points to where it is
	bytes []byte        // the key, for forms that are written out
	res   Res
	err   error
	end   end
}

func (p *place[Key, Res]) notify() { p.ready <- struct{}{} }

// seat is the half that the goroutine knows. The place stands in the registry until the ticket's
// last share is released: by the last of those that shared an outcome, or, for a seat that was
// pooled, by the collector.
type seat[Key comparable, Res any] struct {
	*place[Key, Res]
	ticket  ticket
	cleanup runtime.Cleanup
}

func newCore[Key comparable, Res any](repanic bool) *core[Key, Res] {
	shards := 0
	if unsafe.Sizeof(*new(Key)) == 0 {
		shards = 1 // there is but one key
	}
	return &core[Key, Res]{group: newGroup(shards), form: formOf[Key](), repanic: repanic}
}

func (c *core[Key, Res]) take(key Key) *seat[Key, Res] {
	s, ok := c.seats.Get().(*seat[Key, Res])
	if !ok {
		s = &seat[Key, Res]{place: &place[Key, Res]{ready: make(chan struct{}, 1)}}
		s.ticket = newTicket(parties.Add(s.place))
		s.cleanup = runtime.AddCleanup(s, ticket.release, s.ticket)
	}
	s.key = key
	return s
}

func (c *core[Key, Res]) put(s *seat[Key, Res]) {
	var key Key
	var res Res
	s.key, s.res, s.err, s.end = key, res, nil, returned
	if cap(s.bytes) > 1<<12 {
		s.bytes = nil
	}
	c.seats.Put(s)
}

func (c *core[Key, Res]) do(ctx context.Context, key Key, fn Func[Res]) (res Res, err error, shared bool) {
	if ctx.Err() != nil {
		return res, context.Cause(ctx), false
	}
	s, k, standing := c.enter(key)
	return c.finish(ctx, s, k, standing, fn, nil)
}

// doChan enters before it returns. A goroutine of its own does it, so that a run knows who is
// inside it, and waits; in the place of its caller is what it sends to.
func (c *core[Key, Res]) doChan(key Key, fn Func[Res]) <-chan Result[Res] {
	checkKey(c.form, key)
	results, entered := make(chan Result[Res], 1), make(chan struct{})
	go func() {
		s, k, standing := c.enter(key)
		close(entered)
		res, err, shared := c.finish(context.Background(), s, k, standing, fn, results)
		results <- Result[Res]{res, err, shared}
	}()
	<-entered
	return results
}

// enter begins a call, and says where it stands.
func (c *core[Key, Res]) enter(key Key) (*seat[Key, Res], call, standing) {
	s := c.take(key)
	bytes, n := s.keyBytes(c.form)
	k, standing := c.group.begin(bytes, n, goroutine.ID(), s.ticket)
	return s, k, standing
}

// finish is the rest of a call. results is nil, or what the caller will send to if this returns.
func (c *core[Key, Res]) finish(
	ctx context.Context, s *seat[Key, Res], k call, standing standing, fn Func[Res], results chan<- Result[Res],
) (res Res, err error, shared bool) {
	switch {
	case standing == leads:
		return c.lead(ctx, s, k, fn, results)
	case standing == reentrant:
		c.put(s)
		return res, ErrReentrant, false
	case standing == waits && !s.wait(ctx, k):
		k.leave(ticket{})
		c.put(s)
		return res, context.Cause(ctx), false
	default:
		return c.join(ctx, s, k, fn, results)
	}
}

// lead runs the work. However that ends, the call does too: it lands, or, if the work has failed
// and the leader's own context is done, one of those that wait leads next. What else would have
// come of the work they cannot know.
func (c *core[Key, Res]) lead(
	ctx context.Context, s *seat[Key, Res], k call, fn Func[Res], results chan<- Result[Res],
) (res Res, err error, shared bool) {
	ended := false
	defer func() {
		if ended {
			return
		}
		// A panic, or Goexit, which nothing recovers. The frames that panicked are still on the
		// stack here, so a panic that goes on from here is printed with them.
		p := recover()
		s.end, s.err = exited, ErrGoexit
		if p != nil {
			s.end, s.err = panicked, panicError(p)
		}
		res, err, shared = c.land(s, k)
		switch {
		case p == nil && results != nil:
			results <- Result[Res]{res, err, shared} // since nothing returns from here
		case p != nil && c.repanic:
			panic(err)
		case p != nil && results == nil:
			panic(p)
		}
	}()
	s.res, s.err = fn()
	ended = true
	if s.err != nil && ctx.Err() != nil {
		res, err = s.res, s.err
		k.leave(ticket{})
		c.put(s)
		return res, err, false
	}
	return c.land(s, k)
}

func (c *core[Key, Res]) land(s *seat[Key, Res], k call) (res Res, err error, shared bool) {
	res, err = s.res, s.err
	if shared = k.land(s.ticket); !shared {
		c.put(s)
		return res, err, false
	}
	// The others read the place, but for the key. It leaves the registry with the last of them.
	var key Key
	s.key, s.bytes = key, nil
	s.cleanup.Stop()
	s.ticket.release()
	runtime.KeepAlive(s) // or it could be cleaned up before it is stopped
	return res, err, true
}

// join takes what came of a call that waited, which may be the lead.
func (c *core[Key, Res]) join(
	ctx context.Context, s *seat[Key, Res], k call, fn Func[Res], results chan<- Result[Res],
) (res Res, err error, shared bool) {
	standing, share := k.poll()
	if standing == leads && ctx.Err() != nil {
		k.leave(ticket{})
		c.put(s)
		return res, context.Cause(ctx), false
	}
	if standing == leads {
		return c.lead(ctx, s, k, fn, results)
	}
	p, _ := parties.Get(share.id())
	leader := p.(*place[Key, Res]) // there, because of our share
	res, err = leader.res, leader.err
	end := leader.end
	k.leave(share)
	c.put(s)
	switch {
	case end == panicked && c.repanic:
		panic(err)
	case end == exited && c.repanic && results == nil:
		runtime.Goexit()
	}
	return res, err, true
}

// wait returns true once the call is ready, false if ctx is done first. Either way nobody sends to
// s.ready any more.
func (s *seat[Key, Res]) wait(ctx context.Context, k call) bool {
	return park.Wait(ctx, s.ready, k.cancel)
}

func (c *core[Key, Res]) forget(key Key) bool {
	s := c.take(key)
	defer c.put(s)
	return c.group.forget(s.keyBytes(c.form))
}
