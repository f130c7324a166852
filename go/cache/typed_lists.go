package cache

import (
	"sync"
	"time"

	"docache"
)

// batch is how much of a list goes to the library at once.
const batch = 64

// lists are what goes there; pooled, since the arrays are large.
type lists struct {
	keys, values list
	// Objects of their own: the library may be given no pointer to one that has Go's in it.
	found   *[batch]found
	tickets *[batch]ticket

	encoded scratch
}

var listPool = sync.Pool{New: func() any { return &lists{found: new([batch]found), tickets: new([batch]ticket)} }}

func takeLists() *lists { return listPool.Get().(*lists) }

func (l *lists) put() {
	l.reset()
	if cap(l.keys.bytes) <= scratchLimit && cap(l.values.bytes) <= scratchLimit && cap(l.encoded.bytes) <= scratchLimit {
		listPool.Put(l)
	}
}

func (l *lists) reset() {
	l.keys.reset()
	l.values.reset()
	clear(l.found[:])
}

// inBatches calls do with the first index and the list of up to batch keys at a time.
func inBatches[K ~string | ~[]byte](keys []K, do func(first int, l *lists) error) error {
	l := takeLists()
	defer l.put()
	for first := 0; first < len(keys); first += batch {
		l.reset()
		for _, key := range keys[first:min(first+batch, len(keys))] {
			l.keys.add(stringOf(&key))
		}
		if err := do(first, l); err != nil {
			return err
		}
	}
	return nil
}

// GetList returns a value for each key, in their order, and which of the keys were found. It stops
// at the first error, which is one of [Typed.Get] other than [ErrNotFound].
func (c *Typed[K, V]) GetList(keys []K) (values []V, found []bool, err error) {
	if c.table.closed.Load() {
		return nil, nil, ErrClosed
	}
	values, found = make([]V, len(keys)), make([]bool, len(keys))
	err = inBatches(keys, func(first int, l *lists) error {
		there := l.found[:l.keys.len()]
		c.table.findAll(&l.keys, there)
		defer releaseAll(there)
		for i, f := range there {
			if !f.there() {
				continue
			}
			v, err := c.open(f)
			if err != nil {
				return err
			}
			values[first+i], found[first+i] = v, true
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return values, found, nil
}

// SetList is Set for each key and the value at the same place. It stops at the first error, though
// values that are too large keep no others of the same 64 from being set; what came before stays.
func (c *Typed[K, V]) SetList(keys []K, values []V) error { return c.setList(keys, values, byDefault) }

// SetListEx is SetList with its own time to live, see [Typed.SetEx].
func (c *Typed[K, V]) SetListEx(keys []K, ttl time.Duration, values []V) error {
	if !c.table.isWorth(ttl) {
		c.DeleteList(keys)
		return nil
	}
	return c.setList(keys, values, lifetimeOf(ttl))
}

func (c *Typed[K, V]) setList(keys []K, values []V, life lifetime) error {
	if len(keys) != len(values) {
		return &docache.ArgumentError{Name: "values", Value: len(values), Accepted: "give as many as there are keys"}
	}
	if c.table.closed.Load() {
		return ErrClosed
	}
	return inBatches(keys, func(first int, l *lists) error {
		for i := range l.keys.len() {
			v := &values[first+i]
			if c.form != coded {
				l.values.add(viewOf(c.form, v))
				continue
			}
			b, err := c.codec.AppendTo(l.encoded.bytes[:0], *v)
			if err != nil {
				return err
			}
			l.encoded.bytes = b
			l.values.add(stringOf(&b))
		}
		return c.table.setAll(&l.keys, &l.values, life)
	})
}

// DeleteList is Delete for each key; it returns how many had a value.
func (c *Typed[K, V]) DeleteList(keys []K) (deleted int) {
	if c.table.closed.Load() {
		return 0
	}
	_ = inBatches(keys, func(_ int, l *lists) error {
		deleted += c.table.removeAll(&l.keys)
		return nil
	})
	return deleted
}
