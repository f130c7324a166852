package echocache

import (
	"fmt"
	"sync/atomic"
)

// Stats holds the counters of a cache since it was made.
type Stats struct {
	// Hits counts fetches whose value was in the store, and StaleHits those of them whose value was
	// older than the caller liked.
	Hits, StaleHits uint64
	// Loads counts the functions that were run, in the background too, and LoadFailures those of
	// them that returned an error, panicked or exited their goroutine.
	Loads, LoadFailures uint64
	// Coalesced counts calls that shared what another call's function returned.
	Coalesced uint64
	// StoreFailures counts calls of the store that failed while whoever made them still waited.
	StoreFailures uint64

	// Refreshes counts refreshes in the background that have ended, however they did.
	Refreshes uint64
	// RefreshFailures counts those that failed, and RefreshPanics those of them that panicked or
	// exited their goroutine.
	RefreshFailures, RefreshPanics uint64
	// RefreshesSpared counts refreshes that had nothing to do, since another process had the lock
	// or had refreshed the value already.
	RefreshesSpared uint64
	// Dropped counts refreshes that were not done because the queue was full, or at a shutdown.
	Dropped uint64
	// Queued and Running are how many refreshes wait and run now.
	Queued, Running int
}

type counters struct {
	hits, staleHits, loads, loadFailures, coalesced, storeFailures      atomic.Uint64
	refreshes, refreshFailures, refreshPanics, refreshesSpared, dropped atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Hits:            c.hits.Load(),
		StaleHits:       c.staleHits.Load(),
		Loads:           c.loads.Load(),
		LoadFailures:    c.loadFailures.Load(),
		Coalesced:       c.coalesced.Load(),
		StoreFailures:   c.storeFailures.Load(),
		Refreshes:       c.refreshes.Load(),
		RefreshFailures: c.refreshFailures.Load(),
		RefreshPanics:   c.refreshPanics.Load(),
		RefreshesSpared: c.refreshesSpared.Load(),
		Dropped:         c.dropped.Load(),
	}
}

// Op says what a [Warning] is about.
type Op int

const (
	// OpGet is a read of the store.
	OpGet Op = iota
	// OpSet is a write of a value that was computed.
	OpSet
	// OpLock is taking the lock of a refresh.
	OpLock
	// OpUnlock is giving it back.
	OpUnlock
	// OpRefresh is a refresh in the background: its function failed or panicked, or the queue was
	// full.
	OpRefresh
)

// String returns a word for it.
func (o Op) String() string {
	switch o {
	case OpGet:
		return "get"
	case OpSet:
		return "set"
	case OpLock:
		return "lock"
	case OpUnlock:
		return "unlock"
	case OpRefresh:
		return "refresh"
	default:
		return fmt.Sprintf("Op(%d)", int(o))
	}
}

// Warning is a failure that no caller gets to see as an error.
type Warning struct {
	Op  Op
	Key string
	Err error
}

// Error says what failed.
func (w Warning) Error() string { return fmt.Sprintf("echocache: %s %q: %v", w.Op, w.Key, w.Err) }

// Unwrap returns the cause.
func (w Warning) Unwrap() error { return w.Err }
