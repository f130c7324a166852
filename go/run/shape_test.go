package run_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"docache/internal/testkit"
	"docache/run"
)

// What programs written for the original call, with its types.
var (
	_ func(*run.Group, ...run.Option)     = (*run.Group).Add
	_ func(*run.Group) error              = (*run.Group).Run
	_ func(*run.Loop, ...run.Option)      = (*run.Loop).Add
	_ func(*run.Loop, <-chan struct{})    = (*run.Loop).Run
	_ func(func() error) run.Option       = run.Execute
	_ func(func(error)) run.Option        = run.FailureHandler
	_ func(func(error)) run.Option        = run.Interrupt
	_ func() run.Option                   = run.NoOpInterrupt
	_ func(...os.Signal) run.Option       = run.Signal
	_ func() []os.Signal                  = run.DefaultSignals
	_ func(run.SignalError) string        = run.SignalError.Error
	_ func(error) bool                    = run.IsSignal
	_ func(func(run.Retrier) error) error = run.Retry

	_ error = run.SignalError{Signal: os.Interrupt}
	_       = struct{ Signal os.Signal }(run.SignalError{})
)

// The interface has these methods and no other.
var (
	_ interface {
		Iteration() int
		SetDelay(duration time.Duration)
		Stop()
	} = run.Retrier(nil)
	_ run.Retrier = (interface {
		Iteration() int
		SetDelay(duration time.Duration)
		Stop()
	})(nil)
)

// What there is besides.
var (
	_ func(*run.Group, context.Context) error              = (*run.Group).RunContext
	_ func(*run.Group, time.Duration)                      = (*run.Group).StopWithin
	_ func(func(context.Context) error) run.Option         = run.ExecuteContext
	_ func(string) run.Option                              = run.Name
	_ func(run.Backoff) run.Option                         = run.Pause
	_ func(context.Context, func(run.Retrier) error) error = run.RetryContext
	_ func(error) error                                    = run.Permanent
	_ func(time.Duration) run.Backoff                      = run.Constant
	_ func(time.Duration, time.Duration) run.Backoff       = run.Exponential
	_ func(run.Backoff, int) run.Backoff                   = run.Backoff.WithMaxAttempts
	_ func(run.Backoff, time.Duration) run.Backoff         = run.Backoff.WithBudget
	_ func(run.Backoff, run.Retrier)                       = run.Backoff.Apply
)

func TestOptionsAreFunctionsOfAnActor(t *testing.T) {
	option := reflect.TypeFor[run.Option]()
	if option.Kind() != reflect.Func || option.NumIn() != 1 || option.NumOut() != 0 ||
		option.In(0).Kind() != reflect.Pointer {
		t.Error(option)
	}
}

// A program as it was written for the original, with nothing changed but the import path.
func TestAProgramInTheShapeOfTheOriginal(t *testing.T) {
	var (
		group    run.Group
		loop     run.Loop
		failures atomic.Int32
		ticks    atomic.Int32
		stop     = make(chan struct{})
		quit     = make(chan struct{})
	)
	loop.Add(
		run.Execute(func() error {
			if ticks.Add(1) == 5 {
				close(quit)
			}
			return errors.New("tick")
		}),
		run.FailureHandler(func(err error) { failures.Add(1) }),
		run.NoOpInterrupt(),
	)
	group.Add(run.Signal(run.DefaultSignals()...))
	group.Add(
		run.Execute(func() error { loop.Run(stop); return nil }),
		run.Interrupt(func(err error) { close(stop) }),
	)
	group.Add(
		run.Execute(func() error {
			<-quit
			return run.Retry(func(retrier run.Retrier) error {
				if retrier.Iteration() == 3 {
					retrier.Stop()
				}
				retrier.SetDelay(time.Microsecond)
				return errOne
			})
		}),
		run.NoOpInterrupt(),
	)
	var err error
	testkit.Within(t, testkit.Async(func() { err = group.Run() }), "the program")
	if err != errOne || run.IsSignal(err) || failures.Load() != ticks.Load() || ticks.Load() < 5 {
		t.Error(err, failures.Load(), ticks.Load())
	}
}
