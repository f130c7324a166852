package singleflight

import (
	"context"
	"sync/atomic"
)

// Func is the work that callers share.
type Func[Res any] = func() (Res, error)

// Result is what DoChan sends, in the shape of golang.org/x/sync/singleflight: what Do would have
// returned, and whether others got it too, as DoShared reports it.
type Result[Res any] struct {
	Val    Res
	Err    error
	Shared bool
}

// Group is one piece of work: callers that come while a run is under way wait for it and share its
// outcome. The zero Group is ready for use. A Group must not be copied after its first use.
//
// A panic in the run continues in the call that led; callers that waited get a [PanicError]. If the
// run ends its goroutine with [runtime.Goexit] they get [ErrGoexit]. With Repanic they panic or
// exit too.
type Group[Res any] struct {
	// Repanic makes the group deal with panics as golang.org/x/sync/singleflight does: all callers
	// of a run that panics panic, the one that led among them, with a [PanicError]; where DoChan is
	// among the calls, which nobody can recover, that ends the program. If the run ends its
	// goroutine with [runtime.Goexit], those that waited end theirs; DoChan still sends
	// [ErrGoexit]. It must not change after the first call.
	Repanic bool

	keyed KeyedGroups[struct{}, Res]
}

// Do runs fn, or waits for the run under way and returns its result; then fn is not called.
//
// Inside the run that it would wait for, on the same goroutine, it returns [ErrReentrant]. A run
// that waits for another goroutine that calls Do is a deadlock that is not detected.
func (g *Group[Res]) Do(fn Func[Res]) (Res, error) {
	res, err, _ := g.ready().do(context.Background(), struct{}{}, fn)
	return res, err
}

// DoCtx is Do for a caller that waits no longer than ctx allows: it returns the cause of ctx (see
// [context.Cause]) once that is done; the others are not affected. If it was done before, nothing
// runs. A caller that leads is inside fn, which ctx does not stop unless fn looks at it.
//
// An error that fn returns once ctx is done goes to this caller only, since it may have come of
// that context. One of the others leads next, and runs its own function.
func (g *Group[Res]) DoCtx(ctx context.Context, fn Func[Res]) (Res, error) {
	res, err, _ := g.ready().do(ctx, struct{}{}, fn)
	return res, err
}

// DoShared is like Do, and also reports whether others got the same result, in the order of
// golang.org/x/sync/singleflight.
func (g *Group[Res]) DoShared(fn Func[Res]) (res Res, err error, shared bool) {
	return g.ready().do(context.Background(), struct{}{}, fn)
}

// DoChan is like Do, but does not wait: it returns a buffered channel that receives the result,
// once. The call has joined a run, or begun one, when DoChan returns.
//
// fn runs on a goroutine of its own. If it panics there the result is a [PanicError], also for the
// one that leads, and [ErrGoexit] after [runtime.Goexit]. Waiting for the channel inside the run
// itself is a deadlock that is not detected. The result need not be received; the channel is not
// closed.
func (g *Group[Res]) DoChan(fn Func[Res]) <-chan Result[Res] { return g.ready().doChan(struct{}{}, fn) }

func (g *Group[Res]) ready() *core[struct{}, Res] { return g.keyed.readyAs(g.Repanic) }

// Forget lets the next call begin a new run even while one is under way; callers that wait for that
// one still get its outcome. It reports whether there was a run.
func (g *Group[Res]) Forget() bool { return g.keyed.Forget(struct{}{}) }

// InFlight reports whether a run is under way that a call would wait for.
func (g *Group[Res]) InFlight() bool { return g.keyed.InFlight() > 0 }

// KeyedGroups is a [Group] for each key; what is said there holds for each key by itself. The zero
// KeyedGroups is ready for use. A KeyedGroups must not be copied after its first use.
//
// Two keys are the same if they are equal by ==. A key that does not equal itself, such as a NaN,
// is never shared; a key that cannot be compared, such as a slice in an interface, panics as in a
// map. What a call costs depends on the type of the keys, see the package's documentation.
//
// Runs of different keys that wait for each other in a cycle are a deadlock that is not detected.
type KeyedGroups[Key comparable, Res any] struct {
	// Repanic makes those who wait for a run that panics or exits do the same. See [Group].
	Repanic bool

	core atomic.Pointer[core[Key, Res]] // nil before the first call
}

// Do runs fn, or waits for the run of the key that is under way and returns its result; then fn is
// not called. See [Group.Do].
func (g *KeyedGroups[Key, Res]) Do(key Key, fn Func[Res]) (Res, error) {
	res, err, _ := g.ready().do(context.Background(), key, fn)
	return res, err
}

// DoCtx is Do for a caller that waits no longer than ctx allows. See [Group.DoCtx].
func (g *KeyedGroups[Key, Res]) DoCtx(ctx context.Context, key Key, fn Func[Res]) (Res, error) {
	res, err, _ := g.ready().do(ctx, key, fn)
	return res, err
}

// DoShared is like Do, and also reports whether others got the same result: always for a call that
// waited, and for the leader if anybody was waiting when the run ended. The order is that of
// golang.org/x/sync/singleflight.
func (g *KeyedGroups[Key, Res]) DoShared(key Key, fn Func[Res]) (res Res, err error, shared bool) {
	return g.ready().do(context.Background(), key, fn)
}

// DoChan is like Do, but does not wait. See [Group.DoChan].
func (g *KeyedGroups[Key, Res]) DoChan(key Key, fn Func[Res]) <-chan Result[Res] {
	return g.ready().doChan(key, fn)
}

// Forget lets the next call of the key begin a new run. See [Group.Forget].
func (g *KeyedGroups[Key, Res]) Forget(key Key) bool {
	c := g.core.Load()
	return c != nil && c.forget(key)
}

// InFlight returns the number of runs under way that a call could wait for.
func (g *KeyedGroups[Key, Res]) InFlight() int {
	c := g.core.Load()
	if c == nil {
		return 0
	}
	return c.inFlight()
}

func (g *KeyedGroups[Key, Res]) ready() *core[Key, Res] { return g.readyAs(g.Repanic) }

func (g *KeyedGroups[Key, Res]) readyAs(repanic bool) *core[Key, Res] {
	if c := g.core.Load(); c != nil {
		return c
	}
	// If another goroutine is faster, the group made here is collected.
	g.core.CompareAndSwap(nil, newCore[Key, Res](repanic))
	return g.core.Load()
}
