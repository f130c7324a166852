package run_test

import (
	"errors"
	"testing"

	"docache/internal/testkit"
	"docache/run"
)

var errOne, errTwo = errors.New("one"), errors.New("two")

// result runs f on a goroutine of its own, with a limit, and returns what it returned.
func result(t *testing.T, f func() error) (err error) {
	t.Helper()
	testkit.Within(t, testkit.Async(func() { err = f() }), "Run")
	return err
}

// recovered runs f, with a limit, and returns what it panicked with.
func recovered(t *testing.T, f func()) (value any) {
	t.Helper()
	testkit.Within(t, testkit.Async(func() {
		defer func() { value = recover() }()
		f()
	}), "the panic")
	return value
}

// returns is an execution that returns at once.
func returns(err error) run.Option { return run.Execute(func() error { return err }) }

// latch is an actor that runs until it is interrupted, and keeps what the interrupt got.
type latch struct {
	entered chan struct{}
	stopped chan struct{}
	causes  []error
}

func newLatch() *latch { return &latch{entered: make(chan struct{}), stopped: make(chan struct{})} }

func (l *latch) execute() error {
	close(l.entered)
	<-l.stopped
	return nil
}

func (l *latch) interrupt(err error) {
	l.causes = append(l.causes, err)
	close(l.stopped)
}

func (l *latch) add(to interface{ Add(...run.Option) }, more ...run.Option) *latch {
	to.Add(append([]run.Option{run.Execute(l.execute), run.Interrupt(l.interrupt)}, more...)...)
	return l
}

// got is what the only call of the interrupt got.
func (l *latch) got(t *testing.T) error {
	t.Helper()
	if len(l.causes) != 1 {
		t.Fatalf("%d interrupts", len(l.causes))
	}
	return l.causes[0]
}
