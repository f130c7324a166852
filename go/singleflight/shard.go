package singleflight

import "sync"

// run is a call of somebody's function, for all who join.
//
// Invariant: all fields are guarded by the lock of the run's shard, but for the outcome. That is
// written, if anybody waits, by the one that leads, before it tells them; they only read it. A run
// that nobody has joined is used again; one that was shared is left to the collector.
type run[Key comparable, Res any] struct {
	key     Key
	hash    uint64
	owner   uintptr        // the goroutine that leads; 0: not known
	next    *run[Key, Res] // in its bucket, or among the spares
	listed  bool           // callers find it: neither forgotten nor landed
	landed  bool
	waiting queue[Key, Res]

	outcome[Res]

	_ [cacheLine]byte // keeps the runs of other goroutines out of the line
}

// outcome is what came of a run.
type outcome[Res any] struct {
	res Res
	err error
	end end
}

// end is how a run ended.
type end int8

const (
	returned end = iota
	panicked
	exited
)

const cacheLine = 64

// shard is a table of the runs under way whose keys fall to it. Most of the time these are one or
// none, which lie in a list; many are spread over buckets.
type shard[Key comparable, Res any] struct {
	mu      sync.Mutex
	list    *run[Key, Res]
	buckets []*run[Key, Res] // a power of two, instead of the list, or nil
	count   int
	spares  *run[Key, Res]
	spare   int // how many those are

	_ [cacheLine]byte // keeps the next shard out of the line
}

const (
	longestList = 8  // before there are buckets
	fewBuckets  = 64 // which a shard keeps while nothing is under way
	fewSpares   = 4  // likewise
)

// bucket is where a list of runs with such hashes begins.
func (s *shard[Key, Res]) bucket(hash uint64) **run[Key, Res] {
	if s.buckets == nil {
		return &s.list
	}
	return &s.buckets[(hash>>32)&uint64(len(s.buckets)-1)] // the lower half chose the shard
}

func (s *shard[Key, Res]) find(key Key, hash uint64) *run[Key, Res] {
	for r := *s.bucket(hash); r != nil; r = r.next {
		if r.hash == hash && r.key == key {
			return r
		}
	}
	return nil
}

func (s *shard[Key, Res]) insert(key Key, hash uint64, owner uintptr) *run[Key, Res] {
	if s.count >= longestList && s.count >= len(s.buckets) {
		s.grow()
	}
	r := s.spares
	if r == nil {
		r = new(run[Key, Res])
	} else {
		s.spares = r.next
		s.spare--
	}
	r.key, r.hash, r.owner, r.listed = key, hash, owner, true
	b := s.bucket(hash)
	r.next, *b = *b, r
	s.count++
	return r
}

// grow doubles the number of buckets.
func (s *shard[Key, Res]) grow() {
	old := s.buckets
	if old == nil {
		old = []*run[Key, Res]{s.list}
		s.list = nil
	}
	s.buckets = make([]*run[Key, Res], max(2*len(old), 2*longestList))
	for _, r := range old {
		for r != nil {
			next, b := r.next, s.bucket(r.hash)
			r.next, *b = *b, r
			r = next
		}
	}
}

// remove takes a run that is listed out of the table.
func (s *shard[Key, Res]) remove(r *run[Key, Res]) {
	at := s.bucket(r.hash)
	for *at != r {
		at = &(*at).next
	}
	*at = r.next
	r.next, r.listed = nil, false
	if s.count--; s.count == 0 && len(s.buckets) > fewBuckets {
		s.buckets = nil
	}
}

// recycle keeps a run that nobody has joined for the next one: no more than are under way, but for
// a few.
func (s *shard[Key, Res]) recycle(r *run[Key, Res]) {
	var key Key
	r.key = key
	switch {
	case s.count == 0 && s.spare > fewSpares: // a crowd has gone
		s.spares, s.spare = r, 1
	case s.spare < fewSpares || s.spare < s.count:
		r.next, s.spares = s.spares, r
		s.spare++
	}
}

// enter leads a new run of the key, or joins the one that is under way: then a seat of the pool is
// taken. Without a run, the caller would wait for itself.
func (s *shard[Key, Res]) enter(
	key Key, hash uint64, owner uintptr, seats *sync.Pool,
) (r *run[Key, Res], waits *seat[Key, Res]) {
	s.mu.Lock()
	r = s.find(key, hash)
	switch {
	case r == nil:
		r = s.insert(key, hash, owner)
	case r.owner == owner && owner != 0:
		r = nil
	default:
		waits = seats.Get().(*seat[Key, Res])
		waits.run, waits.owner = r, owner
		r.waiting.add(waits)
	}
	s.mu.Unlock()
	return r, waits
}

// land ends the run with that outcome, and tells whether anybody shares it.
func (s *shard[Key, Res]) land(r *run[Key, Res], o outcome[Res]) (shared bool) {
	s.mu.Lock()
	if r.listed {
		s.remove(r)
	}
	waiting := r.waiting.first
	if waiting == nil {
		s.recycle(r)
		s.mu.Unlock()
		return false
	}
	var key Key
	r.key, r.landed, r.waiting = key, true, queue[Key, Res]{}
	s.mu.Unlock()
	r.outcome = o
	for waiting != nil {
		next := waiting.next // once told, it may stand in another queue
		waiting.tell()
		waiting = next
	}
	return true
}

// handOn ends the caller's lead without an outcome: the one that has waited for longest leads.
// Without any, the run is over.
func (s *shard[Key, Res]) handOn(r *run[Key, Res]) {
	s.mu.Lock()
	first := r.waiting.first
	if first == nil {
		if r.listed {
			s.remove(r)
		}
		s.recycle(r)
	} else {
		r.waiting.remove(first)
		r.owner, first.leads = first.owner, true
	}
	s.mu.Unlock()
	if first != nil {
		first.tell()
	}
}

// leave takes a seat out of the queue of its run. It returns false if the seat was told, or is
// about to be.
func (s *shard[Key, Res]) leave(w *seat[Key, Res]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.leads || w.run.landed {
		return false
	}
	w.run.waiting.remove(w)
	return true
}

// forget takes the run of the key out of the table, and tells whether there was one.
func (s *shard[Key, Res]) forget(key Key, hash uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(key, hash)
	if r != nil {
		s.remove(r)
	}
	return r != nil
}

func (s *shard[Key, Res]) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}
