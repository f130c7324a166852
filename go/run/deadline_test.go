//go:build go1.25

package run_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"docache/run"
)

// In these bubbles time passes only when all goroutines wait.

// stuck adds an actor that does not stop before the end of the test.
func stuck(t *testing.T, g *run.Group, options ...run.Option) {
	leave := make(chan struct{})
	t.Cleanup(func() { close(leave) })
	g.Add(append(options, run.Execute(func() error { <-leave; return nil }), run.NoOpInterrupt())...)
}

func TestStopWithinNamesWhoStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		g.StopWithin(time.Second)
		leave := make(chan struct{})
		defer close(leave)
		wait := func(error) { <-leave }
		stuck(t, &g, run.Name("execution"))
		stuck(t, &g)
		newLatch().add(&g, run.Name("good"))
		g.Add(run.Name("interrupt"), returns(nil), run.Interrupt(wait))
		g.Add(run.Name("handler"), returns(nil), run.NoOpInterrupt(), run.FailureHandler(wait))
		g.Add(run.Name("failed"), returns(errTwo), run.NoOpInterrupt(), run.FailureHandler(wait))
		err := g.Run()
		var stop *run.StopError
		if !errors.As(err, &stop) || stop.Signal != nil {
			t.Fatal(err)
		}
		names := []string{"execution", "actor 2", "interrupt", "failed"}
		if !reflect.DeepEqual(stop.Running, names) {
			t.Error(stop.Running)
		}
		if !strings.HasPrefix(err.Error(), "run: still running: execution, actor 2, interrupt, failed") {
			t.Error(err)
		}
	})
}

func TestAStopErrorHasTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		g.StopWithin(time.Second)
		stuck(t, &g, run.Name("db"))
		g.Add(returns(errOne), run.NoOpInterrupt())
		start := time.Now()
		err := g.Run()
		if took := time.Since(start); took != time.Second {
			t.Error(took)
		}
		want(t, "run: still running: db; stopped by: one", err)
		if !errors.Is(err, errOne) {
			t.Error(err)
		}
	})
}

func TestStopWithinIsNoErrorIfAllStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		g.StopWithin(time.Hour)
		newLatch().add(&g)
		g.Add(returns(errOne), run.NoOpInterrupt())
		if err := g.Run(); err != errOne {
			t.Error(err)
		}
	})
}

func TestWhoRunsInAnInnerGroupIsNamedByTheOuterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer, inner run.Group
		inner.StopWithin(time.Second)
		stuck(t, &inner, run.Name("deep"))
		outer.Add(run.Name("inner"), run.ExecuteContext(inner.RunContext))
		outer.Add(returns(errOne), run.NoOpInterrupt())
		err := outer.Run()
		want(t, "run: still running: inner/deep; stopped by: one", err)
		if !errors.Is(err, errOne) {
			t.Error(err)
		}
	})
}

func TestTheInnerGroupMayBeTheOneThatEndsTheOuterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer, inner run.Group
		inner.StopWithin(time.Second)
		stuck(t, &inner)
		inner.Add(returns(errOne), run.NoOpInterrupt())
		outer.Add(run.ExecuteContext(inner.RunContext))
		err := outer.Run()
		var stop *run.StopError
		if !errors.As(err, &stop) || !reflect.DeepEqual(stop.Running, []string{"actor 1/actor 1"}) {
			t.Error(err)
		}
		if !errors.Is(err, errOne) || !errors.As(stop.Cause, &stop) {
			t.Error(err)
		}
	})
}

func TestAnActorThatOutlivesRunEndsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		g.StopWithin(time.Second)
		leave, handled := make(chan struct{}), make(chan error, 1)
		g.Add(run.Name("late"), run.NoOpInterrupt(),
			run.Execute(func() error { <-leave; panic("late") }),
			run.FailureHandler(func(err error) { handled <- err }))
		g.Add(returns(nil), run.NoOpInterrupt())
		want(t, "run: still running: late", g.Run())
		close(leave)
		var p run.PanicError
		if err := <-handled; !errors.As(err, &p) || p.Value != "late" {
			t.Error(err)
		}
	})
}

// The others return what they were interrupted with, which is no news of theirs.
func TestOnlyTheGroupThatLeftActorsBehindIsNamedWithThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer, left, other run.Group
		left.StopWithin(time.Second)
		stuck(t, &left, run.Name("deep"))
		left.Add(returns(errOne), run.NoOpInterrupt())
		returnsCause := run.ExecuteContext(func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("interrupted: %w", context.Cause(ctx))
		})
		other.Add(run.Name("worker"), returnsCause)
		var result error
		outer.Add(run.Name("left"), run.ExecuteContext(left.RunContext))
		outer.Add(run.Name("other"), run.ExecuteContext(func(ctx context.Context) error {
			result = other.RunContext(ctx)
			return result
		}))
		outer.Add(run.Name("third"), returnsCause)
		want(t, "run: still running: left/deep; "+
			"stopped by: left: run: still running: deep; stopped by: one", outer.Run())
		want(t, "left: run: still running: deep; stopped by: one", result)
	})
}

func TestAPanicGoesOnAlsoIfSomebodyStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		g.StopWithin(time.Second)
		stuck(t, &g)
		g.Add(run.Execute(func() error { return explode("boom") }), run.NoOpInterrupt())
		start := time.Now()
		defer func() {
			if got := recover(); got != "boom" || time.Since(start) != time.Second {
				t.Error(got, time.Since(start))
			}
		}()
		t.Error(g.Run())
	})
}
