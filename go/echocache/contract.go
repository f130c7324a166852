package echocache

import (
	"context"
	"time"
)

// NeverExpire is a time to live, or an age, that is never reached: a hundred years.
const NeverExpire = time.Hour * 24 * 365 * 100

// RefreshFunc computes a value. The context is that of the caller for whom it runs, or that of a
// refresh in the background, which ends with its time limit or the cache's shutdown.
type RefreshFunc[T any] func(ctx context.Context) (T, error)

// Cacher is a store of values by key. It is called from many goroutines at once.
type Cacher[T any] interface {
	// Get returns the key's value; exists is false if there is none, which is not an error.
	Get(ctx context.Context, key string) (value T, exists bool, err error)
	// Set keeps a value, in place of what there was.
	Set(ctx context.Context, key string, value T) error
}

// StaleValue is a value with the time at which it was computed.
type StaleValue[T any] struct {
	Value     T
	CreatedAt time.Time
}

// StaleWhileRevalidateCache is a store for an [EchoCacheLazy]: it also has a lock for each key,
// among all processes that share the store.
type StaleWhileRevalidateCache[T any] interface {
	Cacher[StaleValue[T]]
	// TryAcquireRefreshLock takes the key's lock for as long as ttl says, and reports whether it
	// could. Whoever gives the randValue that holds the lock already takes it anew. A store without
	// locks returns true: a refresh that gets none is not done.
	TryAcquireRefreshLock(ctx context.Context, key string, randValue string, ttl time.Duration) (bool, error)
	// ReleaseRefreshLock gives the lock back if randValue holds it, and else does nothing.
	ReleaseRefreshLock(ctx context.Context, key string, randValue string) error
}
