package echocache

import (
	"maps"
	"slices"
	"sync"
)

// queue has jobs done in the background, in the order in which they came.
//
// Invariants, under mu:
//   - marks holds the key of each job that waits or runs, so that no key has two.
//   - There are as many workers as keys in running, and at most limit; a job waits only while all
//     of limit run. So there is no goroutine while there is nothing to do.
//   - idle is closed once the queue is sealed and no worker is left. Nothing begins after that.
type queue[J any] struct {
	run   func(key string, job J)
	size  int // of the jobs that wait
	limit int // of the workers

	mu      sync.Mutex
	marks   map[string]struct{}
	waiting fifo[waiter[J]]
	running map[string]struct{}
	sealed  bool
	idle    chan struct{}
	drained int      // jobs that ended since the queue was sealed
	dropped []string // keys of jobs that will not run because it was emptied
}

type waiter[J any] struct {
	key string
	job J
}

// offered is what became of a job.
type offered int

const (
	accepted offered = iota
	there            // the key has one
	full
	refused // the queue is sealed
)

func newQueue[J any](size, limit int, run func(key string, job J)) *queue[J] {
	return &queue[J]{
		run: run, size: size, limit: limit,
		marks: make(map[string]struct{}), running: make(map[string]struct{}), idle: make(chan struct{}),
	}
}

func (q *queue[J]) offer(key string, job J) offered {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sealed {
		return refused
	}
	if _, ok := q.marks[key]; ok {
		return there
	}
	switch {
	case len(q.running) < q.limit:
		q.running[key] = struct{}{}
		go q.work(waiter[J]{key, job})
	case q.waiting.len() < q.size:
		q.waiting.push(waiter[J]{key, job})
	default:
		return full
	}
	q.marks[key] = struct{}{}
	return accepted
}

// work does a job and those that wait. If a job ends its goroutine, another takes over.
func (q *queue[J]) work(w waiter[J]) {
	returned := true
	leave := awaits.enter(q)
	defer func() {
		leave()
		if !returned {
			if next, ok := q.next(w.key); ok {
				go q.work(next)
			}
		}
	}()
	for ok := true; ok; {
		returned = false
		q.run(w.key, w.job)
		returned = true
		w, ok = q.next(w.key)
	}
}

// next ends the job of a worker, and is the worker's next.
func (q *queue[J]) next(key string) (w waiter[J], ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.marks, key)
	delete(q.running, key)
	if q.sealed {
		q.drained++
	}
	if q.waiting.len() > 0 {
		w = q.waiting.pop()
		q.running[w.key] = struct{}{}
		return w, true
	}
	q.settle()
	return w, false
}

// settle closes idle if it is time.
func (q *queue[J]) settle() {
	if q.sealed && len(q.running) == 0 {
		close(q.idle)
	}
}

// seal lets nothing more in. Jobs that wait still run.
func (q *queue[J]) seal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.sealed {
		q.sealed = true
		q.settle()
	}
}

// empty takes out the jobs that wait, and returns their number.
func (q *queue[J]) empty() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.waiting.len()
	for range n {
		key := q.waiting.pop().key
		delete(q.marks, key)
		q.dropped = append(q.dropped, key)
	}
	return n
}

func (q *queue[J]) lens() (waiting, running int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.len(), len(q.running)
}

func (q *queue[J]) report() ShutdownReport {
	q.mu.Lock()
	defer q.mu.Unlock()
	return ShutdownReport{
		Drained: q.drained,
		Dropped: slices.Clone(q.dropped),
		Running: slices.Sorted(maps.Keys(q.running)),
	}
}

// fifo is a queue in a ring that grows, and is given up when it is empty.
type fifo[E any] struct {
	ring  []E
	first int
	n     int
}

func (f *fifo[E]) len() int { return f.n }

func (f *fifo[E]) push(e E) {
	if f.n == len(f.ring) {
		longer := make([]E, max(8, 2*f.n))
		k := copy(longer, f.ring[f.first:])
		copy(longer[k:], f.ring[:f.first])
		f.ring, f.first = longer, 0
	}
	f.ring[(f.first+f.n)%len(f.ring)] = e
	f.n++
}

func (f *fifo[E]) pop() E {
	var none E
	e := f.ring[f.first]
	f.ring[f.first] = none
	f.first = (f.first + 1) % len(f.ring)
	if f.n--; f.n == 0 {
		*f = fifo[E]{}
	}
	return e
}
