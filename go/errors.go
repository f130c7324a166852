package docache

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by methods that cannot do their work after [LoopCache.Close].
	ErrClosed = errors.New("docache: the cache is closed")

	// ErrNotRunning is returned by [LoopCache.Refresh] when the loop is not running, or stops
	// first, for whatever reason.
	ErrNotRunning = errors.New("docache: the cache is not running")

	// ErrReentrant is returned to a Doer that waits for its own next result, which could never
	// come.
	ErrReentrant = errors.New("docache: a Doer cannot wait for its own result")

	// ErrGoexit is the Error of an entry whose Doer ended its goroutine with [runtime.Goexit].
	ErrGoexit = errors.New("docache: the Doer called runtime.Goexit")
)

// PanicError is the Error of an entry whose Doer panicked: the panic itself ends there, and the
// loop goes on. In the packages singleflight and cache, callers that waited for work that panicked
// get it.
//
// It is returned as a PanicError, not as a pointer; [errors.As] finds either. Two can be compared
// if what was given to panic can.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Panic is the Value again, under the name by which programs of nikand.dev/go/singleflight know
	// it.
	Panic any
	// Stack is the stack of the panicking goroutine, as [runtime/debug.Stack] formats it.
	Stack string
}

// Error returns the panic's value, followed, as in golang.org/x/sync/singleflight, by an empty line
// and the stack.
func (e PanicError) Error() string {
	text := fmt.Sprint("panic: ", e.value())
	if e.Stack == "" {
		return text
	}
	return text + "\n\n" + e.Stack
}

// Unwrap returns the panic's value if that is an error, such as a [runtime.Error], else nil.
func (e PanicError) Unwrap() error {
	err, _ := e.value().(error)
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

// value is also that of a PanicError which somebody else made with the one name or the other.
func (e PanicError) value() any {
	if e.Value == nil {
		return e.Panic
	}
	return e.Value
}

// ArgumentError names the argument that was refused, the value given and what is accepted.
type ArgumentError struct {
	Name     string
	Value    any
	Accepted string
}

// Error returns all three in one line.
func (e *ArgumentError) Error() string {
	return fmt.Sprintf("docache: %s: %v is not accepted; %s", e.Name, e.Value, e.Accepted)
}

// LibraryError is a failure that the library itself reports, such as being out of memory.
type LibraryError struct {
	// Status is one of the negative DOCACHE_ constants of docache.h.
	Status int
	// Message is the library's own explanation.
	Message string
}

// Error returns the message and the status.
func (e *LibraryError) Error() string {
	return fmt.Sprintf("docache: %s (status %d)", e.Message, e.Status)
}
