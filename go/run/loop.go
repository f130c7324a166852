package run

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Loop runs actors again and again, until it is stopped. The zero value is ready. A Loop must not
// be copied.
type Loop struct {
	set set
}

// Add adds an actor, which starts with Run. It needs what [Group.Add] says, and panics as that
// does.
func (l *Loop) Add(options ...Option) { l.set.add(options) }

// Run runs all actors at the same time, each on a goroutine of its own, and blocks. An actor that
// returns, with an error or without, is executed again: at once, unless [Pause] says otherwise.
//
// When stopc is closed no execution begins any more, all actors are interrupted, and Run returns
// when all executions, failure handlers and interrupts have. If stopc is closed to begin with, the
// actors are only interrupted. Without actors Run waits for stopc, and for ever if that is nil. A
// [context.Context] stops a loop by its Done channel.
//
// A panic in an execution is a failure like others: the failure handler gets a [PanicError], and
// the loop goes on. The loop also goes on after a panic that no failure handler gets to see, that
// is, one of an actor without such or of the handler itself; Run goes on with the first of those
// when all have stopped, and with one of an interrupt.
//
// The second call panics.
func (l *Loop) Run(stopc <-chan struct{}) {
	actors, first := l.set.begin()
	if !first {
		panic("run: Loop.Run was called before; a Loop runs once")
	}
	r := &loopRun{stopped: make(chan struct{})}
	prepare(context.Background(), actors)
	defer release(actors)
	select {
	case <-stopc:
	default:
		for _, a := range actors {
			r.over.Add(1)
			go r.repeat(&repeated{actor: a})
		}
		<-stopc
	}
	close(r.stopped)
	for _, a := range actors {
		r.over.Add(1)
		go r.interrupt(a)
	}
	r.over.Wait()
	r.panics.resume()
}

// loopRun is one run of a loop.
type loopRun struct {
	stopped chan struct{} // closed before the first interrupt
	over    sync.WaitGroup
	panics  panics
}

// repeated is an actor and how it has fared. Only the goroutine that executes it uses it.
type repeated struct {
	*actor
	begun    bool
	failures int // in a row
}

// repeat executes the actor until the loop is stopped. If an execution ends the goroutine by
// runtime.Goexit, another goroutine goes on.
func (r *loopRun) repeat(a *repeated) {
	stopped := false
	defer func() {
		if stopped {
			r.over.Done()
		} else {
			go r.repeat(a)
		}
	}()
	for r.next(a) {
		attempt(a.task.execute, func(o outcome) { r.ended(a, o) })
	}
	stopped = true
}

// next waits until it is time for another execution. It is false if there is to be none.
func (r *loopRun) next(a *repeated) bool {
	var delay time.Duration
	if a.begun {
		delay = a.pause.delay(max(a.failures, 1))
		// Others get their turn, whatever the actor does.
		runtime.Gosched()
	}
	a.begun = true
	return sleep(r.stopped, delay)
}

// ended counts failures and tells the failure handler.
func (r *loopRun) ended(a *repeated, o outcome) {
	if o.err == nil {
		a.failures = 0
		return
	}
	a.failures++
	if a.failed == nil {
		r.panics.add(a.label(), o)
		return
	}
	call(a.failed, a.wrap(o.err), func(o outcome) {
		r.panics.add("the failure handler of "+a.label(), o)
	})
}

func (r *loopRun) interrupt(a *actor) {
	defer r.over.Done()
	call(a.interrupted, nil, func(o outcome) { r.panics.add("the interrupt of "+a.label(), o) })
}

// sleep waits, and is false as soon as done is closed.
func sleep(done <-chan struct{}, delay time.Duration) bool {
	select {
	case <-done:
		return false
	default:
	}
	if delay <= 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-done:
		return false
	case <-timer.C:
		return true
	}
}
