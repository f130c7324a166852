package run

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Retrier is what a function that is retried is given. It is for the call that gets it: once that
// has returned, SetDelay and Stop change nothing. Several goroutines may use it at the same time.
type Retrier interface {
	// Iteration is 1 in the first call, 2 in the second, and so on.
	Iteration() int
	// SetDelay sets how long to wait before the next call, if this one fails. It holds for this one
	// wait. Of several calls the last one counts. If none is made the next call follows at once,
	// unless a [Backoff] says otherwise.
	SetDelay(duration time.Duration)
	// Stop makes this call the last one: its error is returned as it is.
	Stop()
}

// Retry calls fn until it succeeds, and returns nil then. It returns an error of fn, as it is, if
// fn has called Stop or marked it as [Permanent], and a [RetryError] if a limit of a [Backoff] was
// reached. It blocks; a panic of fn goes to the caller.
func Retry(fn func(retrier Retrier) error) error {
	return RetryContext(context.Background(), fn)
}

// RetryContext is Retry, and also gives up, with a [RetryError], when ctx is done: it begins no
// call then, and a wait ends at once. A call that runs has to look at ctx itself; if it succeeds,
// the result is nil in spite of ctx.
func RetryContext(ctx context.Context, fn func(retrier Retrier) error) error {
	start := time.Now()
	var last error
	var delay time.Duration
	attempts := 0
	for sleep(ctx.Done(), delay) {
		attempts++
		r := &retrier{iteration: attempts}
		if last = fn(r); last == nil {
			return nil
		}
		if mark, ok := last.(*permanent); ok {
			return mark.error
		}
		w := r.said()
		if w.stopped || isPermanent(last) {
			return last
		}
		var reason error
		if delay, reason = w.plan(attempts, time.Since(start)); reason != nil {
			return &RetryError{Attempts: attempts, Last: last, Reason: reason}
		}
	}
	return &RetryError{Attempts: attempts, Last: last, Reason: context.Cause(ctx)}
}

// retrier is new for each call, so that one which is kept is without effect on later calls.
type retrier struct {
	iteration int // does not change
	mu        sync.Mutex
	wishes    wishes
}

// wishes is what the function said in one call.
type wishes struct {
	delay   time.Duration
	asked   bool // SetDelay was called
	stopped bool
	backoff Backoff
}

func (r *retrier) Iteration() int { return r.iteration }

func (r *retrier) SetDelay(duration time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wishes.delay, r.wishes.asked = duration, true
}

func (r *retrier) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wishes.stopped = true
}

func (r *retrier) apply(backoff Backoff) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wishes.backoff = backoff
}

func (r *retrier) said() wishes {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wishes
}

// plan settles the delay, or says why there is to be no other call. What SetDelay asked for is kept
// to, as a server's Retry-After must be.
func (w wishes) plan(attempts int, elapsed time.Duration) (time.Duration, error) {
	delay := w.delay
	if !w.asked {
		delay = w.backoff.delay(attempts)
	}
	return delay, w.backoff.exhausted(attempts, elapsed, delay)
}

// permanent marks an error.
type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

func isPermanent(err error) bool {
	var mark *permanent
	return errors.As(err, &mark)
}

// Permanent marks an error that another call would not mend: [Retry] returns it at once, without
// the mark. An error that wraps a marked one is returned as it is. Permanent(nil) is nil, and an
// error that is marked already stays as it is.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	if mark, ok := err.(*permanent); ok {
		return mark
	}
	return &permanent{err}
}
