package run

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

var (
	// ErrAlreadyRun is returned by the second call of [Group.Run] or [Group.RunContext].
	ErrAlreadyRun = errors.New("run: Run was called before; a Group runs once")

	// ErrGoexit is the error of an execution that ended its goroutine with [runtime.Goexit].
	ErrGoexit = errors.New("run: the actor called runtime.Goexit")

	// ErrMaxAttempts is the Reason of a [RetryError] if there were as many attempts as
	// [Backoff.WithMaxAttempts] allows.
	ErrMaxAttempts = errors.New("no attempts are left")

	// ErrBudget is the Reason of a [RetryError] if the next wait would have ended after the time
	// that [Backoff.WithBudget] allows.
	ErrBudget = errors.New("the time is used up")
)

// PanicError is the error of an execution that panicked, for interrupts and failure handlers. The
// panic itself goes on in Run.
//
// It is given as a PanicError, not as a pointer; [errors.As] finds either. Two can be compared if
// what was given to panic can.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is the stack of the panicking goroutine, as [runtime/debug.Stack] formats it.
	Stack string
}

// Error returns the panic's value, followed by an empty line and the stack.
func (e PanicError) Error() string {
	text := fmt.Sprint("panic: ", e.Value)
	if e.Stack == "" {
		return text
	}
	return text + "\n\n" + e.Stack
}

// Unwrap returns the panic's value if that is an error, such as a [runtime.Error], else nil.
func (e PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// As lets [errors.As] fill in a pointer too.
func (e PanicError) As(target any) bool {
	t, ok := target.(**PanicError)
	if ok {
		*t = &e
	}
	return ok
}

// ActorError is an error of an actor that has a name.
type ActorError struct {
	Name string
	Err  error
}

// Error returns the name and the error.
func (e *ActorError) Error() string { return e.Name + ": " + e.Err.Error() }

// Unwrap returns the error without the name.
func (e *ActorError) Unwrap() error { return e.Err }

// StopError is returned by [Group.Run] if it did not wait until all actors had stopped: the time
// given to [Group.StopWithin] was over, or a second signal came. It is also returned if that
// happened in a group that is an actor of this one.
type StopError struct {
	// Cause is what Run would have returned otherwise: the result, maybe nil, of the actor that
	// returned first.
	Cause error
	// Running has the names of the actors whose execution, failure handler or interrupt has not
	// returned. One without a name is listed by its place, as in "actor 2"; those of a group within
	// the group follow that one's name, as in "server/listener".
	Running []string
	// Signal is the second signal if that is why Run did not wait, else nil.
	Signal os.Signal
}

// Error returns all three in one line.
func (e *StopError) Error() string {
	text := "run: still running: " + strings.Join(e.Running, ", ")
	if e.Signal != nil {
		text += fmt.Sprintf(" (not waited for after a second signal, %v)", e.Signal)
	}
	if e.Cause != nil {
		text += "; stopped by: " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause, and the second signal as a [SignalError], as far as there are such.
func (e *StopError) Unwrap() []error {
	var all []error
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	if e.Signal != nil {
		all = append(all, SignalError{e.Signal})
	}
	return all
}

// RetryError is returned by [Retry] and [RetryContext] if they gave up because of a limit or of the
// context, and not because the function said so.
type RetryError struct {
	// Attempts counts the calls of the function.
	Attempts int
	// Last is the error of the last call, nil if there was none.
	Last error
	// Reason is [ErrMaxAttempts], [ErrBudget] or the [context.Cause] of the context.
	Reason error
}

// Error returns all three in one line.
func (e *RetryError) Error() string {
	text := fmt.Sprintf("run: gave up after %s: %v", e.count(), e.Reason)
	if e.Last != nil {
		text += "; the last error: " + e.Last.Error()
	}
	return text
}

func (e *RetryError) count() string {
	if e.Attempts == 1 {
		return "1 attempt"
	}
	return fmt.Sprint(e.Attempts, " attempts")
}

// Unwrap returns both the last error and the reason.
func (e *RetryError) Unwrap() []error {
	if e.Last == nil {
		return []error{e.Reason}
	}
	return []error{e.Last, e.Reason}
}
