package singleflight

import (
	"errors"
	"runtime/debug"

	"docache"
)

var (
	// ErrReentrant is returned by a call inside the run that it would wait for.
	ErrReentrant = errors.New("singleflight: a run cannot wait for itself")

	// ErrGoexit is what callers that waited get if the run ended its goroutine with
	// [runtime.Goexit].
	ErrGoexit = errors.New("singleflight: the run called runtime.Goexit")
)

// PanicError is what callers that waited get if the run panicked. The panic itself continues in the
// call that led. All callers that waited for a run get the same one.
type PanicError = docache.PanicError

// panicError is for what recover returned, while the frames that panicked are still on the stack.
func panicError(p any) PanicError {
	return PanicError{Value: p, Panic: p, Stack: string(debug.Stack())}
}

// AsPanicError finds a PanicError among the errors that err wraps.
func AsPanicError(err error) (PanicError, bool) {
	var e PanicError
	ok := errors.As(err, &e)
	return e, ok
}
