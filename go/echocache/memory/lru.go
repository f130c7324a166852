package memory

import (
	"context"
	"sync"
	"time"
)

// lru is one map behind one lock, so that what it evicts is the least recently used of all, at any
// size; and in Go, since a hit moves an entry, for which the library would take a lock too.
//
// Invariants, under mu:
//   - entries, the ring of uses and the ring of births have the same nodes. The ring of uses goes
//     from the most to the least recently used, that of births from the last to the first that was
//     set. All live equally long, so those that have expired are the end of the ring of births.
//   - No more than size of them are there, if size is not 0.
type lru[T any] struct {
	size int
	ttl  time.Duration // 0: for ever
	base time.Time

	mu      sync.Mutex
	entries map[string]*node[T]
	uses    links[T] // its head; so is births
	births  links[T]
}

type node[T any] struct {
	key   string
	value T
	born  time.Duration // since base
	uses  links[T]
	birth links[T]
}

// links are a node's place in a ring.
type links[T any] struct {
	before, after *links[T]
	node          *node[T] // nil in the head
}

// enter puts l first into the ring of head.
func (l *links[T]) enter(head *links[T]) {
	l.before, l.after = head, head.after
	l.before.after, l.after.before = l, l
}

func (l *links[T]) leave() { l.before.after, l.after.before = l.after, l.before }

func newLRU[T any](size int, ttl time.Duration) *lru[T] {
	c := &lru[T]{size: size, ttl: ttl, base: time.Now(), entries: make(map[string]*node[T])}
	c.uses.before, c.uses.after = &c.uses, &c.uses
	c.births.before, c.births.after = &c.births, &c.births
	return c
}

func (c *lru[T]) now() time.Duration {
	if c.ttl == 0 {
		return 0
	}
	return time.Since(c.base)
}

func (c *lru[T]) hasExpired(n *node[T], now time.Duration) bool {
	return c.ttl != 0 && now-n.born >= c.ttl
}

func (c *lru[T]) Get(_ context.Context, key string) (value T, exists bool, err error) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.entries[key]
	if n == nil {
		return value, false, nil
	}
	if c.hasExpired(n, now) {
		c.remove(n)
		return value, false, nil
	}
	if c.uses.after != &n.uses {
		n.uses.leave()
		n.uses.enter(&c.uses)
	}
	return n.value, true, nil
}

func (c *lru[T]) Set(_ context.Context, key string, value T) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now() // under the lock, or the births would not be in their order
	for last := c.births.before.node; last != nil && c.hasExpired(last, now); last = c.births.before.node {
		c.remove(last)
	}
	n := c.entries[key]
	switch {
	case n != nil:
		n.uses.leave()
		n.birth.leave()
	case c.size != 0 && len(c.entries) == c.size:
		n = c.uses.before.node
		c.remove(n)
	default:
		n = new(node[T])
		n.uses.node, n.birth.node = n, n
	}
	n.key, n.value, n.born = key, value, now
	n.uses.enter(&c.uses)
	n.birth.enter(&c.births)
	c.entries[key] = n
	return nil
}

func (c *lru[T]) remove(n *node[T]) {
	delete(c.entries, n.key)
	n.uses.leave()
	n.birth.leave()
}
