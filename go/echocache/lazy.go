package echocache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"time"

	"docache/singleflight"
)

const (
	// lockMargin is how much longer than a refresh its lock lives.
	lockMargin = time.Second
	// releaseLimit is how long giving a lock back may take.
	releaseLimit = time.Second
)

// ErrQueueFull is the Err of a [Warning] about a refresh that was dropped.
var ErrQueueFull = errors.New("echocache: the refresh queue is full")

// EchoCacheLazy remembers values in a store, and lets nobody wait for a new value while there is an
// old one. All methods may be called from any goroutine at any time, also after the shutdown.
type EchoCacheLazy[T any] struct {
	core    core[StaleValue[T]]
	locks   StaleWhileRevalidateCache[T]
	timeout time.Duration
	queue   *queue[job[T]]
	ctx     context.Context // of the refreshes
	cancel  context.CancelFunc
}

// job is what is to be done for a key.
type job[T any] struct {
	fn       RefreshFunc[T]
	interval time.Duration
}

// NewLazyEchoCache makes a cache over a store. refreshTimeout is how long a refresh in the
// background may take, locks and store included; its context ends then, at once if it is 0 or less.
// It panics with a [*docache.ArgumentError] if the store is nil.
//
// A cache that is no longer used need not be shut down.
func NewLazyEchoCache[T any](
	cacher StaleWhileRevalidateCache[T], refreshTimeout time.Duration, opts ...LazyEchoCacheOption,
) *EchoCacheLazy[T] {
	options := lazyEchoCacheOptions{defaultQueueSize, defaultWorkers}
	for _, option := range opts {
		if option != nil {
			option(&options)
		}
	}
	c := &EchoCacheLazy[T]{locks: cacher, timeout: refreshTimeout}
	c.core.init(cacher)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.queue = newQueue(options.queueSize, options.workerCount, c.refresh)
	return c
}

// FetchWithLazyRefresh returns the key's value. If that was computed longer than
// lazyRefreshInterval ago, it is returned all the same, and refreshFn is queued to compute it anew
// in the background, unless the key is queued already. If the store has no value, or fails,
// refreshFn runs at once, with the caller's context, as in [EchoCache.FetchWithCache]; the bool and
// the errors are as there.
//
// How old a value is, the wall clocks of the processes tell that wrote and read it; a value from
// the future is new.
func (c *EchoCacheLazy[T]) FetchWithLazyRefresh(
	ctx context.Context, key string, refreshFn RefreshFunc[T], lazyRefreshInterval time.Duration,
) (T, bool, error) {
	l := c.core.look(key)
	if v, ok := c.core.get(ctx, key); ok {
		c.core.counters.hits.Add(1)
		if isStale(v, lazyRefreshInterval) {
			c.core.counters.staleHits.Add(1)
			c.enqueue(key, job[T]{refreshFn, lazyRefreshInterval})
		}
		return v.Value, true, nil
	}
	v, err := c.core.load(ctx, key, l, func(StaleValue[T]) bool { return true }, stamped(refreshFn))
	return v.Value, err == nil, err
}

func isStale[T any](v StaleValue[T], interval time.Duration) bool {
	return time.Since(v.CreatedAt) > interval
}

// stamped adds the time to what fn returns.
func stamped[T any](fn RefreshFunc[T]) RefreshFunc[StaleValue[T]] {
	return func(ctx context.Context) (StaleValue[T], error) {
		v, err := fn(ctx)
		return StaleValue[T]{v, time.Now().UTC()}, err
	}
}

func (c *EchoCacheLazy[T]) enqueue(key string, j job[T]) {
	if c.queue.offer(key, j) == full {
		c.core.counters.dropped.Add(1)
		c.core.warn(Warning{OpRefresh, key, ErrQueueFull})
	}
}

// refresh is a job of the queue. Of all that goes wrong in it nothing leaves it but Goexit.
func (c *EchoCacheLazy[T]) refresh(key string, j job[T]) {
	counters := &c.core.counters
	returned := false
	defer func() {
		counters.refreshes.Add(1)
		if returned {
			return
		}
		counters.refreshFailures.Add(1)
		counters.refreshPanics.Add(1)
		var err error = singleflight.ErrGoexit
		if p := recover(); p != nil {
			err = panicError(p)
		}
		c.core.warn(Warning{OpRefresh, key, err})
	}()
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	if err := c.refreshLocked(ctx, key, j); err != nil {
		counters.refreshFailures.Add(1)
		c.core.warn(Warning{OpRefresh, key, err})
	}
	returned = true
}

