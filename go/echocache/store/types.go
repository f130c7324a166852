package store

import (
	"time"

	"docache/echocache"
	"docache/echocache/memory"
)

// RefreshFunc computes a value.
type RefreshFunc[T any] = echocache.RefreshFunc[T]

// Cacher is a store of values by key.
type Cacher[T any] = echocache.Cacher[T]

// StaleValue is a value with the time at which it was computed.
type StaleValue[T any] = echocache.StaleValue[T]

// StaleWhileRevalidateCache is a store for an [echocache.EchoCacheLazy].
type StaleWhileRevalidateCache[T any] = echocache.StaleWhileRevalidateCache[T]

// NewLRUCache is [memory.NewLRUCache]: up to that many values, for ever.
func NewLRUCache[T any](size int) Cacher[T] { return memory.NewLRUCache[T](size) }

// NewLRUExpirableCache is [memory.NewLRUExpirableCache]: up to that many values, for ttl each.
func NewLRUExpirableCache[T any](size int, ttl time.Duration) Cacher[T] {
	return memory.NewLRUExpirableCache[T](size, ttl)
}

// NewSingleCache is [memory.NewSingleCache]: one value for all keys, for ttl.
func NewSingleCache[T any](ttl time.Duration) Cacher[T] { return memory.NewSingleCache[T](ttl) }

// NewStaleWhileRevalidateLRUCache is [memory.NewStaleWhileRevalidateLRUCache].
func NewStaleWhileRevalidateLRUCache[T any](size int) StaleWhileRevalidateCache[T] {
	return memory.NewStaleWhileRevalidateLRUCache[T](size)
}

// NewStaleWhileRevalidateExpiringLRUCache is [memory.NewStaleWhileRevalidateExpiringLRUCache].
func NewStaleWhileRevalidateExpiringLRUCache[T any](size int, ttl time.Duration) StaleWhileRevalidateCache[T] {
	return memory.NewStaleWhileRevalidateExpiringLRUCache[T](size, ttl)
}

// NewStaleWhileRevalidateSingleCache is [memory.NewStaleWhileRevalidateSingleCache].
func NewStaleWhileRevalidateSingleCache[T any](ttl time.Duration) StaleWhileRevalidateCache[T] {
	return memory.NewStaleWhileRevalidateSingleCache[T](ttl)
}
