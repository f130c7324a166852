package cache

import (
	"context"
	"runtime/debug"

	"docache/internal/goroutine"
)

// loader is how a kind of cache loads what is not there.
//
// The library keeps and hands round what comes of a load as bytes, and knows of a failure only that
// it is one. The error itself goes from the goroutine that led to those that wait, seat by seat,
// when it tells them.
type loader[V any] interface {
	// seal makes a value ready to be kept. It may run user code.
	seal(v V) (sealed, error)
	// open is the other way round, from bytes that are the library's. It may run user code.
	open(f found) (V, error)
}

// sealed is what a load is to leave in the cache: bytes, or the ticket of a Go value.
type sealed struct {
	bytes   string // which somebody else keeps
	scratch *scratch
	ticket  ticket // none: bytes
}

func (s *sealed) land(k call) {
	if s.ticket.c != nil {
		k.landTicket(s.ticket)
		return
	}
	k.land(s.bytes)
	s.scratch.put()
}

// load is what the loader's cache finds for the key, or what fn returns, or what it returned to
// another caller.
func load[V any](ctx context.Context, t *table, l loader[V], key string, ttl lifetime, fn func() (V, error)) (V, error) {
	defer t.settle()
	for {
		v, err, again := attempt(ctx, t, l, key, ttl, fn)
		if !again {
			return v, err
		}
	}
}

// attempt may find that the load it joined had failed before it could ask to be told why. Then it
// came when that load was ending, and may as well have come later.
func attempt[V any](
	ctx context.Context, t *table, l loader[V], key string, ttl lifetime, fn func() (V, error),
) (v V, err error, again bool) {
	if ctx.Err() != nil {
		return v, context.Cause(ctx), false
	}
	s := takeSeat()
	defer s.put()
	k, f, standing := t.begin(key, ttl, goroutine.ID(), s.token)
	switch standing {
	case hit:
		v, err = open(l, f)
		return v, err, false
	case leads:
		v, err = lead(ctx, l, k, fn)
		return v, err, false
	case reentrant:
		return v, ErrReentrant, false
	case waits:
		if !s.wait(ctx, k) {
			k.leave()
			return v, context.Cause(ctx), false
		}
	}
	return join(ctx, l, s, k, fn)
}

// join takes what came of a call that waited, which may be the lead.
func join[V any](
	ctx context.Context, l loader[V], s *seat, k call, fn func() (V, error),
) (v V, err error, again bool) {
	f, standing := k.look()
	switch standing {
	case leads:
		if ctx.Err() != nil {
			k.leave()
			return v, context.Cause(ctx), false
		}
		v, err = lead(ctx, l, k, fn)
		return v, err, false
	case hit:
		defer k.leave()
		v, err = open(l, f)
		return v, err, false
	default:
		k.leave()
		return v, s.failure, s.failure == nil
	}
}

func open[V any](l loader[V], f found) (V, error) {
	defer f.release()
	return l.open(f)
}

// lead runs the load. However that ends, the call does too. A failure once the leader's own context
// is done is the leader's alone: what else would have come of the load the others cannot know, and
// one of them leads next, with a context that lives. Whether the failure says that it came of the
// context is not asked, since many do not.
func lead[V any](ctx context.Context, l loader[V], k call, fn func() (V, error)) (v V, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// A panic, or Goexit, which nothing recovers. The frames that panicked are still on the
		// stack here, so a panic that goes on from here is printed with them.
		p := recover()
		err = ErrGoexit
		if p != nil {
			err = PanicError{Value: p, Panic: p, Stack: string(debug.Stack())}
		}
		k.fail(err)
		if p != nil {
			panic(p)
		}
	}()
	var kept sealed
	if v, err = fn(); err == nil {
		kept, err = l.seal(v)
	}
	returned = true
	if err != nil {
		if ctx.Err() != nil {
			k.leave()
		} else {
			k.fail(err)
		}
		var none V
		return none, err
	}
	kept.land(k)
	return v, nil
}
