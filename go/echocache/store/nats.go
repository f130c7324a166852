package store

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"docache"

	"github.com/nats-io/nats.go/jetstream"
)

// NewNatsCache keeps values in a JetStream bucket, as JSON, for as long as the bucket keeps them.
// prefix may have what a NATS subject may, and must have more than dots.
func NewNatsCache[T any](kv jetstream.KeyValue, prefix string) Cacher[T] {
	return newNatsStore(kv, prefix, decodePlain[T])
}

// NewStaleWhileRevalidateNatsCache is [NewNatsCache] for an [echocache.EchoCacheLazy], with locks
// among all processes that use the same bucket and prefix.
func NewStaleWhileRevalidateNatsCache[T any](kv jetstream.KeyValue, prefix string) StaleWhileRevalidateCache[T] {
	return &natsLazy[T]{natsStore: newNatsStore(kv, prefix, decodeLazy[T])}
}

type natsStore[V any] struct {
	kv     jetstream.KeyValue
	prefix string // with the dot
	decode decoder[V]
}

type natsLazy[T any] struct {
	natsStore[StaleValue[T]]
	others sightings
}

func newNatsStore[V any](kv jetstream.KeyValue, prefix string, decode decoder[V]) natsStore[V] {
	if kv == nil {
		panic(&docache.ArgumentError{Name: "kv", Value: nil, Accepted: "give a bucket"})
	}
	return natsStore[V]{kv, strings.TrimRight(prefix, ".") + ".", decode}
}

// at is where the bucket has the key.
func (s natsStore[V]) at(key string) string {
	sum := md5.Sum([]byte(key))
	return s.prefix + hex.EncodeToString(sum[:])
}

func (s natsStore[V]) Get(ctx context.Context, key string) (V, bool, error) {
	var none V
	entry, err := s.kv.Get(ctx, s.at(key))
	if isNone(err) {
		return none, false, nil
	}
	if err != nil {
		return none, false, failed("NATS", "get", key, err)
	}
	v, err := s.decode(entry.Value())
	if err != nil {
		return none, false, failed("NATS", "get", key, err)
	}
	return v, true, nil
}

func isNone(err error) bool {
	return errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrKeyDeleted)
}

func (s natsStore[V]) Set(ctx context.Context, key string, value V) error {
	raw, err := json.Marshal(value)
	if err == nil {
		_, err = s.kv.Put(ctx, s.at(key), raw)
	}
	if err != nil {
		return failed("NATS", "set", key, err)
	}
	return nil
}

func (s *natsLazy[T]) TryAcquireRefreshLock(
	ctx context.Context, key string, randValue string, ttl time.Duration,
) (bool, error) {
	if err := lockTTL(ttl); err != nil {
		return false, err
	}
	at := s.at("lock:" + key)
	taken, err := s.acquire(ctx, at, randValue, ttl)
	if err != nil {
		return false, failed("NATS", "lock", key, err)
	}
	if taken {
		s.others.forget(at)
	}
	return taken, nil
}

// acquire creates the lock, or replaces what it has read, if that is its own or of a dead holder.
// Whoever else writes in between wins.
func (s *natsLazy[T]) acquire(ctx context.Context, at, token string, ttl time.Duration) (bool, error) {
	lock := []byte(token + "|" + time.Now().UTC().Format(time.RFC3339))
	_, err := s.kv.Create(ctx, at, lock)
	if err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
		return err == nil, err
	}
	entry, err := s.kv.Get(ctx, at)
	if isNone(err) {
		return false, nil // given back just now; the next one to ask gets it
	}
	if err != nil {
		return false, err
	}
	if holder(entry.Value()) != token && !s.others.isDead(at, entry.Revision(), ttl, time.Now()) {
		return false, nil
	}
	_, err = s.kv.Update(ctx, at, lock, entry.Revision())
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil
	}
	return err == nil, err
}

// holder is the token in the value of a lock.
func holder(lock []byte) string {
	text := string(lock)
	if i := strings.LastIndexByte(text, '|'); i >= 0 {
		return text[:i]
	}
	return text
}

func (s *natsLazy[T]) ReleaseRefreshLock(ctx context.Context, key string, randValue string) error {
	at := s.at("lock:" + key)
	entry, err := s.kv.Get(ctx, at)
	if isNone(err) || err == nil && holder(entry.Value()) != randValue {
		return nil
	}
	if err == nil {
		err = s.kv.Delete(ctx, at, jetstream.LastRevision(entry.Revision()))
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyExists) { // somebody else has it by now
		return failed("NATS", "unlock", key, err)
	}
	return nil
}
