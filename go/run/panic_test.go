package run_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"docache/run"
)

// explode is to be found in stacks.
//
//go:noinline
func explode(value any) error { panic(value) }

func TestAPanicInterruptsTheOthersAndGoesOnInRun(t *testing.T) {
	for _, value := range []any{"boom", io.EOF, 7, new(int)} {
		var g run.Group
		other := newLatch().add(&g)
		var handled error
		g.Add(run.Execute(func() error { return explode(value) }), run.NoOpInterrupt(),
			run.FailureHandler(func(err error) {
				<-other.stopped // before this returns
				handled = err
			}))
		if got := recovered(t, func() { g.Run() }); got != value {
			t.Error(got)
		}
		cause := other.got(t)
		var p run.PanicError
		if !errors.As(cause, &p) || p.Value != value || !strings.Contains(p.Stack, "run_test.explode") {
			t.Error(cause)
		}
		if handled != cause || errors.Is(cause, io.EOF) != (value == io.EOF) {
			t.Error(handled, cause)
		}
		var pointer *run.PanicError
		if !errors.As(cause, &pointer) || *pointer != p {
			t.Error(pointer)
		}
		if !strings.HasPrefix(p.Error(), "panic: ") || !strings.Contains(p.Error(), "explode") {
			t.Error(p)
		}
	}
}

func TestAPanicOfARuntimeErrorKeepsItsType(t *testing.T) {
	var g run.Group
	var none []int
	g.Add(run.Name("index"), run.NoOpInterrupt(),
		run.Execute(func() error { none[0] = 1; return nil }))
	value := recovered(t, func() { g.Run() })
	if err, ok := value.(error); !ok || !strings.Contains(err.Error(), "index out of range") {
		t.Error(value)
	}
}

func TestAPanicAfterTheInterruptGoesOnInRunToo(t *testing.T) {
	var g run.Group
	stopped := make(chan struct{})
	g.Add(run.Execute(func() error { <-stopped; return explode("late") }),
		run.Interrupt(func(error) { close(stopped) }))
	g.Add(returns(errOne), run.NoOpInterrupt())
	if got := recovered(t, func() { g.Run() }); got != "late" {
		t.Error(got)
	}
}

func TestAPanicOfAnInterruptKeepsNobodyFromStopping(t *testing.T) {
	var g run.Group
	others := []*latch{newLatch().add(&g)}
	g.Add(returns(errOne), run.Interrupt(func(error) { explode("interrupt") }))
	others = append(others, newLatch().add(&g))
	if got := recovered(t, func() { g.Run() }); got != "interrupt" {
		t.Error(got)
	}
	for _, other := range others {
		if other.got(t) != errOne {
			t.Error(other.causes)
		}
	}
}

func TestAPanicOfAFailureHandlerKeepsNobodyFromStopping(t *testing.T) {
	var g run.Group
	other := newLatch().add(&g)
	g.Add(returns(errOne), run.NoOpInterrupt(),
		run.FailureHandler(func(error) { explode("handler") }))
	if got := recovered(t, func() { g.Run() }); got != "handler" {
		t.Error(got)
	}
	if other.got(t) != errOne {
		t.Error(other.causes)
	}
}

func TestOfSeveralPanicsTheFirstGoesOn(t *testing.T) {
	var g run.Group
	g.Add(run.Execute(func() error { return explode("first") }),
		run.Interrupt(func(error) { explode("second") }),
		run.FailureHandler(func(error) { explode("third") }))
	if got := recovered(t, func() { g.Run() }); got != "first" {
		t.Error(got)
	}
}

func TestAPanicInAnInnerGroup(t *testing.T) {
	var outer, inner run.Group
	deep := newLatch().add(&inner)
	beside := newLatch().add(&outer)
	inner.Add(run.Name("worker"), run.NoOpInterrupt(),
		run.Execute(func() error { return explode("boom") }))
	outer.Add(run.Name("inner"), run.ExecuteContext(inner.RunContext))
	if got := recovered(t, func() { outer.Run() }); got != "boom" {
		t.Error(got)
	}
	for _, other := range []*latch{deep, beside} {
		var p run.PanicError
		if !errors.As(other.got(t), &p) || p.Value != "boom" {
			t.Fatal(other.causes)
		}
		// Where the panic began, not only where it went on.
		if !strings.Contains(p.Stack, "run_test.explode") {
			t.Error(p.Stack)
		}
	}
}

// A panic of an inner group that its actor recovered from is not part of later ones.
func TestAPanicInAnInnerGroupThatWasRecovered(t *testing.T) {
	recoverFrom := func() error {
		defer func() { recover() }()
		var inner run.Group
		inner.Add(run.Execute(func() error { return explode("inner") }), run.NoOpInterrupt())
		return inner.Run()
	}
	var first, second run.Group
	first.Add(run.Execute(recoverFrom), run.NoOpInterrupt())
	if err := result(t, first.Run); err != nil {
		t.Error(err)
	}
	// The same goroutine, so that a report that was left would be found.
	second.Add(run.ExecuteContext(func(context.Context) error {
		nested := func() (err error) {
			var inner run.Group
			inner.Add(run.Execute(recoverFrom), run.NoOpInterrupt())
			return inner.Run()
		}
		if err := nested(); err != nil {
			t.Error(err)
		}
		panic("outer")
	}))
	other := newLatch().add(&second)
	if got := recovered(t, func() { second.Run() }); got != "outer" {
		t.Error(got)
	}
	var p run.PanicError
	if !errors.As(other.got(t), &p) || strings.Contains(p.Stack, "explode") {
		t.Error(p.Stack)
	}
}

func TestAPanicAfterOneThatWasRecoveredIsReportedAlone(t *testing.T) {
	var g run.Group
	other := newLatch().add(&g)
	g.Add(run.NoOpInterrupt(), run.Execute(func() error {
		func() {
			defer func() { recover() }()
			var inner run.Group
			inner.Add(run.Execute(func() error { return explode("inner") }), run.NoOpInterrupt())
			inner.Run()
		}()
		panic("outer")
	}))
	if got := recovered(t, func() { g.Run() }); got != "outer" {
		t.Error(got)
	}
	var p run.PanicError
	if !errors.As(other.got(t), &p) || strings.Contains(p.Stack, "explode") {
		t.Error(p.Stack)
	}
}

func TestWhatIsPrintedWhenNobodyRecovers(t *testing.T) {
	for name, also := range map[string]string{"panic": "worker panicked", "nested": "inner panicked"} {
		c := startChild(t, name)
		if code := c.wait(t); code != 2 {
			t.Errorf("exit code %d", code)
		}
		text := c.stderr.String()
		for _, part := range []string{also, "worker panicked", "run_test.explode", "panic: boom"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is missing in:\n%s", part, text)
			}
		}
	}
}

func init() {
	worker := func() *run.Group {
		var g run.Group
		g.Add(run.Name("worker"), run.NoOpInterrupt(),
			run.Execute(func() error { return explode("boom") }))
		return &g
	}
	children["panic"] = func() { worker().Run() }
	children["nested"] = func() {
		var outer run.Group
		outer.Add(run.Name("inner"), run.ExecuteContext(worker().RunContext))
		outer.Run()
	}
}
