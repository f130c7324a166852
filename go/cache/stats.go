package cache

import "time"

// Stats holds the counters of a cache since it was made.
type Stats struct {
	// Hits and Misses count reads that found a value, and that did not; both are 0 without
	// [Config].CountReads. Each Get, Fetch, AppendTo and key of a list is one read; Has is none.
	Hits, Misses uint64
	// Loads counts the functions that Fetch ran, and LoadFailures those of them that returned an
	// error, panicked or exited their goroutine.
	Loads, LoadFailures uint64
	// LoadTime is how long loads took in all.
	LoadTime time.Duration
	// Coalesced counts calls that shared what another call's function returned.
	Coalesced uint64
	// Inserted counts values that were stored.
	Inserted uint64
	// Evicted counts entries that were removed because there was no room, Expired those that
	// expired, Removed those that were deleted, and Replaced those whose key got another value.
	Evicted, Expired, Removed, Replaced uint64
	// Refused counts values that were not stored, for instance because they are too large for
	// MaxBytes, see [Config].
	Refused uint64
	// Len is the number of entries, including expired ones that were not removed yet.
	Len int
	// Weight is their bytes, keys included, if the cache has MaxBytes, else their number.
	Weight uint64
}
