package docache

import "sync"

// registry gives integers to C in the place of Go values. An id is never used twice.
type registry[V any] struct {
	mu   sync.RWMutex
	last uintptr
	byID map[uintptr]V
}

func (r *registry[V]) add(v V) uintptr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = make(map[uintptr]V)
	}
	r.last++
	r.byID[r.last] = v
	return r.last
}

func (r *registry[V]) get(id uintptr) (V, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, ok := r.byID[id]
	return v, ok
}

// take removes the id and returns what stood there.
func (r *registry[V]) take(id uintptr) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.byID[id]
	delete(r.byID, id)
	return v, ok
}

func (r *registry[V]) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byID)
}
