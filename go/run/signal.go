package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// SignalError is what an actor made by [Signal] returns.
type SignalError struct {
	Signal os.Signal
}

// Error says which signal it was.
func (e SignalError) Error() string { return fmt.Sprint("received signal ", e.Signal) }

// IsSignal reports whether there is a [SignalError] among the errors that err wraps.
func IsSignal(err error) bool {
	var value SignalError
	var pointer *SignalError
	return errors.As(err, &value) || errors.As(err, &pointer)
}

// DefaultSignals returns [os.Interrupt] and SIGTERM: what a terminal and a supervisor send to ask
// a program to end.
func DefaultSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// Signal makes an actor that waits for one of the signals and then returns it as a [SignalError];
// if it is interrupted it returns nil. It needs no [Interrupt]. Without arguments it waits for the
// [DefaultSignals].
//
// The signals do not have their usual effect from the beginning of Run to its end. In a group the
// second one ends Run at once: it waits for no actor any more, and returns a [StopError] if any
// still runs.
func Signal(signals ...os.Signal) Option {
	if len(signals) == 0 {
		signals = DefaultSignals()
	}
	return func(a *actor) {
		received := make(chan os.Signal, 1)
		stopped := make(chan struct{})
		a.task = task{
			execute: func() error {
				select {
				case s := <-received:
					return SignalError{s}
				case <-stopped:
					return nil
				}
			},
			begin:   func(context.Context) { signal.Notify(received, signals...) },
			stop:    func(error) { close(stopped) },
			end:     func() { signal.Stop(received) },
			signals: signals,
		}
	}
}
