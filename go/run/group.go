package run

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"time"
)

// Group runs actors until the first of them returns, then stops the others. The zero value is
// ready. A Group must not be copied.
type Group struct {
	set     set
	bounded bool
	limit   time.Duration
}

// Add adds an actor, which starts with Run. It needs something to execute and something that
// interrupts it: [Execute] and [Interrupt] (or [NoOpInterrupt]), [ExecuteContext], or [Signal]. Add
// panics if either is missing, and after Run was called.
func (g *Group) Add(options ...Option) { g.set.add(options) }

// StopWithin limits how long Run waits for the actors to stop, from when the first one has returned
// or the context is done. After that Run returns a [StopError] with the names of those that still
// run, whose goroutines are left alone. Nothing limits the wait if StopWithin was not called; with
// 0 there is no wait. It panics after Run was called.
func (g *Group) StopWithin(limit time.Duration) {
	g.set.mu.Lock()
	defer g.set.mu.Unlock()
	if g.set.ran {
		panic("run: StopWithin: Run was called before")
	}
	g.bounded, g.limit = true, limit
}

// Run runs all actors at the same time, each on a goroutine of its own, and blocks. When the first
// of them has returned, with an error or without, it interrupts all of them, waits until all
// executions, failure handlers and interrupts have returned, and returns what the first one did.
// Without actors it returns nil.
//
// If a function of an actor panicked, Run panics in the end, with the same value; see the package's
// documentation. The second call returns [ErrAlreadyRun].
func (g *Group) Run() error { return g.RunContext(context.Background()) }

// RunContext is Run, and also interrupts the actors, with the [context.Cause], when ctx is done.
// The actors start in any case. It returns the cause then. It panics if ctx is nil.
func (g *Group) RunContext(ctx context.Context) error {
	actors, first := g.set.begin()
	if !first {
		return ErrAlreadyRun
	}
	if len(actors) == 0 {
		return nil
	}
	done := ctx.Done() // a nil ctx panics here, where nothing runs yet
	r := newGroupRun(actors)
	prepare(ctx, actors)
	defer release(actors)
	defer r.watchSignals()()
	for _, a := range actors {
		r.start(a)
	}
	cause := r.wait(ctx, done)
	for _, a := range actors {
		r.interrupt(a, cause)
	}
	r.drain(g.bounded, g.limit)
	r.panics.resume()
	return r.result(ctx, cause)
}

// groupRun is one run of a group. Only the goroutine of Run uses it, but for events, to which each
// goroutine of an actor sends.
type groupRun struct {
	actors []*actor
	// busy counts the goroutines that each actor has, left those of all.
	busy []int
	left int
	// events has room for all that can come: nobody waits to send, also after Run returned.
	events chan event
	// signals gets those that any of the actors waits for, too.
	signals  chan os.Signal
	received int
	second   os.Signal
	// ended has the executions that are over, in the order in which they ended.
	ended  []event
	panics panics
}

// event is something that happened on an actor's goroutine: an execution came first, and is then
// over with its failure handler, or an interrupt is over.
type event struct {
	actor   *actor
	kind    eventKind
	outcome outcome
	result  error // of an execution: the error with the actor's name
}

type eventKind int

const (
	executed    eventKind = iota // the execution ended
	handled                      // the failure handler ended
	interrupted                  // the interrupt ended
	finished                     // a goroutine is about to end
)

// eventsPerActor: one of each kind, and finished by two goroutines.
const eventsPerActor = 5

func newGroupRun(actors []*actor) *groupRun {
	return &groupRun{
		actors: actors,
		busy:   make([]int, len(actors)),
		events: make(chan event, eventsPerActor*len(actors)),
	}
}

