package singleflight

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// What callers expect who come from golang.org/x/sync/singleflight, with Repanic.

// attempt calls Do and tells how that ended: with what it panicked, or nil; whether it returned;
// else the goroutine ended.
type attempt struct {
	value    any
	returned bool
}

// together makes n callers share a run that ends as work says. All of them would run it.
func together(t *testing.T, n int, work Func[int]) []attempt {
	t.Helper()
	groups := KeyedGroups[string, int]{Repanic: true}
	var runs atomic.Int32
	entered, leave := make(chan struct{}), make(chan struct{})
	shared := func() (int, error) {
		runs.Add(1)
		close(entered)
		<-leave
		return work()
	}
	attempts := make(chan attempt, n)
	call := func() {
		var a attempt
		defer func() {
			a.value = recover()
			attempts <- a
		}()
		groups.Do("key", shared)
		a.returned = true
	}
	go call()
	within(t, entered, "the run")
	for range n - 1 {
		go call()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == n-1 })
	close(leave)
	var all []attempt
	for range n {
		all = append(all, <-attempts)
	}
	if v, err := groups.Do("key", func() (int, error) { return 7, nil }); v != 7 || err != nil || runs.Load() != 1 {
		t.Error("afterwards:", v, err, runs.Load())
	}
	return all
}

func TestWithRepanicEveryCallerPanics(t *testing.T) {
	for _, value := range []any{"text", io.ErrUnexpectedEOF, 42} {
		for _, a := range together(t, 5, func() (int, error) { return explode(value) }) {
			err, ok := a.value.(error) // also for the one that led, and whatever the value was
			if !ok || a.returned {
				t.Fatalf("%+v", a)
			}
			p, ok := AsPanicError(err)
			if !ok || p.Value != value || !strings.Contains(err.Error(), "singleflight.explode") {
				t.Error(err)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) != (value == io.ErrUnexpectedEOF) {
				t.Errorf("%v unwraps to %v", err, errors.Unwrap(err))
			}
		}
	}
}

func TestWithRepanicEveryCallerExits(t *testing.T) {
	for _, a := range together(t, 5, func() (int, error) { runtime.Goexit(); return 0, nil }) {
		if a.returned || a.value != nil {
			t.Errorf("%+v", a)
		}
	}
}

func TestWithRepanicErrorsAreErrors(t *testing.T) {
	group := Group[int]{Repanic: true}
	for _, failure := range []error{io.EOF, PanicError{Value: 1}, ErrGoexit} {
		leave := make(chan struct{})
		results := group.DoChan(func() (int, error) {
			<-leave
			return 1, failure
		})
		other := group.DoChan(nil)
		close(leave)
		if a, b := receive(t, results), receive(t, other); a != (Result[int]{1, failure, true}) || a != b {
			t.Error(a, b)
		}
	}
}

func TestWithRepanicChannelsHearOfGoexit(t *testing.T) {
	group := Group[int]{Repanic: true}
	leave := make(chan struct{})
	first := group.DoChan(func() (int, error) {
		<-leave
		runtime.Goexit()
		return 0, nil
	})
	second := group.DoChan(nil)
	close(leave)
	if a, b := receive(t, first), receive(t, second); a.Err != ErrGoexit || a != b {
		t.Error(a, b)
	}
}

// ends runs the rest of the test in a process of its own, and returns what it printed, which must
// have panicked.
func ends(t *testing.T, rest func()) string {
	t.Helper()
	if os.Getenv("DOCACHE_TEST_ENDS") == t.Name() {
		rest()
		select {} // until the panic comes
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "DOCACHE_TEST_ENDS="+t.Name(), "GOTRACEBACK=all")
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v", err)
	}
	return string(out)
}

func TestWithRepanicAChannelsPanicEndsTheProgram(t *testing.T) {
	out := ends(t, func() {
		group := Group[int]{Repanic: true}
		defer func() { recover() }() // to no avail
		<-group.DoChan(func() (int, error) { return explode("nobody recovers this") })
	})
	if !strings.Contains(out, "nobody recovers this") || !strings.Contains(out, "singleflight.explode") {
		t.Error(out)
	}
}

// Though the one that led has recovered, one waits for a channel.
func TestWithRepanicASharedPanicEndsTheProgram(t *testing.T) {
	out := ends(t, func() {
		group := Group[int]{Repanic: true}
		entered, leave := make(chan struct{}), make(chan struct{})
		go func() {
			defer func() { recover() }()
			group.Do(func() (int, error) {
				close(entered)
				<-leave
				return explode("nobody recovers this")
			})
		}()
		<-entered
		results := group.DoChan(nil)
		close(leave)
		<-results
	})
	if !strings.Contains(out, "nobody recovers this") || !strings.Contains(out, "singleflight.explode") {
		t.Error(out)
	}
}
