package docache

import (
	"context"
	"runtime/pprof"
	"time"
)

// Start starts the loop and returns; the Doer's first call is made at once, on the loop's own
// goroutine. If the cache is running already, or is just being stopped, Start does nothing and
// returns nil: after a Stop that did not wait for the end, such as one inside Do, call Stop again,
// which waits, before Start. What was published stays, and so do the version and the statistics.
//
// It returns [ErrClosed] after Close, and the context's error once the context is done.
func (c *LoopCache[T]) Start() error {
	_, err := c.begin()
	return err
}

// Loop starts the loop and blocks until it has ended, by Stop, Close or the context. If the cache
// is running already, or is just being stopped, or can no longer run, Loop returns at once.
//
// A Stop that comes before `go c.Loop()` has begun stops nothing. Where that can happen, use Start,
// or end the loop by the cache's context or Close.
func (c *LoopCache[T]) Loop() {
	if r, _ := c.begin(); r != nil {
		<-r.done
	}
}

// begin returns the run that it started, nil if it started none.
func (c *LoopCache[T]) begin() (*run, error) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.closing {
		return nil, ErrClosed
	}
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	if c.run != nil {
		return nil, nil
	}
	// Not sealed, since that takes closing; so the loop is there, and stays for as long as it runs.
	d, err := c.loop.drive()
	if err != nil {
		return nil, err
	}
	r := &run{drive: d, next: d.begin(), called: make(chan struct{}, 1), done: make(chan struct{})}
	r.unwatch = context.AfterFunc(c.ctx, func() { c.requestStop(r) })
	c.run = r
	go c.labelled(r)
	return r, nil
}

// labelled drives a run on a goroutine that profiles can tell by the cache's name.
func (c *LoopCache[T]) labelled(r *run) {
	if c.name == "" {
		c.follow(r)
		return
	}
	pprof.Do(c.ctx, pprof.Labels("docache", c.name), func(context.Context) { c.follow(r) })
}

// follow does what the library says is due, until it says stop.
func (c *LoopCache[T]) follow(r *run) {
	over := false
	defer func() {
		if !over {
			go c.labelled(r) // The Doer has ended this goroutine, with Goexit.
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		switch r.next.what {
		case nextCall:
			c.worker.turn(r)
		case nextWait:
			timer.Reset(r.next.wait)
			select {
			case <-timer.C:
			case <-r.called:
			}
			r.next = r.drive.begin()
			c.worker.drop(&r.next)
		case nextStop:
			over = true
			r.drive.free()
			c.end(r)
			return
		}
	}
}

// wake has the run that there is, if any, ask the library what is next.
func (c *LoopCache[T]) wake() {
	c.life.Lock()
	r := c.run
	c.life.Unlock()
	if r != nil {
		r.wake()
	}
}

func (r *run) wake() {
	select {
	case r.called <- struct{}{}:
	default: // It has been called, and not asked yet.
	}
}

// requestStop asks the loop to end, and returns.
func (c *LoopCache[T]) requestStop(r *run) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.run == r && !r.stopping {
		r.stopping = true
		r.drive.loop.askToStop()
		r.wake()
	}
}

// end is called once per run, when the loop has stopped.
func (c *LoopCache[T]) end(r *run) {
	r.unwatch()
	c.life.Lock()
	c.run = nil
	closing := c.closing
	c.life.Unlock()
	if closing {
		c.seal()
	}
	close(r.done)
}

// Stop ends the loop and blocks until it has ended, that is until the call of the Doer that is
// under way, if any, has returned; its result is published. If the cache is not running, Stop
// returns at once. The cache can be started again.
//
// Called from inside Do, on the goroutine on which Do was called, Stop only asks, and returns at
// once: the loop ends when Do returns. A goroutine that Do started and waits for must not call
// Stop, which would be a deadlock; it can call [LoopCache.StopContext] with a context that is done,
// which only asks too.
func (c *LoopCache[T]) Stop() { _ = c.StopContext(context.Background()) }

// StopContext is Stop with a limit: if ctx is done before the loop has ended, it returns ctx's
// error. The loop has been asked all the same, and ends as soon as the Doer returns.
func (c *LoopCache[T]) StopContext(ctx context.Context) error {
	c.life.Lock()
	r := c.run
	c.life.Unlock()
	if r == nil {
		return nil
	}
	c.requestStop(r)
	return c.awaitEnd(ctx, r)
}

func (c *LoopCache[T]) awaitEnd(ctx context.Context, r *run) error {
	select {
	case <-r.done:
		return nil
	default:
	}
	if c.worker.inside() {
		return nil
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops the cache for good, as Stop does, and releases the Doer and the library's memory, the
// last of it at the next garbage collection. Latest, Data and Stats keep returning what they
// returned last; callers that wait for a result get [ErrClosed]. A second Close does nothing but
// wait for the first.
//
// Called from inside Do, Close returns at once and takes effect when Do returns.
func (c *LoopCache[T]) Close() {
	c.life.Lock()
	c.closing = true
	r := c.run
	c.life.Unlock()
	if r == nil {
		c.seal()
		return
	}
	c.requestStop(r)
	_ = c.awaitEnd(context.Background(), r)
}

// Running reports whether the loop is running: from Start or Loop until it has ended.
func (c *LoopCache[T]) Running() bool {
	c.life.Lock()
	defer c.life.Unlock()
	return c.run != nil
}

// seal replaces everything that leads to the library by copies on the Go side. The cache is closing
// and not running, so there is nothing new to come; a reader that holds an old latest or history
// keeps the library's memory alive until it is done.
func (c *LoopCache[T]) seal() {
	c.refreshLatest()
	c.refreshHistory()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loop == nil {
		return
	}
	l := &latest[T]{version: c.latest.Load().version, data: c.latest.Load().data}
	l.word = &l.version
	h := &history[T]{version: c.history.Load().version, data: c.history.Load().data}
	h.word = &h.version
	c.finalStats = c.statsLocked()
	c.latest.Store(l)
	c.history.Store(h)
	c.loop = nil
	c.worker.release()
	close(c.closed)
}
