package docache

import "context"

// WaitFirst blocks until there is a success, and returns the latest one. If there is one already it
// returns at once. Neither failures nor a stop end the wait, since the cache can be started again.
//
// It returns the error of ctx, or of the cache's own context, if that is done first, [ErrClosed] if
// the cache is closed first, and [ErrReentrant] from inside Do.
func (c *LoopCache[T]) WaitFirst(ctx context.Context) (Data[T], error) {
	for {
		if d := c.Latest(); !d.Timestamp.IsZero() {
			return d, nil
		}
		if _, err := c.await(ctx, firstSuccess, 0); err != nil {
			return Data[T]{}, err
		}
	}
}

// Changed blocks until the version is greater than since, and returns the version. A caller that
// starts with since = 0 and continues with what Changed returned sees a new result each time,
// though it may miss some of many quick results. A failure is a result too: it counts, though
// Latest stays as it was. If the version is greater already, Changed returns at once, also where
// ctx is done or the cache is closed.
//
// On an error, which is one of [LoopCache.WaitFirst]'s, it returns since.
func (c *LoopCache[T]) Changed(ctx context.Context, since uint64) (uint64, error) {
	for {
		if v := c.Version(); v > since {
			return v, nil
		}
		if _, err := c.await(ctx, anyChange, since); err != nil {
			return since, err
		}
	}
}

// Refresh runs the Doer now instead of at its next turn, and blocks until a call that began after
// Refresh has ended. Callers that come together share one call. See Latest or Data for whether it
// succeeded. The next turn is an interval after that call, but with [WithFixedRate] it stays where
// it was.
//
// It returns [ErrNotRunning] if the loop is not running or ends first, whether by Stop, Close or
// the cache's own context; [ErrClosed] after Close; [ErrReentrant] from inside Do; and the error of
// ctx if that is done.
func (c *LoopCache[T]) Refresh(ctx context.Context) error {
	_, err := c.await(ctx, oneRefresh, 0)
	return err
}

// await blocks the goroutine, and no thread, until the event has happened or cannot happen any
// more.
func (c *LoopCache[T]) await(ctx context.Context, what event, since uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.worker.inside() {
		return 0, ErrReentrant
	}
	c.mu.RLock()
	l := c.loop
	c.mu.RUnlock()
	if l == nil {
		return 0, ErrClosed
	}
	w, err := l.await(what, since)
	if w == nil {
		return 0, err
	}
	if what == oneRefresh {
		c.wake()
	}
	select {
	case <-w.ready:
		return w.finish()
	case <-ctx.Done():
		w.abandon()
		return 0, ctx.Err()
	case <-c.ctx.Done():
		w.abandon()
		if err := ctx.Err(); err != nil {
			return 0, err // of both contexts the caller's counts
		}
		if what == oneRefresh {
			return 0, ErrNotRunning // or so soon: its loop is being told to stop
		}
		return 0, c.ctx.Err()
	case <-c.closed:
		w.abandon()
		if what == oneRefresh {
			return 0, ErrNotRunning // since before it was closed
		}
		return 0, ErrClosed
	}
}
