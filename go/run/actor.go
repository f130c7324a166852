package run

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// Option is one of the things that an actor is made of, for [Group.Add] and [Loop.Add]. Of two that
// say the same thing the later one counts.
type Option func(a *actor)

// actor is what the options of one Add made. Nothing in it changes once it runs.
type actor struct {
	name      string
	place     int // among its siblings, from 1
	task      task
	failed    func(error)
	interrupt func(error)
	pause     Backoff
}

// task is what an actor executes. All but execute may be nil. begin is called once, before the
// first execution; stop at most once, before the actor's own interrupt; end once, last of all.
type task struct {
	execute func() error
	begin   func(ctx context.Context)
	stop    func(cause error)
	end     func()
	signals []os.Signal
}

// Execute gives the function that the actor runs. When that is to end early, the function given to
// [Interrupt] is called: it has to make this one return.
func Execute(fn func() error) Option {
	return func(a *actor) { a.task = task{execute: fn} }
}

// ExecuteContext gives the function that the actor runs, with a context that is cancelled when the
// actor is interrupted. It needs no [Interrupt]; one that is given is called as well.
//
// The context has the values of the one given to [Group.RunContext], but not its deadline: only the
// interrupt ends it. Its [context.Cause] is the error that interrupts get; if that is nil,
// [context.Canceled].
func ExecuteContext(fn func(ctx context.Context) error) Option {
	return func(a *actor) {
		a.task = task{}
		if fn == nil {
			return
		}
		var ctx context.Context
		var cancel context.CancelCauseFunc
		a.task.execute = func() error { return fn(ctx) }
		a.task.begin = func(parent context.Context) {
			// Only the interrupt cancels it: what the parent's end means is up to the group.
			ctx, cancel = context.WithCancelCause(context.WithoutCancel(parent))
		}
		a.task.stop = func(cause error) { cancel(cause) }
	}
}

// FailureHandler gives the function that is told of each execution that failed: that returned an
// error, panicked (the error is a [PanicError] then) or called [runtime.Goexit] ([ErrGoexit]), also
// after the actor was interrupted. It is called after the execution, on its goroutine. In a group
// the interrupts do not wait for it, but Run does.
func FailureHandler(handler func(err error)) Option {
	return func(a *actor) { a.failed = handler }
}

// Interrupt gives the function that makes the actor's execution return. It is called at most once,
// on a goroutine of its own, beside those of the other actors. In a [Group] err is what Run is
// going to return, which may be nil; in a [Loop] it is always nil.
//
// It may be called before, during and after the execution, so it has to leave something behind that
// an execution which begins later sees: a closed channel, a cancelled context, a closed listener.
func Interrupt(fn func(err error)) Option {
	return func(a *actor) { a.interrupt = fn }
}

// NoOpInterrupt is for actors that end by themselves soon enough, whatever happens to the others.
func NoOpInterrupt() Option {
	return Interrupt(func(error) {})
}

// Name gives the actor a name. Its errors become [ActorError]s, which say it, and a [StopError] has
// it in its list.
func Name(name string) Option {
	return func(a *actor) { a.name = name }
}

// Pause has a [Loop] wait between two executions of the actor: the first delay of the backoff after
// an execution that succeeded or was the first to fail, the second after two failures in a row, and
// so on. Stopping the loop ends the wait at once. The limits of the backoff do not count here. A
// [Group] repeats nothing and ignores it.
func Pause(backoff Backoff) Option {
	return func(a *actor) { a.pause = backoff }
}

// label is what an actor is called where it has to be told from the others.
func (a *actor) label() string {
	if a.name == "" {
		return fmt.Sprint("actor ", a.place)
	}
	return a.name
}

// wrap adds the name to an error, if there is one.
func (a *actor) wrap(err error) error {
	if err == nil || a.name == "" {
		return err
	}
	return &ActorError{Name: a.name, Err: err}
}

// interrupted tells the actor to stop. The user's function comes last, since it may block.
func (a *actor) interrupted(cause error) {
	if a.task.stop != nil {
		a.task.stop(cause)
	}
	if a.interrupt != nil {
		a.interrupt(cause)
	}
}

// set is the actors of a group or a loop, until it runs.
type set struct {
	mu     sync.Mutex
	actors []*actor
	ran    bool
}

func (s *set) add(options []Option) {
	a := new(actor)
	for _, option := range options {
		if option != nil {
			option(a)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.place = len(s.actors) + 1
	switch {
	case s.ran:
		panic(fmt.Sprintf("run: Add (%s): Run was called before", a.label()))
	case a.task.execute == nil:
		panic(fmt.Sprintf("run: Add (%s): there is nothing to execute; "+
			"give Execute, ExecuteContext or Signal", a.label()))
	case a.interrupt == nil && a.task.stop == nil:
		panic(fmt.Sprintf("run: Add (%s): there is no interrupt; "+
			"give Interrupt, or NoOpInterrupt if the actor ends by itself", a.label()))
	}
	s.actors = append(s.actors, a)
}

// begin returns the actors to the first who asks.
func (s *set) begin() (actors []*actor, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = !s.ran
	s.ran = true
	return s.actors, first
}

// prepare is called before any of the actors runs, release when none is waited for any more.
func prepare(ctx context.Context, actors []*actor) {
	for _, a := range actors {
		if a.task.begin != nil {
			a.task.begin(ctx)
		}
	}
}

func release(actors []*actor) {
	for _, a := range actors {
		if a.task.end != nil {
			a.task.end()
		}
	}
}
