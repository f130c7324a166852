package run

import (
	"math"
	"math/rand/v2"
	"time"
)

// Backoff says how long to wait between attempts, and when to give up. It is for [Retry], by
// [Backoff.Apply], and for a [Loop], by [Pause]. A Backoff does not change, and any number of
// retries may share it. The zero value never waits and never gives up.
type Backoff struct {
	first, limit time.Duration
	jitter       bool
	attempts     int // 0: any number
	bounded      bool
	budget       time.Duration
}

// Constant waits equally long after each failure.
func Constant(delay time.Duration) Backoff { return Backoff{first: delay, limit: delay} }

// Exponential waits for a random time between 0 and a bound, which is first after the first failure
// and doubles with each that follows, up to limit. Callers that failed together so come back spread
// out ("full jitter").
func Exponential(first, limit time.Duration) Backoff {
	return Backoff{first: first, limit: limit, jitter: true}
}

// WithMaxAttempts gives up when there have been n attempts, the first included. Less than 1 counts
// as 1.
func (b Backoff) WithMaxAttempts(n int) Backoff {
	b.attempts = max(n, 1)
	return b
}

// WithBudget limits the time from the beginning of Retry on, attempts included: a wait that would
// end later is not begun. An attempt that runs is not cut short; give it a context for that.
func (b Backoff) WithBudget(total time.Duration) Backoff {
	b.bounded, b.budget = true, max(total, 0)
	return b
}

// Apply uses the backoff for the wait after this call, and its limits. It is to be called in each
// call, no matter where. A delay that is set with SetDelay goes before the backoff's.
//
// A Retrier of your own gets SetDelay, or Stop when there are no attempts left, and the budget does
// not count.
func (b Backoff) Apply(r Retrier) {
	if own, ok := r.(*retrier); ok {
		own.apply(b)
		return
	}
	if b.attempts > 0 && r.Iteration() >= b.attempts {
		r.Stop()
		return
	}
	r.SetDelay(b.delay(r.Iteration()))
}

// bound is the longest delay after so many failures.
func (b Backoff) bound(failures int) time.Duration {
	bound := max(b.first, 0)
	for n := 1; n < failures && 0 < bound && bound < b.limit; n++ {
		if bound > math.MaxInt64/2 {
			bound = math.MaxInt64
			break
		}
		bound *= 2
	}
	return min(bound, max(b.limit, 0))
}

// delay is how long to wait after so many failures.
func (b Backoff) delay(failures int) time.Duration {
	bound := b.bound(failures)
	if !b.jitter || bound == 0 {
		return bound
	}
	return time.Duration(rand.Uint64N(uint64(bound) + 1))
}

// exhausted says why there is to be no attempt after this one, if there is to be none.
func (b Backoff) exhausted(attempts int, elapsed, delay time.Duration) error {
	left := b.budget - elapsed
	switch {
	case b.attempts > 0 && attempts >= b.attempts:
		return ErrMaxAttempts
	case b.bounded && (left <= 0 || delay > left):
		return ErrBudget
	}
	return nil
}
