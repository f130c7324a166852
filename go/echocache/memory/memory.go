// Package memory has the stores of echocache that keep values in this process. Values stay what
// they are: a pointer that was set is the pointer that Get returns, and nothing is encoded.
//
// Contexts are not looked at, no call fails, and locks are always granted: there is no other
// process that they could keep out.
package memory

import (
	"context"
	"sync/atomic"
	"time"

	"docache"
	"docache/echocache"
)

// NewLRUCache keeps up to that many values for ever, and evicts what was not used for the longest
// time. It panics with a [*docache.ArgumentError] if size is less than 1.
func NewLRUCache[T any](size int) echocache.Cacher[T] { return newLRU[T](sized(size), 0) }

// NewLRUExpirableCache is [NewLRUCache] for values that live for ttl from when they were set, for
// ever if that is 0 or less. A size of 0 or less is no limit. What has expired is removed when it
// is asked for, or when another value is set, so there is no goroutine for that.
func NewLRUExpirableCache[T any](size int, ttl time.Duration) echocache.Cacher[T] {
	return newLRU[T](max(size, 0), max(ttl, 0))
}

// NewSingleCache keeps one value, that of whichever key was set last, for ttl, and returns it for
// all keys. With a ttl of 0 or less there is never a value.
func NewSingleCache[T any](ttl time.Duration) echocache.Cacher[T] { return newSingle[T](ttl) }

// NewStaleWhileRevalidateLRUCache is [NewLRUCache] for an [echocache.EchoCacheLazy].
func NewStaleWhileRevalidateLRUCache[T any](size int) echocache.StaleWhileRevalidateCache[T] {
	return lazy[T]{newLRU[echocache.StaleValue[T]](sized(size), 0)}
}

// NewStaleWhileRevalidateExpiringLRUCache is [NewLRUExpirableCache] for an
// [echocache.EchoCacheLazy].
func NewStaleWhileRevalidateExpiringLRUCache[T any](
	size int, ttl time.Duration,
) echocache.StaleWhileRevalidateCache[T] {
	return lazy[T]{newLRU[echocache.StaleValue[T]](max(size, 0), max(ttl, 0))}
}

// NewStaleWhileRevalidateSingleCache is [NewSingleCache] for an [echocache.EchoCacheLazy].
func NewStaleWhileRevalidateSingleCache[T any](ttl time.Duration) echocache.StaleWhileRevalidateCache[T] {
	return lazy[T]{newSingle[echocache.StaleValue[T]](ttl)}
}

// lazy adds locks to a store.
type lazy[T any] struct {
	echocache.Cacher[echocache.StaleValue[T]]
}

func (lazy[T]) TryAcquireRefreshLock(context.Context, string, string, time.Duration) (bool, error) {
	return true, nil
}

func (lazy[T]) ReleaseRefreshLock(context.Context, string, string) error { return nil }

// sized panics if there is no size.
func sized(size int) int {
	if size < 1 {
		panic(&docache.ArgumentError{Name: "size", Value: size, Accepted: "give 1 or more"})
	}
	return size
}

type single[T any] struct {
	ttl  time.Duration
	kept atomic.Pointer[kept[T]]
}

type kept[T any] struct {
	value T
	since time.Time
}

func newSingle[T any](ttl time.Duration) *single[T] { return &single[T]{ttl: ttl} }

func (s *single[T]) Get(context.Context, string) (v T, exists bool, err error) {
	k := s.kept.Load()
	if k == nil || time.Since(k.since) >= s.ttl {
		return v, false, nil
	}
	return k.value, true, nil
}

func (s *single[T]) Set(_ context.Context, _ string, value T) error {
	if s.ttl > 0 {
		s.kept.Store(&kept[T]{value, time.Now()})
	}
	return nil
}
