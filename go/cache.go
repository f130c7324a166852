package docache

import (
	"context"
	"log"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Cache runs a [Doer] in a loop and keeps its results. What [NewCache] returns is also a
// [*LoopCache], whose methods of the same names say more.
type Cache[T any] interface {
	// Loop runs the Doer again and again until the cache is stopped; it blocks until then.
	// It returns at once if the cache is looping already, or can no longer loop.
	Loop()
	// Latest is the most recent success, or the zero Data. It never waits for the Doer.
	Latest() Data[T]
	// Data is a new slice of the last results, oldest first, errors included. It never waits for
	// the Doer.
	Data() []Data[T]
	// Stop ends the loop and waits for the call of the Doer that is under way, if any.
	Stop()
}

// NewCache makes a cache that calls doer every interval, counted from the end of one call to the
// start of the next, once Loop is called. It keeps up to capacity results for Data; with a capacity
// of 0 or less there is only Latest. When ctx is done the loop ends, and it cannot be started
// again. A nil logger means that nothing is logged.
//
// NewCache panics if ctx or doer is nil, or if interval is not greater than 0; [New] returns an
// error instead.
func NewCache[T any](
	ctx context.Context,
	interval time.Duration,
	capacity int,
	logger *log.Logger,
	doer Doer[T],
) Cache[T] {
	return mustNew(ctx, interval, capacity, logger, doer)
}

// mustNew is apart from NewCache so that NewCache is inlined, and its caller knows the concrete
// type.
func mustNew[T any](
	ctx context.Context,
	interval time.Duration,
	capacity int,
	logger *log.Logger,
	doer Doer[T],
) *LoopCache[T] {
	c, err := New(ctx, interval, doer, WithCapacity(max(capacity, 0)), WithLogger(logger))
	if err != nil {
		panic(err)
	}
	return c
}

// New makes a cache as [NewCache] does, with options. It returns an [*ArgumentError] that names an
// argument it does not accept, or a [*LibraryError].
func New[T any](ctx context.Context, interval time.Duration, doer Doer[T], options ...Option) (*LoopCache[T], error) {
	s := settings{interval: interval}
	for i, option := range options {
		if option == nil {
			return nil, &ArgumentError{"option", i, "give no nil Option"}
		}
		option(&s)
	}
	if ctx == nil {
		return nil, &ArgumentError{"ctx", ctx, "give a context, such as context.Background()"}
	}
	if f, ok := doer.(DoerFunc[T]); doer == nil || ok && f == nil {
		return nil, &ArgumentError{"doer", nil, "give a Doer, such as a DoerFunc"}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	w := &worker[T]{logger: s.logger, capacity: uint64(s.capacity)}
	w.doer.Store(&doer)
	l, err := newLoop(&s)
	if err != nil {
		return nil, err
	}
	w.word = l.word
	c := &LoopCache[T]{ctx: ctx, name: s.name, worker: w, loop: l, closed: make(chan struct{})}
	c.latest.Store(&latest[T]{word: l.word, owner: l})
	c.history.Store(&history[T]{word: l.word, owner: l})
	return c, nil
}

// LoopCache is a [Cache] that can also wait for new results, run the Doer now, and report
// statistics.
type LoopCache[T any] struct {
	latest  atomic.Pointer[latest[T]]
	history atomic.Pointer[history[T]]

	ctx    context.Context
	name   string
	worker *worker[T]
	closed chan struct{} // closed by seal

	// mu guards loop; it is held shared while a reader asks the library, never while user code
	// runs.
	mu         sync.RWMutex
	loop       *loop // nil once sealed
	finalStats Stats // set by seal

	// life guards run and closing. It may be held when mu is taken, not the reverse.
	life    sync.Mutex
	run     *run // nil while the cache is not running
	closing bool
}

var _ Cache[int] = (*LoopCache[int])(nil)

// run is one stretch from start to stop.
type run struct {
	drive    *drive // of the goroutine that follows
	next     step
	called   chan struct{} // holds one call to ask the library what is next
	done     chan struct{}
	unwatch  func() bool // stops watching the context
	stopping bool
}

// latest and history are what readers keep between two versions. They are current as long as *word
// equals version.
//
// Invariant: word points into owner's memory, or, once the cache is sealed, to version itself,
// which is always equal. A reader that holds the struct thus holds the memory behind word.
type latest[T any] struct {
	word    *uint64
	version uint64
	owner   *loop
	data    Data[T]
}

type history[T any] struct {
	word    *uint64
	version uint64
	owner   *loop
	data    []Data[T]
}

// Latest returns the most recent success, or the zero Data (see [time.Time.IsZero] on its
// Timestamp) before the first.
//
// It never waits for the Doer. As long as nothing was published since the last call of Latest on
// any goroutine, it is one atomic load and a comparison. After Close it keeps returning the last
// success.
func (c *LoopCache[T]) Latest() Data[T] { return c.current().data }

// current is apart from Latest so that Latest is small enough to be inlined: a caller that knows
// the concrete type then loads the words it wants where they are. Without that, Go hands a Data
// back through the stack, 8 bytes at a time on one side and 16 on the other, which costs three
// times as much as all of this.
func (c *LoopCache[T]) current() *latest[T] {
	l := c.latest.Load()
	// l is returned, so it is alive here, and with it the memory behind word.
	if atomic.LoadUint64(l.word) == l.version {
		return l
	}
	return c.refreshLatest()
}

// Data returns the last results, oldest first, up to the capacity, failures included, in a new
// slice. It is empty, not nil, if there are none.
//
// It never waits for the Doer. Its cost is a copy of the slice; the first call after a new result
// also looks up what is new in it. After Close it keeps returning the same results.
func (c *LoopCache[T]) Data() []Data[T] {
	h := c.history.Load()
	if atomic.LoadUint64(h.word) != h.version {
		h = c.refreshHistory()
	}
	runtime.KeepAlive(h)
	out := make([]Data[T], len(h.data))
	copy(out, h.data)
	return out
}

// Version returns the number of results so far, failures included.
func (c *LoopCache[T]) Version() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.loop == nil {
		return c.latest.Load().version
	}
	return c.loop.version()
}

// refreshLatest asks the library, and shares the answer with all readers unless there is a newer
// one.
func (c *LoopCache[T]) refreshLatest() *latest[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	old := c.latest.Load()
	if c.loop == nil {
		return old
	}
	// The version first: the answer is at least as new, so a reader that finds the word unchanged
	// has missed nothing.
	fresh := &latest[T]{word: c.loop.word, version: c.loop.version(), owner: c.loop}
	if old.version == fresh.version {
		return old
	}
	if id, release := c.loop.latest(); id != 0 {
		fresh.data, _ = c.worker.result(id)
		release()
	}
	for !c.latest.CompareAndSwap(old, fresh) {
		if old = c.latest.Load(); old.version >= fresh.version {
			return old
		}
	}
	return fresh
}

// refreshHistory takes a snapshot and looks up what is new in it. One reader does so; readers that
// come meanwhile wait for it and share the answer.
func (c *LoopCache[T]) refreshHistory() *history[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.worker.reading.Lock()
	defer c.worker.reading.Unlock()
	old := c.history.Load()
	if c.loop == nil || old.version == c.loop.version() {
		return old
	}
	s, err := c.loop.snapshot()
	if err != nil {
		panic(err) // the library refused its own handle
	}
	defer s.release()
	fresh := &history[T]{word: c.loop.word, version: s.version(), owner: c.loop}
	fresh.data = c.merge(old, s, fresh.version)
	c.history.Store(fresh)
	c.worker.prune(fresh.version)
	return fresh
}

// merge returns the results of the snapshot. Since each version adds one result, the count of
// versions since old tells how many are new; the others are taken from old.
func (c *LoopCache[T]) merge(old *history[T], s snapshot, version uint64) []Data[T] {
	n := s.len()
	added := int(min(uint64(n), version-old.version))
	data := make([]Data[T], 0, n)
	data = append(data, old.data[len(old.data)-(n-added):]...)
	err := s.each(n-added, added, func(id uint64, foreign *foreignEntry) {
		if foreign != nil {
			data = append(data, Data[T]{Timestamp: foreign.timestamp, Error: foreign.err})
			return
		}
		d, _ := c.worker.result(id)
		data = append(data, d)
	})
	if err != nil {
		panic(err) // the library refused its own handle
	}
	return data
}

// Stats holds the counters of a cache.
type Stats struct {
	// Calls of the Doer that have ended; Failures of them, whatever the reason; Panics among the
	// failures.
	Calls, Failures, Panics uint64
	// ConsecutiveFailures since the last success.
	ConsecutiveFailures uint64
	// SkippedTicks are the calls that a slow Doer made impossible, with [WithFixedRate].
	SkippedTicks uint64
	// LastDuration is how long the last call took.
	LastDuration time.Duration
	// LastLateness is how long after its due time the last call began; MaxLateness the most so far.
	LastLateness, MaxLateness time.Duration
	// Running tells whether the loop runs.
	Running bool
	// LastError is the Doer's most recent failure, nil if it has never failed. It and Panics may be
	// ahead of the other counts by one call.
	LastError error
}

// Stats returns the counts so far. After Close they no longer change.
func (c *LoopCache[T]) Stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.loop == nil {
		return c.finalStats
	}
	return c.statsLocked()
}

func (c *LoopCache[T]) statsLocked() Stats {
	s, err := c.loop.stats()
	if err != nil {
		panic(err) // the library refused its own handle
	}
	s.Panics = c.worker.panics.Load()
	if last := c.worker.lastErr.Load(); last != nil {
		s.LastError = *last
	}
	return s
}
