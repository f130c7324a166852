package singleflight

import (
	"errors"
	"fmt"
	"runtime/debug"
)

var (
	// ErrReentrant is returned by a call from inside the very run that it would wait for.
	ErrReentrant = errors.New("singleflight: a run cannot wait for itself")

	// ErrGoexit is what those who waited get if the run ended its goroutine with [runtime.Goexit].
	ErrGoexit = errors.New("singleflight: the run called runtime.Goexit")
)

// PanicError is what those who waited get if the run panicked. The panic itself goes on in the call that led.
//
// It travels as a PanicError, not as a pointer to one; [errors.As] finds it as either. All who waited for a run get the same
// one, and two can be compared if what was given to panic can.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Panic is the Value again, under the name by which programs of nikand.dev/go/singleflight know it.
	Panic any
	// Stack is the stack of the panicking goroutine, as [runtime/debug.Stack] formats it.
	Stack string
}

// panicError is for what recover returned, while the frames that panicked are still on the stack.
func panicError(p any) PanicError {
	return PanicError{Value: p, Panic: p, Stack: string(debug.Stack())}
}

// AsPanicError finds the PanicError among the errors that err wraps.
func AsPanicError(err error) (PanicError, bool) {
	var e PanicError
	ok := errors.As(err, &e)
	return e, ok
}

// Error is the panic's value and, as in golang.org/x/sync/singleflight, an empty line and the stack after it.
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
