package run_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"docache/internal/testkit"
	"docache/run"
)

// start runs a loop on a goroutine of its own. What is returned stops it, and waits for it.
func start(t *testing.T, l *run.Loop) (stop func()) {
	stopc := make(chan struct{})
	done := testkit.Async(func() { l.Run(stopc) })
	return func() {
		t.Helper()
		close(stopc)
		testkit.Within(t, done, "the loop")
	}
}

func TestALoopWithoutActorsWaits(t *testing.T) {
	var l run.Loop
	stopc := make(chan struct{})
	done := testkit.Async(func() { l.Run(stopc) })
	select {
	case <-done:
		t.Error("it did not wait")
	case <-time.After(time.Millisecond):
	}
	close(stopc)
	testkit.Within(t, done, "the loop")
}

func TestALoopExecutesAgainWhateverCameOfIt(t *testing.T) {
	var l run.Loop
	var handled []error
	n, enough := 0, make(chan struct{})
	l.Add(run.Execute(func() error {
		switch n++; n {
		case 1:
			return nil
		case 2:
			return errOne
		case 3:
			return explode("boom")
		case 4:
			runtime.Goexit()
		case 5:
			return explode(errTwo)
		case 6:
			close(enough)
		}
		return nil
	}), run.NoOpInterrupt(), run.FailureHandler(func(err error) { handled = append(handled, err) }))
	stop := start(t, &l)
	testkit.Within(t, enough, "the sixth execution")
	stop()
	if len(handled) != 4 || handled[0] != errOne || handled[2] != run.ErrGoexit {
		t.Fatal(handled)
	}
	var p run.PanicError
	if !errors.As(handled[1], &p) || p.Value != "boom" || !errors.Is(handled[3], errTwo) {
		t.Error(handled)
	}
}

func TestTheInterruptsOfALoopGetNilAndRunAtTheSameTime(t *testing.T) {
	var l run.Loop
	one, two := newLatch().add(&l), make(chan struct{})
	l.Add(run.Execute(func() error { <-two; return nil }),
		run.Interrupt(func(err error) {
			<-one.stopped
			if err != nil {
				t.Error(err)
			}
			close(two)
		}))
	three := newLatch()
	l.Add(run.Execute(three.execute), run.Interrupt(func(err error) {
		<-two
		three.interrupt(err)
	}))
	stop := start(t, &l)
	testkit.Within(t, one.entered, "the first actor")
	testkit.Within(t, three.entered, "the third actor")
	stop()
	if one.got(t) != nil || three.got(t) != nil {
		t.Error(one.causes, three.causes)
	}
}

func TestALoopWaitsForExecutionsAndTheirFailureHandlers(t *testing.T) {
	var l run.Loop
	stopped, handled := make(chan struct{}), 0
	entered := make(chan struct{})
	l.Add(run.Execute(func() error { close(entered); <-stopped; return errOne }),
		run.Interrupt(func(error) { close(stopped) }),
		run.FailureHandler(func(error) { handled++ }))
	stop := start(t, &l)
	testkit.Within(t, entered, "the execution")
	stop()
	if handled != 1 {
		t.Error(handled)
	}
}

func TestALoopThatIsStoppedBeforeRunExecutesNothing(t *testing.T) {
	stopc := make(chan struct{})
	close(stopc)
	const many = 1000
	for range 20 {
		var l run.Loop
		var interrupts atomic.Int32
		for range many {
			l.Add(run.Execute(func() error { t.Error("executed"); return nil }),
				run.Interrupt(func(error) { interrupts.Add(1) }))
		}
		testkit.Within(t, testkit.Async(func() { l.Run(stopc) }), "the loop")
		if n := interrupts.Load(); n != many {
			t.Error(n)
		}
	}
}

func TestALoopRunsOnce(t *testing.T) {
	var l run.Loop
	start(t, &l)()
	want(t, "run: Loop.Run was called before; a Loop runs once",
		recovered(t, func() { l.Run(nil) }))
	want(t, "run: Add (actor 1): Run was called before",
		recovered(t, func() { l.Add(returns(nil), run.NoOpInterrupt()) }))
}

func TestALoopStopsFromInside(t *testing.T) {
	var l run.Loop
	stopc, n := make(chan struct{}), 0
	l.Add(run.NoOpInterrupt(), run.Execute(func() error {
		if n++; n == 3 {
			close(stopc)
		}
		return nil
	}))
	testkit.Within(t, testkit.Async(func() { l.Run(stopc) }), "the loop")
	if n < 3 {
		t.Error(n)
	}
}

