package docache

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by methods that cannot do their work after [LoopCache.Close].
	ErrClosed = errors.New("docache: the cache is closed")

	// ErrNotRunning is returned by [LoopCache.Refresh] when no loop is there to run the Doer, or when it stops first.
	ErrNotRunning = errors.New("docache: the cache is not running")

	// ErrReentrant is returned to a Doer that waits for its own next result, which could never come.
	ErrReentrant = errors.New("docache: a Doer cannot wait for its own result")

	// ErrGoexit is the Error of an entry whose Doer ended its goroutine with [runtime.Goexit].
	ErrGoexit = errors.New("docache: the Doer called runtime.Goexit")
)

// PanicError is the Error of an entry whose Doer panicked. The panic itself ends there; the loop goes on.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is the stack of the panicking goroutine, as [runtime/debug.Stack] formats it.
	Stack []byte
}

// Error names the panic's value; the stack is left to the Stack field.
func (e *PanicError) Error() string { return fmt.Sprintf("docache: the Doer panicked: %v", e.Value) }

// Unwrap returns the panic's value if that is an error, such as a [runtime.Error], else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// ArgumentError tells which argument was refused, the value given and what is accepted.
type ArgumentError struct {
	Name     string
	Value    any
	Accepted string
}

// Error says all three in one line.
func (e *ArgumentError) Error() string {
	return fmt.Sprintf("docache: %s: %v is not accepted; %s", e.Name, e.Value, e.Accepted)
}

// LibraryError is a failure that the library itself reports, for instance that it is out of memory.
type LibraryError struct {
	// Status is one of the negative DOCACHE_ constants of docache.h.
	Status int
	// Message is the library's own explanation.
	Message string
}

// Error gives the message and the status.
func (e *LibraryError) Error() string {
	return fmt.Sprintf("docache: %s (status %d)", e.Message, e.Status)
}
