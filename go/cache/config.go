package cache

import (
	"math"
	"time"

	"docache"
)

const (
	// NoTTL is the time to live of values that do not expire: -1 ns. Any other time of 0 or less is
	// over at once.
	NoTTL time.Duration = -1
	// NoCleanup is a CleanupInterval. The reads of a [Cache] then return expired values until
	// DeleteExpired, as Lockotron's do. A [Typed] does not return them, unless ExpireOnCleanupOnly
	// is set, but keeps them until Purge.
	NoCleanup time.Duration = -1
)

const (
	defaultTTL      = 15 * time.Minute
	defaultCleanup  = 20 * time.Minute
	shortestCleanup = time.Millisecond
)

// Policy chooses the entries that a full cache evicts.
type Policy int

const (
	// Adaptive keeps what is used often or again soon, and resists scans and loops.
	Adaptive Policy = iota
	// LRU evicts what was not used for the longest time. It needs a limit, and a hit takes a short
	// lock.
	LRU
)

// Config configures a cache. The zero value of a field is its default. A cache reads its Config
// only while it is made, so one Config can serve many caches.
type Config struct {
	// DefaultTTL is the time to live of values that are set without one: 15 minutes by default,
	// [NoTTL] for no limit.
	DefaultTTL time.Duration
	// CleanupInterval is how often expired values are removed: every 20 minutes by default; less
	// than a millisecond counts as one. With [NoCleanup] reads of a [Cache] return expired values,
	// as if ExpireOnCleanupOnly was set: they stay until DeleteExpired, on a [Typed] until Purge, or
	// until other values take their place. To have neither cleanups nor expired values in a Cache,
	// give a very long time instead.
	CleanupInterval time.Duration

	// Capacity is the most entries that are kept. 0: no limit. Not together with MaxBytes.
	Capacity int
	// MaxBytes is the most bytes, of keys and encoded values together, that are kept. 0: no limit.
	// They are divided among up to 8 shards, and an entry lies in one of them: what is larger than
	// an eighth of MaxBytes is refused. Then the key has no value, Set returns an error, Fetch
	// returns what was loaded all the same, and [Stats] counts it as Refused. A [Cache] does not
	// accept it, since the size of Go values is not known.
	MaxBytes int64
	// Policy chooses what a full cache evicts. The default is [Adaptive].
	Policy Policy
	// TTLJitter is the largest fraction of each time to live that is taken off it at random, so
	// that what was stored together does not expire together: 0, the default, to 1.
	TTLJitter float64
	// ExpireOnCleanupOnly lets reads, and Fetch, return expired values until the cleanup,
	// DeleteExpired (on a [Typed] that is Purge) or, in a full cache, other values take their place.
	// A value with a time to live of 0 or less then expires at once. By default an expired value is
	// not returned; but in a [Cache] whose CleanupInterval is [NoCleanup] this is always on.
	ExpireOnCleanupOnly bool
	// CountReads counts the hits and misses of [Stats], which are 0 without it. It costs each read
	// a few nanoseconds.
	CountReads bool
}

// NewConfig returns a Config with the default times filled in.
func NewConfig() *Config { return &Config{DefaultTTL: defaultTTL, CleanupInterval: defaultCleanup} }

// noMaxBytes is for a Cache.
func noMaxBytes(value int64) error {
	return &docache.ArgumentError{
		Name: "MaxBytes", Value: value, Accepted: "give 0 and a Capacity: how large Go values are is not known",
	}
}

// filled is the Config, or a new one, with the default times filled in.
func (c *Config) filled() (Config, error) {
	if c == nil {
		c = NewConfig()
	}
	f := *c
	if f.DefaultTTL == 0 {
		f.DefaultTTL = defaultTTL
	}
	switch {
	case f.CleanupInterval == 0:
		f.CleanupInterval = defaultCleanup
	case f.CleanupInterval > 0:
		f.CleanupInterval = max(f.CleanupInterval, shortestCleanup)
	}
	refuse := func(name string, value any, accepted string) (Config, error) {
		return f, &docache.ArgumentError{Name: name, Value: value, Accepted: accepted}
	}
	switch {
	case f.DefaultTTL < NoTTL:
		return refuse("DefaultTTL", f.DefaultTTL, "give a duration greater than 0, 0 (15 minutes) or NoTTL")
	case f.CleanupInterval < NoCleanup:
		return refuse("CleanupInterval", f.CleanupInterval, "give a duration greater than 0, 0 (20 minutes) or NoCleanup")
	case f.Capacity < 0:
		return refuse("Capacity", f.Capacity, "give 0 (no limit) or more")
	case f.MaxBytes < 0:
		return refuse("MaxBytes", f.MaxBytes, "give 0 (no limit) or more")
	case f.Capacity > 0 && f.MaxBytes > 0:
		return refuse("MaxBytes", f.MaxBytes, "give 0 where there is a Capacity")
	case f.Policy != Adaptive && f.Policy != LRU:
		return refuse("Policy", int(f.Policy), "give Adaptive or LRU")
	case f.Policy == LRU && f.Capacity == 0 && f.MaxBytes == 0:
		return refuse("Policy", "LRU", "give a Capacity or MaxBytes with it")
	case !(f.TTLJitter >= 0 && f.TTLJitter <= 1):
		return refuse("TTLJitter", f.TTLJitter, "give 0 to 1")
	}
	return f, nil
}

// lifetime is how long a value lives, as the library is told.
type lifetime uint64

const (
	byDefault lifetime = 0 // as long as the Config says
	forever   lifetime = math.MaxUint64
)

// lifetimeOf is how long a value lives that is given ttl; the shortest time there is stands for
// none.
func lifetimeOf(ttl time.Duration) lifetime {
	switch {
	case ttl == NoTTL:
		return forever
	case ttl <= 0:
		return 1
	default:
		return lifetime(ttl)
	}
}
