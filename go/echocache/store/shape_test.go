package store_test

import (
	"context"
	"testing"
	"time"

	"docache/echocache"
	"docache/echocache/store"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// What programs of github.com/logocomune/echocache call, with its types.
var (
	_ func(int) store.Cacher[int]                                                     = store.NewLRUCache[int]
	_ func(int, time.Duration) store.Cacher[int]                                      = store.NewLRUExpirableCache[int]
	_ func(time.Duration) store.Cacher[int]                                           = store.NewSingleCache[int]
	_ func(*redis.Client, string, time.Duration) store.Cacher[int]                    = store.NewRedisCache[int]
	_ func(jetstream.KeyValue, string) store.Cacher[int]                              = store.NewNatsCache[int]
	_ func(int) store.StaleWhileRevalidateCache[int]                                  = store.NewStaleWhileRevalidateLRUCache[int]
	_ func(int, time.Duration) store.StaleWhileRevalidateCache[int]                   = store.NewStaleWhileRevalidateExpiringLRUCache[int]
	_ func(time.Duration) store.StaleWhileRevalidateCache[int]                        = store.NewStaleWhileRevalidateSingleCache[int]
	_ func(*redis.Client, string, time.Duration) store.StaleWhileRevalidateCache[int] = store.NewStaleWhileRevalidateRedisCache[int]
	_ func(jetstream.KeyValue, string) store.StaleWhileRevalidateCache[int]           = store.NewStaleWhileRevalidateNatsCache[int]
)

// own is a program's own store, written against the package store alone.
type own[T any] struct {
	store.Cacher[store.StaleValue[T]]
}

func (own[T]) TryAcquireRefreshLock(_ context.Context, key string, randValue string, ttl time.Duration) (bool, error) {
	return key != "" && randValue != "" && ttl > 0, nil
}

func (own[T]) ReleaseRefreshLock(context.Context, string, string) error { return nil }

var _ store.StaleWhileRevalidateCache[int] = own[int]{}

// A program of the seed library's, but for the import paths.
func TestProgramsNeedOnlyChangeTheirImportPaths(t *testing.T) {
	ctx := context.Background()
	var refresh store.RefreshFunc[string] = func(context.Context) (string, error) { return "computed", nil }
	plain := echocache.NewEchoCache[string](store.NewLRUCache[string](2))
	if v, ok, err := plain.FetchWithCache(ctx, "k", refresh); v != "computed" || !ok || err != nil {
		t.Error(v, ok, err)
	}
	entries := own[string]{store.NewLRUCache[store.StaleValue[string]](2)}
	lazy := echocache.NewLazyEchoCache[string](entries, time.Second,
		echocache.WithQueueSize(10), echocache.WithWorkerCount(2))
	defer lazy.ShutdownLazyRefresh()
	old := store.StaleValue[string]{Value: "old", CreatedAt: time.Now().Add(-time.Hour)}
	if err := entries.Set(ctx, "k", old); err != nil {
		t.Error(err)
	}
	v, ok, err := lazy.FetchWithLazyRefresh(ctx, "k", refresh, time.Minute)
	for begun := time.Now(); v == "old" && time.Since(begun) < time.Minute; time.Sleep(time.Millisecond) {
		v, ok, err = lazy.FetchWithLazyRefresh(ctx, "k", refresh, time.Minute)
	}
	if v != "computed" || !ok || err != nil {
		t.Error(v, ok, err)
	}
}
