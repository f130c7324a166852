// Package registry keeps Go values to which C refers by number.
package registry

import "sync"

// Registry gives C integers in place of Go values. An id is never used twice, and is never 0. The
// zero Registry is empty and ready for use.
type Registry[V any] struct {
	mu   sync.RWMutex
	last uintptr
	byID map[uintptr]V
}

// Add gives v an id.
func (r *Registry[V]) Add(v V) uintptr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = make(map[uintptr]V)
	}
	r.last++
	r.byID[r.last] = v
	return r.last
}

// Get returns the value of the id.
func (r *Registry[V]) Get(id uintptr) (V, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, ok := r.byID[id]
	return v, ok
}

// Take removes the id and returns its value.
func (r *Registry[V]) Take(id uintptr) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.byID[id]
	delete(r.byID, id)
	return v, ok
}

// Len returns the number of ids in use.
func (r *Registry[V]) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byID)
}
