package run_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"docache/internal/testkit"
	"docache/run"
)

func TestAGroupWithoutActorsReturnsNil(t *testing.T) {
	var g run.Group
	if err := result(t, g.Run); err != nil {
		t.Error(err)
	}
}

func TestTheFirstReturnEndsTheGroupAndAllInterruptsGetItsError(t *testing.T) {
	for _, want := range []error{nil, errOne} {
		var g run.Group
		first, second := newLatch().add(&g), newLatch().add(&g)
		var own []error
		g.Add(run.Execute(func() error {
			<-first.entered
			<-second.entered
			return want
		}), run.Interrupt(func(err error) { own = append(own, err) }))
		if err := result(t, g.Run); err != want {
			t.Error(err)
		}
		if first.got(t) != want || second.got(t) != want {
			t.Error(first.causes, second.causes)
		}
		// It had returned by then.
		if len(own) != 1 || own[0] != want {
			t.Error(own)
		}
	}
}

func TestLaterErrorsChangeNothing(t *testing.T) {
	var g run.Group
	g.Add(returns(errOne), run.NoOpInterrupt())
	stopped := make(chan struct{})
	g.Add(run.Execute(func() error { <-stopped; return errTwo }),
		run.Interrupt(func(error) { close(stopped) }))
	if err := result(t, g.Run); err != errOne {
		t.Error(err)
	}
}

func TestFailureHandlersGetTheErrorsOfTheirOwnActors(t *testing.T) {
	var g run.Group
	var mu sync.Mutex
	handled := map[string][]error{}
	handler := func(of string) run.Option {
		return run.FailureHandler(func(err error) {
			mu.Lock()
			defer mu.Unlock()
			handled[of] = append(handled[of], err)
		})
	}
	stopped := make(chan struct{})
	g.Add(returns(errOne), run.NoOpInterrupt(), handler("first"))
	g.Add(run.Execute(func() error { <-stopped; return errTwo }),
		run.Interrupt(func(error) { close(stopped) }), handler("interrupted"))
	newLatch().add(&g, handler("good"))
	if err := result(t, g.Run); err != errOne {
		t.Error(err)
	}
	want := map[string][]error{"first": {errOne}, "interrupted": {errTwo}}
	if !reflect.DeepEqual(handled, want) {
		t.Error(handled)
	}
}

func TestInterruptsDoNotWaitForAFailureHandlerButRunDoes(t *testing.T) {
	var g run.Group
	other := newLatch().add(&g)
	handled := false
	g.Add(returns(errOne), run.NoOpInterrupt(), run.FailureHandler(func(error) {
		<-other.stopped
		handled = true
	}))
	if err := result(t, g.Run); err != errOne || !handled {
		t.Error(err, handled)
	}
}

func TestInterruptsRunAtTheSameTimeAndRunWaitsForThem(t *testing.T) {
	var g run.Group
	const many = 20
	var meet sync.WaitGroup
	meet.Add(many)
	over := make([]bool, many)
	for i := range many {
		g.Add(returns(nil), run.Interrupt(func(error) {
			meet.Done()
			meet.Wait()
			over[i] = true
		}))
	}
	if err := result(t, g.Run); err != nil {
		t.Error(err)
	}
	for i, over := range over {
		if !over {
			t.Error(i)
		}
	}
}

func TestRunWaitsForExecutionsThatStopLate(t *testing.T) {
	var g run.Group
	g.Add(returns(errOne), run.NoOpInterrupt())
	told, leave := make(chan struct{}), make(chan struct{})
	over := false
	g.Add(run.Execute(func() error { <-leave; over = true; return nil }),
		run.Interrupt(func(error) { close(told) }))
	done := testkit.Async(func() {
		if err := g.Run(); err != errOne || !over {
			t.Error(err, over)
		}
	})
	testkit.Within(t, told, "the interrupt")
	close(leave)
	testkit.Within(t, done, "Run")
}

func TestGoexitCountsAsAnError(t *testing.T) {
	var g run.Group
	other := newLatch().add(&g)
	var handled error
	g.Add(run.Execute(func() error { runtime.Goexit(); return nil }), run.NoOpInterrupt(),
		run.FailureHandler(func(err error) { handled = err; runtime.Goexit() }))
	g.Add(returns(nil), run.Interrupt(func(error) { runtime.Goexit() }))
	err := result(t, g.Run)
	// Which of the two is first, nobody knows.
	if handled != run.ErrGoexit || err != nil && err != run.ErrGoexit || other.got(t) != err {
		t.Error(handled, err, other.causes)
	}
}