// refreshLocked computes the value under its lock, if nobody else does or has.
func (c *EchoCacheLazy[T]) refreshLocked(ctx context.Context, key string, j job[T]) error {
	token := rand.Text()
	granted, err := c.locks.TryAcquireRefreshLock(ctx, key, token, c.lockTTL())
	if err != nil {
		c.core.storeFailed(ctx, Warning{OpLock, key, err})
	} else if !granted {
		c.core.counters.refreshesSpared.Add(1)
		return nil
	}
	// After an error the lock may be ours all the same.
	defer c.release(key, token)
	l := c.core.look(key)
	if v, ok := c.core.get(ctx, key); ok && !isStale(v, j.interval) {
		c.core.counters.refreshesSpared.Add(1)
		return nil
	}
	fresh := func(v StaleValue[T]) bool { return !isStale(v, j.interval) }
	_, err = c.core.load(ctx, key, l, fresh, stamped(j.fn))
	return err
}

func (c *EchoCacheLazy[T]) lockTTL() time.Duration {
	return min(max(c.timeout, 0), math.MaxInt64-lockMargin) + lockMargin
}

// release works after the refresh's context has ended, too.
func (c *EchoCacheLazy[T]) release(key, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), releaseLimit)
	defer cancel()
	if err := c.locks.ReleaseRefreshLock(ctx, key, token); err != nil {
		c.core.counters.storeFailures.Add(1)
		c.core.warn(Warning{OpUnlock, key, err})
	}
}

// ShutdownLazyRefresh ends the refreshes in the background: the contexts of those that run are
// cancelled, and it waits until they have returned; those that wait are dropped. Fetches go on
// working, without refreshes. A second call waits for the same, if there is anything to wait for.
// Inside a refresh it does not wait; nor does one of several that are called inside refreshes and
// would wait for each other.
func (c *EchoCacheLazy[T]) ShutdownLazyRefresh() {
	c.queue.seal()
	c.dropWaiting()
	c.cancel()
	if end, ok := awaits.begin(c.queue); ok {
		defer end()
		<-c.queue.idle
	}
}

// ShutdownReport says what became of the refreshes.
type ShutdownReport struct {
	// Drained is how many refreshes came to their end since the shutdown began.
	Drained int
	// Dropped has the keys of those that were dropped before they began, in their order.
	Dropped []string
	// Running has the keys of those that have not ended yet, sorted. Their contexts are cancelled.
	Running []string
}

// Shutdown ends the refreshes in the background gracefully: those that run and those that wait may
// end, as long as ctx allows. Once that is done the rest is dropped, the contexts of those that run
// are cancelled, and the error has what ctx says and its cause; it does not wait for them then.
// Without an error, Running is empty. Fetches go on working, without refreshes.
//
// Inside a refresh that it would wait for, or where several would wait for each other, it lets the
// others end, and returns [singleflight.ErrReentrant] at once.
func (c *EchoCacheLazy[T]) Shutdown(ctx context.Context) (ShutdownReport, error) {
	c.queue.seal()
	end, ok := awaits.begin(c.queue)
	if !ok {
		return c.queue.report(), singleflight.ErrReentrant
	}
	defer end()
	select {
	case <-c.queue.idle:
		c.cancel()
		return c.queue.report(), nil
	default:
	}
	select {
	case <-c.queue.idle:
		c.cancel()
		return c.queue.report(), nil
	case <-ctx.Done():
		c.dropWaiting()
		c.cancel()
		return c.queue.report(), fmt.Errorf("echocache: shutdown: %w", leaving(ctx))
	}
}

func (c *EchoCacheLazy[T]) dropWaiting() {
	c.core.counters.dropped.Add(uint64(c.queue.empty()))
}

// OnWarning has f called with each failure of the store or of a refresh, on the goroutine that
// meets it, which waits. It replaces an earlier function; nil is for none. A panic in f is ignored.
func (c *EchoCacheLazy[T]) OnWarning(f func(Warning)) { c.core.onWarning(f) }

// Stats returns the counters.
func (c *EchoCacheLazy[T]) Stats() Stats {
	s := c.core.counters.stats()
	s.Queued, s.Running = c.queue.lens()
	return s
}
