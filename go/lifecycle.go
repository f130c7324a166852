package docache

import (
	"context"
)

// Start starts the loop and returns; the Doer's first call is made at once, on the loop's own thread. If the cache is
// running already, or is just being stopped, Start does nothing.
//
// It returns [ErrClosed] after Close, the context's error once the context is done, and a [*LibraryError] if no thread
// could be started.
func (c *LoopCache[T]) Start() error {
	_, err := c.begin()
	return err
}

// Loop starts the loop and blocks until it has ended, by Stop, Close or the context. If the cache is running already,
// or is just being stopped, or can no longer run, Loop returns at once.
//
// Loop panics with a [*LibraryError] if no thread could be started, as Go itself would; [LoopCache.Start] returns it.
func (c *LoopCache[T]) Loop() {
	r, err := c.begin()
	if _, ok := err.(*LibraryError); ok {
		panic(err)
	}
	if r != nil {
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
	c.worker.running.Store(c.loop)
	if err := c.loop.start(); err != nil {
		c.worker.running.Store(nil)
		return nil, err
	}
	r := &run{done: make(chan struct{})}
	r.unwatch = context.AfterFunc(c.ctx, func() { c.requestStop(r) })
	c.run = r
	return r, nil
}

// requestStop asks the library to stop, once per run, and returns. When the loop has stopped, r ends.
func (c *LoopCache[T]) requestStop(r *run) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.run != r || r.stopping {
		return
	}
	r.stopping = true
	w, err := c.worker.running.Load().await(fullStop, 0)
	if err != nil {
		panic(err) // the library refused its own handle
	}
	// On its own goroutine also if the loop has stopped already, because end takes life again.
	go func() {
		if w != nil {
			<-w.ready
			w.finish()
		}
		c.end(r)
	}()
}

// end is called once per run, when the loop has stopped.
func (c *LoopCache[T]) end(r *run) {
	r.unwatch()
	c.life.Lock()
	c.run = nil
	c.worker.running.Store(nil)
	closing := c.closing
	c.life.Unlock()
	if closing {
		c.seal()
	}
	close(r.done)
}

// Stop ends the loop and blocks until it has ended, that is until the call of the Doer that is under way, if any, has
// returned; its result is published. If the cache is not running, Stop returns at once. The cache can be started again.
//
// Called from inside Do, on the goroutine on which Do was called, Stop only asks, and returns at once: the loop ends
// when Do returns. A goroutine that Do started and waits for must not call Stop, since the three would wait for each
// other in a circle; it can call [LoopCache.StopContext] with a context that is done, which only asks too.
func (c *LoopCache[T]) Stop() { _ = c.StopContext(context.Background()) }

// StopContext is Stop with a limit: if ctx is done before the loop has ended, it returns ctx's error. The loop has
// been asked all the same, and ends as soon as the Doer returns.
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

// Close stops the cache for good, as Stop does, and lets go of the Doer and of the library's memory, the last of it at
// the next garbage collection. Latest, Data and Stats keep answering what they answered last; whoever waits for a
// result gets [ErrClosed]. A second Close does nothing but wait for the first.
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

// Running tells whether the loop runs: from Start or Loop until it has ended.
func (c *LoopCache[T]) Running() bool {
	c.life.Lock()
	defer c.life.Unlock()
	return c.run != nil
}

// seal replaces everything that leads to the library by copies on the Go side. The cache is closing and not running,
// so there is nothing new to come; whoever holds an old latest or history keeps the library's memory until it lets go.
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
