package singleflight

import (
	"errors"
	"fmt"
)

var (
	// ErrReentrant is returned by a call from inside the very run that it would wait for.
	ErrReentrant = errors.New("singleflight: a run cannot wait for itself")

	// ErrGoexit is what those who waited get if the run ended its goroutine with [runtime.Goexit].
	ErrGoexit = errors.New("singleflight: the run called runtime.Goexit")
)

// PanicError is what those who waited get if the run panicked. The panic itself goes on in the call that led.
//
// [errors.As] finds it as a *PanicError and as a PanicError.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Panic is the Value again, under the name by which programs of nikand.dev/go/singleflight know it.
	Panic any
	// Stack is the stack of the panicking goroutine, as [runtime/debug.Stack] formats it.
	Stack []byte
}

// AsPanicError finds the PanicError among the errors that err wraps.
func AsPanicError(err error) (PanicError, bool) {
	var e PanicError
	ok := errors.As(err, &e)
	return e, ok
}

// Error names the panic's value; the stack is left to the Stack field.
func (e PanicError) Error() string { return fmt.Sprintf("singleflight: the run panicked: %v", e.Value) }

// Unwrap returns the panic's value if that is an error, such as a [runtime.Error], else nil.
func (e PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// As lets errors.As fill in a PanicError, though it is a pointer to one that travels: it can be compared.
func (e *PanicError) As(target any) bool {
	t, ok := target.(*PanicError)
	if ok {
		*t = *e
	}
	return ok
}
