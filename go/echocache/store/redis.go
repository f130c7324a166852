package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"docache"

	"github.com/redis/go-redis/v9"
)

// takeLock takes the lock KEYS[1] for the token ARGV[1], for ARGV[2] ms, if it is free or its own.
var takeLock = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// dropLock gives the lock KEYS[1] back if the token ARGV[1] holds it.
var dropLock = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0`)

// NewRedisCache keeps values in Redis, as JSON under the key "prefix:key", for ttl, or for ever if
// that is 0 or less. The client stays yours: its timeouts and retries say how long a call may take.
func NewRedisCache[T any](db *redis.Client, prefix string, ttl time.Duration) Cacher[T] {
	return redisStore[T]{needs(db, "db"), prefix + ":", max(ttl, 0), decodePlain[T]}
}

// NewStaleWhileRevalidateRedisCache is [NewRedisCache] for an [echocache.EchoCacheLazy], with locks
// among all processes that use the same server and prefix. ttl is how long a value may be served
// after it was written: give it more than the lazyRefreshInterval.
func NewStaleWhileRevalidateRedisCache[T any](
	db *redis.Client, prefix string, ttl time.Duration,
) StaleWhileRevalidateCache[T] {
	return redisLazy[T]{
		redisStore[StaleValue[T]]{needs(db, "db"), prefix + ":", max(ttl, 0), decodeLazy[T]},
	}
}

// needs panics if a client is nil.
func needs[C any](client *C, name string) *C {
	if client == nil {
		panic(&docache.ArgumentError{Name: name, Value: nil, Accepted: "give a client"})
	}
	return client
}

type redisStore[V any] struct {
	db     *redis.Client
	prefix string // with the colon
	ttl    time.Duration
	decode decoder[V]
}

type redisLazy[T any] struct{ redisStore[StaleValue[T]] }

// failed says what failed; [errors.Is] finds the cause.
func failed(server, what, key string, err error) error {
	return fmt.Errorf("echocache: %s: %s %q: %w", server, what, key, err)
}

func (s redisStore[V]) Get(ctx context.Context, key string) (V, bool, error) {
	var none V
	raw, err := s.db.Get(ctx, s.prefix+key).Bytes()
	if errors.Is(err, redis.Nil) {
		return none, false, nil
	}
	if err != nil {
		return none, false, failed("Redis", "get", key, err)
	}
	v, err := s.decode(raw)
	if err != nil {
		return none, false, failed("Redis", "get", key, err)
	}
	return v, true, nil
}

func (s redisStore[V]) Set(ctx context.Context, key string, value V) error {
	raw, err := json.Marshal(value)
	if err == nil {
		err = s.db.Set(ctx, s.prefix+key, raw, s.ttl).Err()
	}
	if err != nil {
		return failed("Redis", "set", key, err)
	}
	return nil
}

func (s redisLazy[T]) TryAcquireRefreshLock(
	ctx context.Context, key string, randValue string, ttl time.Duration,
) (bool, error) {
	if err := lockTTL(ttl); err != nil {
		return false, err
	}
	// Redis counts whole milliseconds, and none would be no lock.
	millis := int64((ttl-1)/time.Millisecond) + 1
	taken, err := takeLock.Run(ctx, s.db, []string{s.prefix + "lock:" + key}, randValue, millis).Bool()
	if err != nil {
		return false, failed("Redis", "lock", key, err)
	}
	return taken, nil
}

// lockTTL refuses a time to live of none.
func lockTTL(ttl time.Duration) error {
	if ttl <= 0 {
		return &docache.ArgumentError{Name: "ttl", Value: ttl, Accepted: "give more than 0"}
	}
	return nil
}

func (s redisLazy[T]) ReleaseRefreshLock(ctx context.Context, key string, randValue string) error {
	err := dropLock.Run(ctx, s.db, []string{s.prefix + "lock:" + key}, randValue).Err()
	if err != nil {
		return failed("Redis", "unlock", key, err)
	}
	return nil
}
