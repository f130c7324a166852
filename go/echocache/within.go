package echocache

import (
	"context"
	"fmt"
	"time"

	"docache/singleflight"
)

// Within puts a limit to a store that may hang: a call that takes longer than that fails, with an
// error that is a [context.DeadlineExceeded], and goes on by itself on a goroutine of its own. So
// a fetch waits no longer for the store, whether that heeds contexts or not. Each call costs a
// goroutine: it is not for stores in memory.
//
// A caller whose context ends leaves at once.
func Within[T any](cacher Cacher[T], limit time.Duration) Cacher[T] {
	return within[T]{cacher, limit}
}

// StaleWithin is [Within] for the stores of an [EchoCacheLazy], their locks included.
func StaleWithin[T any](
	cacher StaleWhileRevalidateCache[T], limit time.Duration,
) StaleWhileRevalidateCache[T] {
	return staleWithin[T]{within[StaleValue[T]]{cacher, limit}, cacher}
}

type within[T any] struct {
	cacher Cacher[T]
	limit  time.Duration
}

type staleWithin[T any] struct {
	within[StaleValue[T]]
	locks StaleWhileRevalidateCache[T]
}

// answer is what a store returned.
type answer[T any] struct {
	value T
	ok    bool
	err   error
}

// limited returns what call does, unless that takes too long.
func limited[T any](ctx context.Context, limit time.Duration, call func(ctx context.Context) answer[T]) answer[T] {
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("echocache: the store took more than %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	answers := make(chan answer[T], 1)
	go func() {
		a := answer[T]{err: singleflight.ErrGoexit}
		defer func() {
			if p := recover(); p != nil {
				a.err = panicError(p)
			}
			answers <- a
		}()
		a = call(ctx)
	}()
	select {
	case a := <-answers:
		return a
	case <-ctx.Done():
		return answer[T]{err: context.Cause(ctx)}
	}
}

func (w within[T]) Get(ctx context.Context, key string) (T, bool, error) {
	a := limited(ctx, w.limit, func(ctx context.Context) (a answer[T]) {
		a.value, a.ok, a.err = w.cacher.Get(ctx, key)
		return a
	})
	return a.value, a.ok, a.err
}

func (w within[T]) Set(ctx context.Context, key string, value T) error {
	return limited(ctx, w.limit, func(ctx context.Context) answer[struct{}] {
		return answer[struct{}]{err: w.cacher.Set(ctx, key, value)}
	}).err
}

func (w staleWithin[T]) TryAcquireRefreshLock(
	ctx context.Context, key string, randValue string, ttl time.Duration,
) (bool, error) {
	a := limited(ctx, w.limit, func(ctx context.Context) (a answer[struct{}]) {
		a.ok, a.err = w.locks.TryAcquireRefreshLock(ctx, key, randValue, ttl)
		return a
	})
	return a.ok, a.err
}

func (w staleWithin[T]) ReleaseRefreshLock(ctx context.Context, key string, randValue string) error {
	return limited(ctx, w.limit, func(ctx context.Context) answer[struct{}] {
		return answer[struct{}]{err: w.locks.ReleaseRefreshLock(ctx, key, randValue)}
	}).err
}