// storm is an actor that ends at once, again and again, each time in another way.
func storm(l *run.Loop, calls *atomic.Int64, how int) {
	l.Add(run.NoOpInterrupt(), run.FailureHandler(func(error) {}), run.Execute(func() error {
		switch calls.Add(1); how % 4 {
		case 0:
			return errOne
		case 1:
			panic("storm")
		case 2:
			runtime.Goexit()
		}
		return nil
	}))
}

func TestAStormOfEndsDoesNotHoldUpTheStop(t *testing.T) {
	for _, processors := range []int{1, 4} {
		t.Run(fmt.Sprint(processors), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			var l run.Loop
			calls := make([]atomic.Int64, 20)
			for i := range calls {
				storm(&l, &calls[i], i)
			}
			steady := newLatch().add(&l)
			stop := start(t, &l)
			testkit.Within(t, steady.entered, "the steady actor")
			for i := range calls {
				testkit.Eventually(t, "many executions", func() bool { return calls[i].Load() > 20 })
			}
			stop()
			if steady.got(t) != nil {
				t.Error(steady.causes)
			}
		})
	}
}

func TestActorsThatEndAtOnceTakeTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var l run.Loop
	const enough = 1000
	stopc := make(chan struct{})
	calls, row, longest, last := 0, 0, 0, -1
	var mu sync.Mutex
	for i := range 2 {
		l.Add(run.NoOpInterrupt(), run.Execute(func() error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == enough {
				close(stopc)
			}
			if row++; i != last {
				row = 1
			}
			last = i
			if calls <= enough {
				longest = max(longest, row)
			}
			return nil
		}))
	}
	testkit.Within(t, testkit.Async(func() { l.Run(stopc) }), "the loop")
	if longest > enough/2 {
		t.Error(longest, "executions of one actor while the other waited")
	}
}

func TestAPanicThatNoFailureHandlerSeesGoesOnWhenTheLoopHasStopped(t *testing.T) {
	var l run.Loop
	stopc, n := make(chan struct{}), 0
	other := newLatch().add(&l)
	l.Add(run.NoOpInterrupt(), run.Execute(func() error {
		if n++; n == 3 {
			close(stopc)
		}
		return explode(n)
	}))
	if got := recovered(t, func() { l.Run(stopc) }); got != 1 || n < 3 {
		t.Error(got, n)
	}
	other.got(t)
}

func TestAPanicOfALoopsFailureHandlerOrInterruptGoesOnWhenItHasStopped(t *testing.T) {
	var l run.Loop
	stopc, n := make(chan struct{}), 0
	l.Add(run.NoOpInterrupt(),
		run.Execute(func() error {
			if n++; n == 3 {
				close(stopc)
			}
			return errOne
		}),
		run.FailureHandler(func(error) { explode("handler") }))
	if got := recovered(t, func() { l.Run(stopc) }); got != "handler" || n < 3 {
		t.Error(got, n)
	}

	var other run.Loop
	steady := newLatch().add(&other)
	other.Add(run.ExecuteContext(func(ctx context.Context) error { <-ctx.Done(); return nil }),
		run.Interrupt(func(error) { explode("interrupt") }))
	closed := make(chan struct{})
	go func() { <-steady.entered; close(closed) }()
	if got := recovered(t, func() { other.Run(closed) }); got != "interrupt" {
		t.Error(got)
	}
	steady.got(t)
}

func TestALoopInAGroup(t *testing.T) {
	var g run.Group
	var l run.Loop
	n, enough := 0, make(chan struct{})
	l.Add(run.Name("tick"), run.NoOpInterrupt(), run.Execute(func() error {
		if n++; n == 3 {
			close(enough)
		}
		return nil
	}))
	g.Add(run.ExecuteContext(func(ctx context.Context) error { l.Run(ctx.Done()); return nil }))
	g.Add(run.Execute(func() error { <-enough; return errOne }), run.NoOpInterrupt())
	if err := result(t, g.Run); err != errOne || n < 3 {
		t.Error(err, n)
	}
}

func TestALoopsErrorsHaveTheNameOfTheActor(t *testing.T) {
	var l run.Loop
	stopc, handled := make(chan struct{}), []error{}
	l.Add(run.Name("tick"), run.NoOpInterrupt(), returns(errOne),
		run.FailureHandler(func(err error) {
			if handled = append(handled, err); len(handled) == 1 {
				close(stopc)
			}
		}))
	testkit.Within(t, testkit.Async(func() { l.Run(stopc) }), "the loop")
	want(t, "tick: one", handled[0])
	if !errors.Is(handled[0], errOne) {
		t.Error(handled)
	}
}
