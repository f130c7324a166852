package run

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"docache/internal/goroutine"
)

// outcome is how a call of a user's function ended. err is not nil if it panicked or exited.
type outcome struct {
	err      error
	panicked bool
}

// attempt calls fn, and then, on the same goroutine, whether fn returned, panicked or called
// runtime.Goexit. After a panic attempt returns; after Goexit it does not, but deferred calls run.
func attempt(fn func() error, then func(outcome)) {
	o := outcome{err: ErrGoexit} // unless fn gets to its end
	defer func() {
		value, inner := recover(), takeInner()
		if value != nil {
			stack := string(debug.Stack())
			if inner != "" && strings.Contains(stack, resumed) {
				stack += "\nrun, inside: " + inner
			}
			o = outcome{PanicError{Value: value, Stack: stack}, true}
		}
		then(o)
	}()
	o.err = fn()
}

// call is attempt for functions without a result.
func call(fn func(error), err error, then func(outcome)) {
	attempt(func() error { fn(err); return nil }, then)
}

// panics keeps the first panic until all others have stopped.
type panics struct {
	mu    sync.Mutex
	first *PanicError
	where string
	more  int
}

// add is for outcomes of panics; others are ignored.
func (p *panics) add(where string, o outcome) {
	if !o.panicked {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first != nil {
		p.more++
		return
	}
	err := o.err.(PanicError)
	p.first, p.where = &err, where
}

// resume goes on with the panic that was added first, if there was one. Whoever recovers gets its
// value. If nobody does, the runtime prints the value of the outer panic too: where, and the stack.
func (p *panics) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		return
	}
	text := p.where + " panicked" + p.others() + ":\n\n" + p.first.Stack
	leaveInner(text)
	defer panic(p.first.Value)
	panic(report(text))
}

func (p *panics) others() string {
	if p.more == 0 {
		return ""
	}
	return fmt.Sprintf(" (the first of %d panics)", p.more+1)
}

// report is printed as it is, since it is an error.
type report string

func (r report) Error() string { return "run: " + string(r) }

// A group may be an actor of another. When its panic goes on in its Run, the stack is that of the
// outer actor's goroutine, and does not show where the panic began. So Run leaves its report here
// for the attempt that it was called in, by the goroutine that both are on. That attempt takes it,
// however it ends: an entry lives no longer than the call that left it. If the actor recovered from
// that panic, and then panicked for a reason of its own, the stack does not lead through resume.
const resumed = "/run.(*panics).resume("

var (
	inner      sync.Map // of goroutine.ID to string
	innerCount atomic.Int64
)

func leaveInner(text string) {
	if id := goroutine.ID(); id != 0 && isInsideAttempt() {
		if _, replaced := inner.Swap(id, text); !replaced {
			innerCount.Add(1)
		}
	}
}

func takeInner() string {
	if innerCount.Load() == 0 {
		return ""
	}
	text, left := inner.LoadAndDelete(goroutine.ID())
	if !left {
		return ""
	}
	innerCount.Add(-1)
	return text.(string)
}

// isInsideAttempt looks for attempt among the callers.
func isInsideAttempt() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			if frame, more = frames.Next(); strings.HasSuffix(frame.Function, "docache/run.attempt") {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
