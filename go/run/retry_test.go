package run_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"docache/run"
)

func TestRetryEndsWithNil(t *testing.T) {
	var iterations []int
	err := run.Retry(func(r run.Retrier) error {
		iterations = append(iterations, r.Iteration())
		if r.Iteration() < 3 {
			return errOne
		}
		r.Stop() // changes nothing
		return nil
	})
	if err != nil || fmt.Sprint(iterations) != "[1 2 3]" {
		t.Error(err, iterations)
	}
}

func TestStopReturnsTheErrorOfThatCall(t *testing.T) {
	err := run.Retry(func(r run.Retrier) error {
		if r.Iteration() == 2 {
			r.Stop()
			r.SetDelay(time.Hour) // there is no wait
			return errTwo
		}
		return errOne
	})
	if err != errTwo {
		t.Error(err)
	}
}

func TestPermanentErrors(t *testing.T) {
	calls := 0
	try := func(err error) error {
		return run.Retry(func(run.Retrier) error { calls++; return err })
	}
	if err := try(run.Permanent(errOne)); err != errOne || calls != 1 {
		t.Error(err, calls)
	}
	wrapped := fmt.Errorf("wrapped: %w", run.Permanent(errOne))
	if err := try(wrapped); err != wrapped || calls != 2 || !errors.Is(err, errOne) {
		t.Error(err, calls)
	}
	want(t, "wrapped: one", wrapped)
	if run.Permanent(nil) != nil {
		t.Error("a permanent nil is none")
	}
	// The mark counts for the innermost Retry.
	outer := 0
	err := run.Retry(func(r run.Retrier) error {
		if outer++; outer == 2 {
			r.Stop()
		}
		return try(run.Permanent(errTwo))
	})
	if err != errTwo || outer != 2 {
		t.Error(err, outer)
	}
}

func TestMarkingAnErrorTwiceIsLikeOnce(t *testing.T) {
	outer := 0
	err := run.Retry(func(r run.Retrier) error {
		if outer++; outer == 2 {
			r.Stop()
		}
		return run.Retry(func(run.Retrier) error { return run.Permanent(run.Permanent(errOne)) })
	})
	if err != errOne || outer != 2 {
		t.Error(err, outer)
	}
}

// What is left of the first call speaks while the second one runs.
func TestARetrierIsOfNoEffectAfterItsCall(t *testing.T) {
	var kept run.Retrier
	err := run.Retry(func(r run.Retrier) error {
		switch r.Iteration() {
		case 1:
			kept = r
		case 2:
			kept.Stop()
			kept.SetDelay(time.Hour)
			run.Constant(time.Hour).WithMaxAttempts(1).Apply(kept)
			if kept.Iteration() != 1 {
				t.Error(kept.Iteration())
			}
		case 3:
			return nil
		}
		return errOne
	})
	if err != nil {
		t.Error(err)
	}
}

// For the race detector: nothing orders the goroutine and the end of the call.
func TestARetrierMayBeUsedByOtherGoroutines(t *testing.T) {
	var others sync.WaitGroup
	run.Retry(func(r run.Retrier) error {
		others.Add(1)
		go func() {
			defer others.Done()
			r.SetDelay(0)
			run.Backoff{}.Apply(r)
			r.Stop()
		}()
		r.SetDelay(0)
		if r.Iteration() == 100 {
			return nil
		}
		return errOne
	})
	others.Wait()
}

func TestAPanicInRetryGoesToTheCaller(t *testing.T) {
	got := recovered(t, func() { run.Retry(func(run.Retrier) error { return explode(7) }) })
	if got != 7 {
		t.Error(got)
	}
}

func TestRetryContextEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	calls := 0
	err := run.RetryContext(ctx, func(r run.Retrier) error {
		if calls++; calls == 2 {
			cancel(errTwo)
		}
		return errOne
	})
	var gaveUp *run.RetryError
	ended := run.RetryError{Attempts: 2, Last: errOne, Reason: errTwo}
	if !errors.As(err, &gaveUp) || *gaveUp != ended {
		t.Error(err)
	}
	if !errors.Is(err, errOne) || !errors.Is(err, errTwo) || calls != 2 {
		t.Error(err, calls)
	}
	want(t, "run: gave up after 2 attempts: two; the last error: one", err)

	err = run.RetryContext(ctx, func(run.Retrier) error { calls++; return nil })
	want(t, "run: gave up after 0 attempts: two", err)
	if !errors.Is(err, errTwo) || errors.Is(err, errOne) || calls != 2 {
		t.Error(err, calls)
	}
}

