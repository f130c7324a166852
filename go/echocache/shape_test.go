package echocache_test

import (
	"context"
	"time"

	"docache/echocache"
)

// What programs of github.com/logocomune/echocache call, with its types.
var (
	_ func(echocache.Cacher[int]) *echocache.EchoCache[int]                                                   = echocache.NewEchoCache[int]
	_ func(*echocache.EchoCache[int], context.Context, string, echocache.RefreshFunc[int]) (int, bool, error) = (*echocache.EchoCache[int]).FetchWithCache

	_ func(echocache.StaleWhileRevalidateCache[int], time.Duration, ...echocache.LazyEchoCacheOption) *echocache.EchoCacheLazy[int] = echocache.NewLazyEchoCache[int]
	_ func(*echocache.EchoCacheLazy[int], context.Context, string, echocache.RefreshFunc[int], time.Duration) (int, bool, error)    = (*echocache.EchoCacheLazy[int]).FetchWithLazyRefresh
	_ func(*echocache.EchoCacheLazy[int])                                                                                           = (*echocache.EchoCacheLazy[int]).ShutdownLazyRefresh
	_ func(int) echocache.LazyEchoCacheOption                                                                                       = echocache.WithQueueSize
	_ func(int) echocache.LazyEchoCacheOption                                                                                       = echocache.WithWorkerCount

	_ time.Duration = echocache.NeverExpire
)
