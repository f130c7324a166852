package run

import (
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"
)

func TestThePauseGrowsWithFailuresInARowOnly(t *testing.T) {
	r := &loopRun{stopped: make(chan struct{})}
	a := &repeated{actor: &actor{failed: func(error) {}}}
	for _, c := range []struct {
		err      error
		failures int
	}{{nil, 0}, {ErrGoexit, 1}, {ErrGoexit, 2}, {nil, 0}, {ErrGoexit, 1}} {
		r.ended(a, outcome{err: c.err})
		if a.failures != c.failures {
			t.Errorf("%+v: %d", c, a.failures)
		}
	}
	b := Exponential(time.Second, 3*time.Second)
	for failures, bound := range map[int]time.Duration{1: 1, 2: 2, 3: 3, 4: 3} {
		if got := b.bound(failures); got != bound*time.Second {
			t.Error(failures, got)
		}
	}
}

// What Run leaves for an actor of another group is gone with that actor, and is not left elsewhere.
func TestNothingIsKeptOfPanicsInInnerGroups(t *testing.T) {
	panics := func() error {
		var g Group
		g.Add(Execute(func() error { panic("inner") }), NoOpInterrupt())
		return g.Run()
	}
	recovers := func() error {
		defer func() { recover() }()
		return panics()
	}
	for _, execute := range []func() error{panics, recovers} {
		func() {
			defer func() { recover() }()
			var g Group
			g.Add(Execute(execute), NoOpInterrupt())
			g.Run()
		}()
		inner.Range(func(_, text any) bool {
			t.Error(text)
			return true
		})
		if n := innerCount.Load(); n != 0 {
			t.Error(n)
		}
	}
}

func TestSignalKeepsACopyOfItsArguments(t *testing.T) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt}
	option := Signal(signals...)
	signals[0] = os.Kill
	var a actor
	option(&a)
	if !reflect.DeepEqual(a.task.signals, DefaultSignals()) {
		t.Error(a.task.signals)
	}
}
