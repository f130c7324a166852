package singleflight

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// explode is named so that stacks show it.
//
//go:noinline
func explode(v any) (int, error) { panic(v) }

// shared makes n callers wait for a run that ends as work says, and returns what they got. lead
// calls the one that leads.
func shared(t *testing.T, n int, work Func[int], lead func(do func())) (errs []error) {
	t.Helper()
	var group Group[int]
	g := newGate()
	led := async(func() {
		lead(func() {
			_, err := group.Do(func() (int, error) {
				g.Pass()
				return work()
			})
			t.Errorf("the leader's call returned %v", err)
		})
	})
	within(t, g.Entered, "the run")
	results := make(chan error, n)
	for range n {
		go func() {
			v, err := group.Do(func() (int, error) { return 9, nil })
			if v != 0 {
				err = errors.Join(err, errors.New("a value"))
			}
			results <- err
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == n })
	close(g.Leave)
	for range n {
		errs = append(errs, <-results)
	}
	within(t, led, "the leader")
	if v, err := group.Do(func() (int, error) { return 1, nil }); v != 1 || err != nil || group.InFlight() {
		t.Errorf("the next call: %d, %v", v, err)
	}
	return errs
}

func TestAPanicGoesOnInTheLeaderAndReachesTheWaiters(t *testing.T) {
	for _, value := range []any{"text", io.ErrUnexpectedEOF, 42} {
		var got any
		var stack string
		errs := shared(t, 3, func() (int, error) { return explode(value) }, func(do func()) {
			defer func() {
				got, stack = recover(), string(debug.Stack())
			}()
			do()
		})
		if got != value {
			t.Errorf("the leader panicked with %v", got)
		}
		if !strings.Contains(stack, "singleflight.explode") {
			t.Errorf("the leader's stack lost the panic: %s", stack)
		}
		for _, err := range errs {
			p, ok := err.(PanicError)
			if !ok || p.Value != value || p.Panic != value {
				t.Fatalf("%#v", err)
			}
			if !strings.Contains(p.Stack, "singleflight.explode") {
				t.Errorf("%s", p.Stack)
			}
			if text := err.Error(); text != fmt.Sprintf("panic: %v\n\n%s", value, p.Stack) {
				t.Error(text)
			}
			if cause, ok := value.(error); errors.Is(err, io.ErrUnexpectedEOF) != ok || errors.Unwrap(err) != cause {
				t.Errorf("%v unwraps to %v", err, errors.Unwrap(err))
			}
			wrapped := fmt.Errorf("it: %w", err)
			var copied PanicError
			var pointer *PanicError
			if q, ok := AsPanicError(wrapped); !ok || q.Value != value || !errors.As(wrapped, &copied) || copied != p {
				t.Errorf("%v, %v", q, copied)
			}
			if !errors.As(wrapped, &pointer) || *pointer != p || !errors.Is(wrapped, err) {
				t.Errorf("%v", pointer)
			}
			if err != errs[0] {
				t.Error("the waiters got different errors")
			}
		}
	}
	if p, ok := AsPanicError(io.EOF); ok || p.Value != nil {
		t.Error("EOF is no panic")
	}
	for _, e := range []PanicError{{Value: io.EOF}, {Panic: io.EOF}} {
		if e.Error() != "panic: EOF" || !errors.Is(e, io.EOF) {
			t.Error(e)
		}
	}
}

func TestAnErrorOfTheRuntimeStaysOne(t *testing.T) {
	var none []int
	errs := shared(t, 1, func() (int, error) { return none[len(none)], nil }, func(do func()) {
		defer func() {
			if _, ok := recover().(runtime.Error); !ok {
				t.Error("the leader lost it")
			}
		}()
		do()
	})
	var e runtime.Error
	if !errors.As(errs[0], &e) || !strings.Contains(errs[0].Error(), "index out of range") {
		t.Error(errs[0])
	}
}

func TestGoexitReleasesTheWaiters(t *testing.T) {
	errs := shared(t, 3, func() (int, error) { runtime.Goexit(); return 0, nil }, func(do func()) { do() })
	for _, err := range errs {
		if !errors.Is(err, ErrGoexit) {
			t.Error(err)
		}
	}
}
