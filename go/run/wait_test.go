//go:build go1.25

package run_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"docache/run"
)

// timed retries in a bubble until there were so many calls, and returns when they were.
func timed(t *testing.T, calls int, fn func(r run.Retrier)) (at []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		run.Retry(func(r run.Retrier) error {
			at = append(at, time.Since(start))
			fn(r)
			if r.Iteration() == calls {
				r.Stop()
			}
			return errOne
		})
	})
	return at
}

func equal(t *testing.T, got []time.Duration, seconds ...time.Duration) {
	t.Helper()
	for i, s := range seconds {
		if len(got) != len(seconds) || got[i] != s*time.Second {
			t.Fatalf("%v, not at %d s", got, seconds)
		}
	}
}

func TestWithoutADelayTheNextCallFollowsAtOnce(t *testing.T) {
	equal(t, timed(t, 3, func(run.Retrier) {}), 0, 0, 0)
	equal(t, timed(t, 2, func(r run.Retrier) { r.SetDelay(-time.Second) }), 0, 0)
}

func TestSetDelayHoldsForOneWait(t *testing.T) {
	equal(t, timed(t, 5, func(r run.Retrier) {
		switch r.Iteration() {
		case 1:
			r.SetDelay(time.Second)
			r.SetDelay(3 * time.Second)
		case 3:
			r.SetDelay(2 * time.Second)
		}
	}), 0, 3, 3, 5, 5)
}

func TestApplyHoldsForOneWaitAndSetDelayGoesBefore(t *testing.T) {
	b := run.Constant(10 * time.Second)
	equal(t, timed(t, 5, func(r run.Retrier) {
		switch r.Iteration() {
		case 1:
			b.Apply(r)
		case 3:
			r.SetDelay(time.Second)
			b.Apply(r)
		case 4:
			b.Apply(r)
			r.SetDelay(0)
		}
	}), 0, 10, 10, 11, 11)
}

func TestAWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		err := run.RetryContext(ctx, func(r run.Retrier) error {
			r.SetDelay(time.Hour)
			return errOne
		})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errOne) {
			t.Error(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Error(took)
		}
	})
}

func TestABudgetIsNeverExceeded(t *testing.T) {
	for _, c := range []struct {
		budget, work, delay time.Duration
		attempts            int
		took                time.Duration
	}{
		{10, 0, 3, 4, 9},
		{9, 0, 3, 4, 9},  // which ends the budget, and is tried
		{10, 1, 3, 3, 9}, // the attempts count
		{2, 0, 3, 1, 0},  // a wait that would be too long is not begun
		{0, 0, 0, 1, 0},
		{-1, 0, 0, 1, 0},
		{3, 5, 0, 1, 5}, // an attempt is not cut short
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			b := run.Constant(c.delay * time.Second).WithBudget(c.budget * time.Second)
			err := run.Retry(func(r run.Retrier) error {
				b.Apply(r)
				time.Sleep(c.work * time.Second)
				return errOne
			})
			var gaveUp *run.RetryError
			if !errors.As(err, &gaveUp) || gaveUp.Attempts != c.attempts ||
				gaveUp.Reason != run.ErrBudget || gaveUp.Last != errOne {
				t.Errorf("%+v: %v", c, err)
			}
			if took := time.Since(start); took != c.took*time.Second {
				t.Errorf("%+v: %v", c, took)
			}
		})
	}
}

func TestABudgetHoldsForDelaysThatWereAskedForToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := run.Retry(func(r run.Retrier) error {
			run.Constant(0).WithBudget(time.Minute).Apply(r)
			r.SetDelay(time.Hour)
			return errOne
		})
		if !errors.Is(err, run.ErrBudget) || time.Since(start) != 0 {
			t.Error(err, time.Since(start))
		}
	})
}

func TestTheSmallestBudgetIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := run.Retry(func(r run.Retrier) error {
			run.Backoff{}.WithBudget(math.MinInt64).Apply(r)
			time.Sleep(time.Second)
			return fmt.Errorf("attempt %d", r.Iteration())
		})
		want(t, "run: gave up after 1 attempt: the time is used up; the last error: attempt 1", err)
	})
}

func TestABackoffMayBeShared(t *testing.T) {
	b := run.Constant(time.Second).WithMaxAttempts(3)
	if c := b.WithMaxAttempts(5); c == b {
		t.Error("it changed")
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for range 10 {
			go run.Retry(func(r run.Retrier) error { b.Apply(r); return errOne })
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Error(took)
		}
	})
}

func TestPauseInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l run.Loop
		start := time.Now()
		var at []time.Duration
		stopc := make(chan struct{})
		l.Add(run.Pause(run.Constant(time.Second).WithMaxAttempts(1)), run.NoOpInterrupt(),
			run.FailureHandler(func(error) {}),
			run.Execute(func() error {
				at = append(at, time.Since(start))
				switch len(at) {
				case 1:
					return nil
				case 2:
					return explode("boom")
				case 4:
					close(stopc)
				}
				return errOne
			}))
		l.Run(stopc)
		equal(t, at, 0, 1, 2, 3)
		if took := time.Since(start); took != 3*time.Second {
			t.Error("the stop waited for the pause", took)
		}
	})
}

// Forty failures in a row double a nanosecond to more than ten minutes.
func TestPausesGrowWithFailuresInARow(t *testing.T) {
	for _, succeeds := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var l run.Loop
			calls, start, stopc := 0, time.Now(), make(chan struct{})
			l.Add(run.Pause(run.Exponential(1, time.Hour)), run.NoOpInterrupt(),
				run.Execute(func() error {
					if calls++; calls == 50 {
						close(stopc)
					}
					if succeeds && calls%2 == 0 {
						return nil
					}
					return errOne
				}))
			l.Run(stopc)
			if took := time.Since(start); succeeds != (took <= 50) || !succeeds && took < time.Second {
				t.Error(succeeds, took)
			}
		})
	}
}

func TestStopEndsAPauseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l run.Loop
		calls := 0
		l.Add(run.Pause(run.Constant(time.Hour)), run.NoOpInterrupt(),
			run.Execute(func() error { calls++; return nil }))
		start, stopc := time.Now(), make(chan struct{})
		time.AfterFunc(time.Second, func() { close(stopc) })
		l.Run(stopc)
		if took := time.Since(start); took != time.Second || calls != 1 {
			t.Error(took, calls)
		}
	})
}
