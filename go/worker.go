package docache

import (
	"log"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"docache/internal/goroutine"
)

// worker is the half of a cache that the library knows: it runs the Doer and keeps the results, to which the library
// refers by id. It does not refer to the cache, so that a forgotten cache can be collected.
//
// Results enter the table in perform, before the library learns their id. Successes leave it when the library says
// that nobody can see them (drop). Failures have nothing in the library that could say so; they leave once the version
// shows that they are out of the history, see prune.
type worker[T any] struct {
	doer     atomic.Pointer[Doer[T]] // nil once the cache is closed
	logger   *log.Logger
	capacity uint64
	word     *uint64 // the loop's version word; valid inside perform, where the loop is alive

	// returned is when the last call did. Only perform uses it.
	returned time.Time

	// doing is the goroutine inside Do, 0 if there is none.
	doing atomic.Uintptr

	// running is the loop while it runs, which keeps it from being freed; see loop.
	running atomic.Pointer[loop]

	lastID  atomic.Uint64
	results sync.Map // uint64 → *Data[T]
	lastErr atomic.Pointer[error]
	panics  atomic.Uint64 // the library sees only that the call failed

	// reading is held by the one goroutine that may be looking up what it found in a snapshot.
	reading sync.Mutex

	failedMu sync.Mutex
	failed   []failedResult // oldest first
}

type failedResult struct{ id, sequence uint64 }

// monitorNotices is well above the time in which the runtime's monitor, which looks every 10 ms at least, takes away
// the processor of a thread that is in C.
const monitorNotices = 50 * time.Millisecond

func (w *worker[T]) perform() outcome {
	// After the last call, the thread took its share of Go's processors (see GOMAXPROCS) along into C. If it is back
	// before the monitor noticed, and had the only processor, no other goroutine has run since. Let them, and do so
	// before the Doer is called, so that its result is not held up.
	if time.Since(w.returned) < monitorNotices {
		runtime.Gosched()
	}
	defer func() { w.returned = time.Now() }()
	published := atomic.LoadUint64(w.word)
	w.pruneUnlessRead(published)
	doer := w.doer.Load()
	if doer == nil {
		return outcome{failed: true, message: ErrClosed.Error()}
	}
	d, message := w.call(*doer)
	o := outcome{id: w.lastID.Add(1), failed: d.Error != nil, message: message}
	w.results.Store(o.id, &d)
	if o.failed {
		if _, o.panicked = d.Error.(*PanicError); o.panicked {
			w.panics.Add(1)
		}
		w.lastErr.Store(&d.Error)
		w.failedMu.Lock()
		w.failed = append(w.failed, failedResult{o.id, published + 1})
		w.failedMu.Unlock()
	}
	return o
}

// call runs the Doer on a goroutine of its own, so that neither a panic nor Goexit can unwind the library's thread.
func (w *worker[T]) call(doer Doer[T]) (d Data[T], message string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer w.doing.Store(0)
		w.doing.Store(goroutine.ID())
		// Deferred, because Goexit runs nothing else.
		defer func() { message = w.report(&d) }()
		do(doer, &d)
	}()
	<-done
	return d, message
}

// do fills d with what became of one call.
func do[T any](doer Doer[T], d *Data[T]) {
	d.Error = ErrGoexit // stands unless something else happens
	defer func() {
		if p := recover(); p != nil {
			d.Error = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	d.Timestamp = time.Now()
	v, err := doer.Do()
	d.Value, d.Error = v, err
}

// report writes the log line and makes the message for the library. Both run code of the user: the Error method, the
// Formatter of the value and the logger's writer. Their panics end here, and change nothing about the result.
func (w *worker[T]) report(d *Data[T]) (message string) {
	defer func() {
		if p := recover(); p != nil && message == "" && d.Error != nil {
			message = "an error whose Error method panicked"
		}
	}()
	if d.Error != nil {
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
	if d, ok := w.results.Load(id); ok {
		return *d.(*Data[T]), true
	}
	return Data[T]{}, false
}

func (w *worker[T]) drop(id uint64) { w.results.Delete(id) }

// prune forgets the failures that the history had lost when `published` results were out: it holds the last `capacity`
// of them, and so does every snapshot taken from then on. An older snapshot may hold more, so the caller holds
// w.reading, which whoever looks things up in a snapshot has held since before taking it.
func (w *worker[T]) prune(published uint64) {
	w.failedMu.Lock()
	defer w.failedMu.Unlock()
	gone := 0
	for gone < len(w.failed) && w.failed[gone].sequence+w.capacity <= published {
		w.results.Delete(w.failed[gone].id)
		gone++
	}
	w.failed = w.failed[gone:]
	if len(w.failed) == 0 {
		w.failed = nil
	}
}

// pruneUnlessRead leaves the work to the reader if there is one, since the loop does not wait for readers.
func (w *worker[T]) pruneUnlessRead(published uint64) {
	if w.reading.TryLock() {
		w.prune(published)
		w.reading.Unlock()
	}
}

// release forgets the Doer and all results. The loop has stopped for good, and nobody looks things up any more.
func (w *worker[T]) release() {
	w.doer.Store(nil)
	w.results.Clear()
	w.failedMu.Lock()
	w.failed = nil
	w.failedMu.Unlock()
}

// len is the number of results in the table.
func (w *worker[T]) len() int {
	n := 0
	w.results.Range(func(any, any) bool { n++; return true })
	return n
}