// watchSignals counts the signals that the actors wait for, until the result is called.
func (r *groupRun) watchSignals() (stop func()) {
	var all []os.Signal
	for _, a := range r.actors {
		all = append(all, a.task.signals...)
	}
	if len(all) == 0 {
		return func() {}
	}
	r.signals = make(chan os.Signal, 2) // more than two say nothing new
	signal.Notify(r.signals, all...)
	return func() { signal.Stop(r.signals) }
}

// spawn runs a part of an actor on a goroutine of its own.
func (r *groupRun) spawn(a *actor, part func()) {
	r.busy[a.place-1]++
	r.left++
	go func() {
		defer func() { r.events <- event{actor: a, kind: finished} }()
		part()
	}()
}

// start has the actor execute. The group hears of the outcome before the failure handler does,
// which may take its time.
func (r *groupRun) start(a *actor) {
	r.spawn(a, func() {
		attempt(a.task.execute, func(o outcome) {
			err := a.wrap(o.err)
			r.events <- event{a, executed, o, err}
			if err == nil || a.failed == nil {
				return
			}
			call(a.failed, err, func(o outcome) { r.events <- event{a, handled, o, nil} })
		})
	})
}

func (r *groupRun) interrupt(a *actor, cause error) {
	r.spawn(a, func() {
		call(a.interrupted, cause, func(o outcome) { r.events <- event{a, interrupted, o, nil} })
	})
}

// wait returns what the first execution that ends returned, or why the context is done. No other
// event can come before the end of an execution.
func (r *groupRun) wait(ctx context.Context, done <-chan struct{}) (cause error) {
	select {
	case e := <-r.events:
		r.note(e)
		return e.result
	case <-done:
		return context.Cause(ctx)
	}
}

// drain waits until all goroutines are over, or there is no more time, or a second signal comes.
func (r *groupRun) drain(bounded bool, limit time.Duration) {
	var late <-chan time.Time
	if bounded {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	for r.left > 0 {
		select {
		case e := <-r.events:
			r.note(e)
		case <-late:
			r.noteAll()
			return
		case s := <-r.signals:
			if r.received++; r.received > 1 {
				r.noteAll()
				r.second = s
				return
			}
		}
	}
}

func (r *groupRun) noteAll() {
	for {
		select {
		case e := <-r.events:
			r.note(e)
		default:
			return
		}
	}
}

func (r *groupRun) note(e event) {
	switch e.kind {
	case executed:
		r.panics.add(e.actor.label(), e.outcome)
		r.ended = append(r.ended, e)
	case handled:
		r.panics.add("the failure handler of "+e.actor.label(), e.outcome)
	case interrupted:
		r.panics.add("the interrupt of "+e.actor.label(), e.outcome)
	case finished:
		r.busy[e.actor.place-1]--
		r.left--
	}
}

// nested lists who still runs in groups that are actors of this one. An actor may also return the
// error that it was interrupted with, or a part of it. So a StopError counts only for the first
// who returned it, and not at all if it came with the context.
func (r *groupRun) nested(ctx context.Context) (names []string) {
	known := map[*StopError]bool{nil: true}
	known[stopError(context.Cause(ctx))] = true
	for _, e := range r.ended {
		inner := stopError(e.result)
		if known[inner] {
			continue
		}
		known[inner] = true
		for _, name := range inner.Running {
			names = append(names, e.actor.label()+"/"+name)
		}
	}
	return names
}

// stopError looks for a StopError. There is none in an error whose methods panic, as those of a nil
// pointer may: that is its owner's affair, and not to end Run.
func stopError(err error) (found *StopError) {
	defer func() {
		if recover() != nil {
			found = nil
		}
	}()
	errors.As(err, &found)
	return found
}

func (r *groupRun) result(ctx context.Context, cause error) error {
	var running []string
	for i, a := range r.actors {
		if r.busy[i] > 0 {
			running = append(running, a.label())
		}
	}
	if running = append(running, r.nested(ctx)...); len(running) == 0 {
		return cause
	}
	return &StopError{Cause: cause, Running: running, Signal: r.second}
}
