package docache

import (
	"sort"
	"time"
)

// Data is one result of a [Doer].
//
// The zero Data means "nothing yet": its Timestamp is the zero time.
type Data[T any] struct {
	// Value is what the Doer returned, also when it returned an error with it.
	// It is the zero value if the Doer panicked or exited its goroutine.
	Value T
	// Timestamp is the moment at which the call of the Doer began. It carries a monotonic clock
	// reading.
	Timestamp time.Time
	// Error is the error that the Doer returned, a [PanicError] if it panicked, or [ErrGoexit]. It
	// is nil on success.
	Error error
}

// ByTime sorts Data from the oldest to the newest; with [sort.Reverse], from the newest to the
// oldest.
//
// The Data method of a cache sorts that way already, so this is for slices that were merged or
// shuffled since.
type ByTime[T any] []Data[T]

var _ sort.Interface = ByTime[int](nil)

// Len returns the number of entries.
func (b ByTime[T]) Len() int { return len(b) }

// Less reports whether entry i is older than entry j.
func (b ByTime[T]) Less(i, j int) bool { return b[i].Timestamp.Before(b[j].Timestamp) }

// Swap exchanges the entries i and j.
func (b ByTime[T]) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