func TestWhatAFunctionDecidesCountsMoreThanItsContext(t *testing.T) {
	for _, want := range []error{nil, errOne} {
		ctx, cancel := context.WithCancel(context.Background())
		err := run.RetryContext(ctx, func(r run.Retrier) error {
			cancel()
			r.Stop()
			return want
		})
		if err != want {
			t.Error(err)
		}
	}
}

func TestWithMaxAttempts(t *testing.T) {
	for limit, attempts := range map[int]int{3: 3, 1: 1, 0: 1, -7: 1} {
		calls := 0
		err := run.Retry(func(r run.Retrier) error {
			run.Backoff{}.WithMaxAttempts(limit).Apply(r)
			calls++
			return errOne
		})
		var gaveUp *run.RetryError
		if !errors.As(err, &gaveUp) || gaveUp.Attempts != attempts || calls != attempts ||
			gaveUp.Last != errOne || gaveUp.Reason != run.ErrMaxAttempts {
			t.Error(err, calls)
		}
	}
}

// recorder is a Retrier of somebody else's.
type recorder struct {
	iteration int
	delay     time.Duration
	stopped   bool
}

func (r *recorder) Iteration() int           { return r.iteration }
func (r *recorder) SetDelay(d time.Duration) { r.delay = d }
func (r *recorder) Stop()                    { r.stopped = true }

// delays is what a backoff asks for after the failures with these numbers.
func delays(b run.Backoff, iterations ...int) (all []time.Duration) {
	for _, n := range iterations {
		r := &recorder{iteration: n}
		b.Apply(r)
		all = append(all, r.delay)
	}
	return all
}

func TestConstant(t *testing.T) {
	if got := delays(run.Constant(time.Second), 1, 2, 100); fmt.Sprint(got) != "[1s 1s 1s]" {
		t.Error(got)
	}
	if got := delays(run.Constant(-time.Second), 1); got[0] != 0 {
		t.Error(got)
	}
	if got := delays(run.Backoff{}, 1, 2); fmt.Sprint(got) != "[0s 0s]" {
		t.Error(got)
	}
}

// Of many random delays the longest is close to the bound, and the shortest close to 0.
func TestExponential(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	for _, c := range []struct {
		first, limit time.Duration
		failures     int
		bound        time.Duration
	}{
		{time.Second, time.Minute, 1, time.Second},
		{time.Second, time.Minute, 2, 2 * time.Second},
		{time.Second, time.Minute, 6, 32 * time.Second},
		{time.Second, time.Minute, 7, time.Minute},
		{time.Second, time.Minute, math.MaxInt, time.Minute},
		{time.Second, forever, 1000, forever},
		{time.Minute, time.Second, 1, time.Second},
		{time.Second, 0, 1, 0},
		{0, time.Minute, 5, 0},
		{-1, time.Minute, 5, 0},
		{0, time.Minute, math.MaxInt, 0},
		{time.Second, -1, 5, 0},
	} {
		shortest, longest := forever, time.Duration(0)
		for range 2000 {
			d := delays(run.Exponential(c.first, c.limit), c.failures)[0]
			shortest, longest = min(shortest, d), max(longest, d)
		}
		if longest > c.bound || longest < c.bound/10*9 || shortest > c.bound/10 || shortest < 0 {
			t.Errorf("%+v: %v to %v", c, shortest, longest)
		}
	}
}

func TestABackoffStopsTheRetrierOfSomebodyElse(t *testing.T) {
	b := run.Constant(time.Second).WithMaxAttempts(2)
	for n, stops := range map[int]bool{1: false, 2: true, 3: true} {
		r := &recorder{iteration: n}
		if b.Apply(r); r.stopped != stops {
			t.Error(n, r.stopped)
		}
	}
}
