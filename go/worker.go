package docache

import (
	"fmt"
	"log"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"docache/internal/goroutine"
)

// worker is the half of a cache that the library knows: it calls the Doer and keeps the results, to
// which the library refers by id. It does not refer to the cache, so that a forgotten cache can be
// collected.
//
// Results enter the table in turn, before the library learns their id. Successes leave it when the
// library says that nobody can see them (drop). Failures have nothing in the library that could say
// so; they leave once the version shows that they are out of the history, see prune.
type worker[T any] struct {
	doer     atomic.Pointer[Doer[T]] // nil once the cache is closed
	logger   *log.Logger
	capacity uint64
	word     *uint64 // the loop's version word; valid inside turn, where the loop is alive

	// doing is the goroutine inside Do, 0 if there is none.
	doing atomic.Uintptr

	results results[T]
	lastErr atomic.Pointer[error]
	panics  atomic.Uint64 // the library sees only that the call failed

	// reading is held by the one goroutine that may be looking up what it found in a snapshot.
	reading sync.Mutex

	failedMu sync.Mutex
	failed   []failedResult // oldest first
	failing  atomic.Bool    // whether there are any
}

// failure is what the library learns of a call that failed.
type failure struct {
	panicked bool
	message  string // without the stack of a panic
}

type failedResult struct{ id, sequence uint64 }

// turn does the call that the run's drive has begun. The Doer may end the goroutine; the call is
// ended all the same.
func (w *worker[T]) turn(r *run) {
	published := atomic.LoadUint64(w.word)
	w.pruneUnlessRead(published)
	data := &Data[T]{Error: ErrClosed}
	var failed failure
	// Deferred, because Goexit runs nothing else.
	defer func() {
		if id := w.keep(data, published); data.Error == nil {
			r.next = r.drive.succeed(id)
		} else {
			r.next = r.drive.fail(id, failed)
		}
		w.drop(&r.next)
	}()
	if doer := w.doer.Load(); doer != nil {
		w.call(*doer, data, &failed)
	}
}

// keep puts a result where the id that it returns leads to it.
func (w *worker[T]) keep(d *Data[T], published uint64) uint64 {
	id := w.results.add(d)
	if d.Error != nil {
		w.lastErr.Store(&d.Error)
		w.failedMu.Lock()
		w.failed = append(w.failed, failedResult{id, published + 1})
		w.failing.Store(true)
		w.failedMu.Unlock()
	}
	return id
}

// call calls the Doer and reports what became of it.
func (w *worker[T]) call(doer Doer[T], d *Data[T], failed *failure) {
	w.doing.Store(goroutine.ID())
	defer w.doing.Store(0)
	defer func() { failed.message = w.report(d, failed.panicked) }()
	if do(doer, d) {
		failed.panicked = true
		w.panics.Add(1)
	}
}

// do fills d with what became of one call, and tells whether it panicked. An error that the Doer
// returns may be the PanicError of another call.
func do[T any](doer Doer[T], d *Data[T]) (panicked bool) {
	d.Error = ErrGoexit // stands unless something else happens
	defer func() {
		if p := recover(); p != nil {
			d.Error = PanicError{Value: p, Panic: p, Stack: string(debug.Stack())}
			panicked = true
		}
	}()
	d.Timestamp = time.Now()
	v, err := doer.Do()
	d.Value, d.Error = v, err
	return false
}

// report writes the log line and makes the message for the library. Both run code of the user: the
// Error method, the Formatter of the value and the logger's writer. Their panics end here, and
// change nothing about the result.
func (w *worker[T]) report(d *Data[T], panicked bool) (message string) {
	defer func() {
		if p := recover(); p != nil && message == "" && d.Error != nil {
			message = "an error whose Error method panicked"
		}
	}()
	if panicked {
		message = fmt.Sprint("panic: ", d.Error.(PanicError).Value)
	} else if d.Error != nil {
		message = d.Error.Error()
	}
	if w.logger == nil {
		return message
	}
	took := time.Since(d.Timestamp)
	if d.Error != nil {
		w.logger.Printf("docache: the Doer failed after %v: %s", took, message)
	} else {
		w.logger.Printf("docache: the Doer returned after %v: %+v", took, d.Value)
	}
	return message
}

// inside tells whether the caller is the Doer, during a call.
func (w *worker[T]) inside() bool {
	doing := w.doing.Load()
	return doing != 0 && doing == goroutine.ID()
}

// result finds what the library refers to.
func (w *worker[T]) result(id uint64) (Data[T], bool) {
	if d := w.results.get(id); d != nil {
		return *d, true
	}
	return Data[T]{}, false
}

// drop forgets the results that no reader can reach any more.
func (w *worker[T]) drop(s *step) {
	if s.dropped != 0 {
		w.results.remove(s.ids[:s.dropped]...)
	}
}

// prune forgets the failures that the history had lost when `published` results were out: it holds
// the last `capacity` of them, and so does every snapshot taken from then on. An older snapshot may
// hold more, so the caller holds w.reading, which whoever looks things up in a snapshot has held
// since before taking it.
func (w *worker[T]) prune(published uint64) {
	w.failedMu.Lock()
	defer w.failedMu.Unlock()
	gone := 0
	for gone < len(w.failed) && w.failed[gone].sequence+w.capacity <= published {
		w.results.remove(w.failed[gone].id)
		gone++
	}
	w.failed = w.failed[gone:]
	if len(w.failed) == 0 {
		w.failed = nil
		w.failing.Store(false)
	}
}

// pruneUnlessRead leaves the work to the reader if there is one, since the loop does not wait for
// readers.
func (w *worker[T]) pruneUnlessRead(published uint64) {
	if w.failing.Load() && w.reading.TryLock() {
		w.prune(published)
		w.reading.Unlock()
	}
}

// release forgets the Doer and all results. The loop has stopped for good, and nobody looks things
// up any more.
func (w *worker[T]) release() {
	w.doer.Store(nil)
	w.results.clear()
	w.failedMu.Lock()
	w.failed = nil
	w.failedMu.Unlock()
}

// len is the number of results in the table.
func (w *worker[T]) len() int { return w.results.len() }

// results are what ids stand for. An id is a place and, above it, which use of the places it is, so
// that it is used again only after four billion others. The lock is held for no longer than a
// look-up takes.
type results[T any] struct {
	mu     sync.Mutex
	places []kept[T]
	free   []uint32
	uses   uint32
}

type kept[T any] struct {
	id uint64 // 0: the place is free
	d  *Data[T]
}

// add gives a result an id, which is not 0.
func (r *results[T]) add(d *Data[T]) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uses++; r.uses == 0 {
		r.uses = 1
	}
	place := uint32(len(r.places))
	if n := len(r.free); n > 0 {
		place = r.free[n-1]
		r.free = r.free[:n-1]
	} else {
		r.places = append(r.places, kept[T]{})
	}
	id := uint64(r.uses)<<32 | uint64(place)
	r.places[place] = kept[T]{id, d}
	return id
}

func (r *results[T]) get(id uint64) *Data[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if place := uint32(id); int(place) < len(r.places) && r.places[place].id == id {
		return r.places[place].d
	}
	return nil
}

func (r *results[T]) remove(ids ...uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if place := uint32(id); int(place) < len(r.places) && r.places[place].id == id {
			r.places[place] = kept[T]{}
			r.free = append(r.free, place)
		}
	}
}

func (r *results[T]) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places, r.free = nil, nil
}

func (r *results[T]) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.places) - len(r.free)
}