func TestRunTwiceAndAddAfterRun(t *testing.T) {
	var g run.Group
	calls := 0
	g.Add(run.Execute(func() error { calls++; return errOne }), run.NoOpInterrupt())
	if err := result(t, g.Run); err != errOne {
		t.Error(err)
	}
	if err := result(t, g.Run); err != run.ErrAlreadyRun {
		t.Error(err)
	}
	if err := g.RunContext(context.Background()); err != run.ErrAlreadyRun || calls != 1 {
		t.Error(err, calls)
	}
	want(t, "run: Add (actor 2): Run was called before",
		recovered(t, func() { g.Add(returns(nil), run.NoOpInterrupt()) }))
	want(t, "run: StopWithin: Run was called before", recovered(t, func() { g.StopWithin(1) }))
	var empty run.Group
	if result(t, empty.Run) != nil || result(t, empty.Run) != run.ErrAlreadyRun {
		t.Error("an empty group runs once, too")
	}
}

func want(t *testing.T, text string, value any) {
	t.Helper()
	if fmt.Sprint(value) != text {
		t.Errorf("%v\ninstead of\n%v", value, text)
	}
}

func TestAddNeedsAnInterruptAndSomethingToExecute(t *testing.T) {
	const (
		noInterrupt = ": there is no interrupt; " +
			"give Interrupt, or NoOpInterrupt if the actor ends by itself"
		nothing = ": there is nothing to execute; give Execute, ExecuteContext or Signal"
	)
	var g run.Group
	var l run.Loop
	for _, to := range []interface{ Add(...run.Option) }{&g, &l} {
		add := func(options ...run.Option) any {
			return recovered(t, func() { to.Add(options...) })
		}
		want(t, "run: Add (actor 1)"+noInterrupt, add(returns(nil)))
		want(t, "run: Add (db)"+noInterrupt, add(run.Name("db"), returns(nil)))
		want(t, "run: Add (actor 1)"+noInterrupt, add(returns(nil), run.Interrupt(nil)))
		want(t, "run: Add (actor 1)"+nothing, add())
		want(t, "run: Add (actor 1)"+nothing, add(run.NoOpInterrupt()))
		want(t, "run: Add (actor 1)"+nothing, add(run.NoOpInterrupt(), run.Execute(nil)))
		want(t, "run: Add (actor 1)"+nothing, add(run.NoOpInterrupt(), run.ExecuteContext(nil)))
		// What a later option replaced is gone, its interrupt included.
		want(t, "run: Add (actor 1)"+noInterrupt, add(run.Signal(), returns(nil)))
	}
	if err := result(t, g.Run); err != nil {
		t.Error("what was refused was added", err)
	}
}

func TestNilOptionsAndHandlersAreNothing(t *testing.T) {
	var g run.Group
	g.Add(nil, returns(errOne), run.NoOpInterrupt(), run.FailureHandler(nil))
	if err := result(t, g.Run); err != errOne {
		t.Error(err)
	}
}

func TestAddWhileTheGroupRunsIsAPanicOfTheActor(t *testing.T) {
	var g run.Group
	other := newLatch().add(&g)
	g.Add(run.Execute(func() error {
		<-other.entered
		g.Add(returns(nil), run.NoOpInterrupt())
		return nil
	}), run.NoOpInterrupt())
	want(t, "run: Add (actor 3): Run was called before", recovered(t, func() { g.Run() }))
	other.got(t)
}

func TestNames(t *testing.T) {
	var g run.Group
	var handled error
	other := newLatch().add(&g)
	g.Add(run.Name("db"), returns(errOne), run.NoOpInterrupt(),
		run.FailureHandler(func(err error) { handled = err }))
	err := result(t, g.Run)
	var named *run.ActorError
	if !errors.As(err, &named) || named.Name != "db" || named.Err != errOne {
		t.Error(err)
	}
	want(t, "db: one", err)
	if !errors.Is(err, errOne) {
		t.Error(err)
	}
	if handled != err || other.got(t) != err {
		t.Error(handled, other.causes)
	}

	var quiet run.Group
	quiet.Add(run.Name("db"), returns(nil), run.NoOpInterrupt())
	if err := result(t, quiet.Run); err != nil {
		t.Error(err)
	}
}

type key struct{}

func TestRunContext(t *testing.T) {
	parent := context.WithValue(context.Background(), key{}, "value")
	ctx, cancel := context.WithCancelCause(parent)
	var g run.Group
	entered := make(chan struct{})
	other := newLatch().add(&g)
	g.Add(run.ExecuteContext(func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		if ctx.Value(key{}) != "value" || context.Cause(ctx) != errOne {
			t.Error(ctx, context.Cause(ctx))
		}
		return errTwo
	}))
	go func() {
		<-entered
		<-other.entered
		cancel(errOne)
	}()
	if err := result(t, func() error { return g.RunContext(ctx) }); err != errOne {
		t.Error(err)
	}
	if other.got(t) != errOne {
		t.Error(other.causes)
	}
}

