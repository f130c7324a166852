package echocache

import (
	"sync"

	"docache/internal/goroutine"
)

// awaits knows which goroutines are in a job of a queue, and of which queue each waits for the end,
// so that nobody waits in a circle: a queue for its own job, or several for the jobs of each other.
var awaits = awaitGraph{jobs: make(map[uintptr]any), ends: make(map[await]int)}

// awaitGraph is a graph of queues. Under mu it has no circle.
type awaitGraph struct {
	mu   sync.Mutex
	jobs map[uintptr]any // the queue, by the goroutine that is in a job of it
	ends map[await]int   // how many jobs of a queue wait for the end of another
}

type await struct{ from, to any }

// enter notes that the goroutine does jobs of the queue, until the returned function is called.
func (g *awaitGraph) enter(queue any) (leave func()) {
	self := goroutine.ID()
	if self == 0 { // cannot be told from others
		return func() {}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs[self] = queue
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.jobs, self)
	}
}

// begin notes that the goroutine is going to wait for the end of the queue, until the returned
// function is called; ok is false if it must not, because that waits for it.
func (g *awaitGraph) begin(queue any) (end func(), ok bool) {
	self := goroutine.ID()
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.jobs[self]
	if own == nil {
		return func() {}, true
	}
	if g.leads(queue, own) {
		return nil, false
	}
	edge := await{own, queue}
	g.ends[edge]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.ends[edge]--; g.ends[edge] == 0 {
			delete(g.ends, edge)
		}
	}, true
}

// leads reports whether there is a way from one queue to another. As there is no circle, it ends.
func (g *awaitGraph) leads(from, to any) bool {
	if from == to {
		return true
	}
	for edge := range g.ends {
		if edge.from == from && g.leads(edge.to, to) {
			return true
		}
	}
	return false
}
