package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
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
// still runs. In a loop one of each kind is kept until the next execution.
func Signal(signals ...os.Signal) Option {
	if len(signals) == 0 {
		signals = DefaultSignals()
	}
	signals = distinct(signals)
	return func(a *actor) {
		w := watch{stopped: make(chan struct{})}
		a.task = task{
			execute: w.next,
			begin:   func(context.Context) { w.begin(signals) },
			stop:    func(error) { close(w.stopped) },
			end:     w.end,
			signals: signals,
		}
	}
}

// distinct is a copy without repetitions, which would each be received.
func distinct(signals []os.Signal) (all []os.Signal) {
	for _, s := range signals {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// watch has a channel for each signal: many of one kind would keep another out of a common one.
type watch struct {
	stopped  chan struct{}
	received []chan os.Signal
}

func (w *watch) begin(signals []os.Signal) {
	for _, s := range signals {
		c := make(chan os.Signal, 1)
		signal.Notify(c, s)
		w.received = append(w.received, c)
	}
}

func (w *watch) end() {
	for _, c := range w.received {
		signal.Stop(c)
	}
}

func (w *watch) next() error {
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(w.stopped)}}
	for _, c := range w.received {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)})
	}
	if chosen, s, _ := reflect.Select(cases); chosen > 0 {
		return SignalError{s.Interface().(os.Signal)}
	}
	return nil
}