func TestAContextThatIsDoneStillStartsAndInterruptsEachActor(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var g run.Group
	actor := newLatch().add(&g)
	if err := result(t, func() error { return g.RunContext(ctx) }); err != context.Canceled {
		t.Error(err)
	}
	testkit.Within(t, actor.entered, "the execution")
	if actor.got(t) != context.Canceled {
		t.Error(actor.causes)
	}
}

// The actor would end the group, with an error of its own, if its context ended with the group's.
func TestTheEndOfTheContextIsTheErrorWhateverTheActorsMakeOfIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		var g run.Group
		for range 1000 { // so that some run before the last one is started
			g.Add(run.ExecuteContext(func(ctx context.Context) error {
				<-ctx.Done()
				return errTwo
			}))
		}
		if err := g.RunContext(ctx); err != context.Canceled {
			t.Fatal(err)
		}
	}
}

func TestExecuteContextIsCancelledBesideAnInterruptOfItsOwn(t *testing.T) {
	var g run.Group
	var got, cause error
	g.Add(run.ExecuteContext(func(ctx context.Context) error {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return ctx.Err()
	}), run.Interrupt(func(err error) { got = err }))
	g.Add(returns(nil), run.NoOpInterrupt())
	if err := result(t, g.Run); err != nil || got != nil || cause != context.Canceled {
		t.Error(err, got, cause)
	}
}

func TestStopFromInsideAnActor(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var g run.Group
	g.Add(run.ExecuteContext(func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return nil
	}))
	if err := result(t, func() error { return g.RunContext(ctx) }); err != context.Canceled {
		t.Error(err)
	}
}

// brittle is an error that a nil pointer makes a trap, as it is returned by mistake.
type brittle struct{ err error }

func (*brittle) Error() string   { return "brittle" }
func (b *brittle) Unwrap() error { return b.err }

func TestAnErrorWhoseMethodsPanicEndsTheGroupLikeOthers(t *testing.T) {
	var g run.Group
	other := newLatch().add(&g)
	var trap *brittle
	g.Add(returns(trap), run.NoOpInterrupt())
	var err error
	if value := recovered(t, func() { err = g.Run() }); value != nil {
		t.Fatal(value)
	}
	if err != error(trap) || other.got(t) != error(trap) {
		t.Error(err, other.causes)
	}
}

func TestANilContextStartsNothing(t *testing.T) {
	var g run.Group
	actor := newLatch().add(&g)
	defer close(actor.stopped)
	if recovered(t, func() { g.RunContext(nil) }) == nil {
		t.Error("no panic")
	}
	testkit.Eventually(t, "no goroutine that nobody interrupts", func() bool {
		return testkit.Inside(t, "docache/run.") == 0
	})
}

func TestNestedGroups(t *testing.T) {
	var outer, inner run.Group
	deep := newLatch().add(&inner, run.Name("deep"))
	outer.Add(run.Name("inner"), run.ExecuteContext(inner.RunContext))
	outer.Add(run.Execute(func() error { <-deep.entered; return errOne }), run.NoOpInterrupt())
	if err := result(t, outer.Run); err != errOne || deep.got(t) != errOne {
		t.Error(err, deep.causes)
	}

	var outer2, inner2 run.Group
	inner2.Add(run.Name("deep"), returns(errTwo), run.NoOpInterrupt())
	beside := newLatch().add(&outer2)
	outer2.Add(run.Name("inner"), run.ExecuteContext(inner2.RunContext))
	err := result(t, outer2.Run)
	want(t, "inner: deep: two", err)
	if !errors.Is(err, errTwo) || beside.got(t) != err {
		t.Error(beside.causes)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	var g run.Group
	for range 100 {
		newLatch().add(&g)
	}
	g.Add(run.Signal())
	g.Add(run.ExecuteContext(func(ctx context.Context) error { <-ctx.Done(); return nil }))
	g.Add(returns(errOne), run.NoOpInterrupt())
	if err := result(t, g.Run); err != errOne {
		t.Error(err)
	}
	testkit.Eventually(t, "the end of all goroutines", func() bool {
		return testkit.Inside(t, "docache/run.") == 0
	})
}

func TestAGroupOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var g run.Group
	for range 5 { // that keep the processor busy until they are interrupted
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(run.Execute(func() error {
			for ctx.Err() == nil {
			}
			return nil
		}), run.Interrupt(func(error) { cancel() }))
	}
	g.Add(returns(errOne), run.NoOpInterrupt())
	if err := result(t, g.Run); err != errOne {
		t.Error(err)
	}
}
