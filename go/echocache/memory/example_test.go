package memory_test

import (
	"context"
	"fmt"
	"time"

	"docache/echocache"
	"docache/echocache/memory"
)

func ExampleNewLRUCache() {
	ctx := context.Background()
	c := memory.NewLRUCache[int](2)
	for i, key := range []string{"a", "b", "c"} {
		_ = c.Set(ctx, key, i)
	}
	_, a, _ := c.Get(ctx, "a")
	v, ok, err := c.Get(ctx, "b")
	fmt.Println(a, v, ok, err)
	// Output: false 1 true <nil>
}

func ExampleNewLRUExpirableCache() {
	users := echocache.NewEchoCache(memory.NewLRUExpirableCache[string](1000, time.Minute))
	name, _, err := users.FetchWithCache(context.Background(), "1815",
		func(context.Context) (string, error) { return "Ada", nil })
	fmt.Println(name, err)
	// Output: Ada <nil>
}

func ExampleNewSingleCache() {
	ctx := context.Background()
	c := memory.NewSingleCache[string](time.Hour)
	_ = c.Set(ctx, "any", "the settings")
	v, ok, err := c.Get(ctx, "key")
	fmt.Println(v, ok, err)
	// Output: the settings true <nil>
}

func ExampleNewStaleWhileRevalidateLRUCache() {
	rates := echocache.NewLazyEchoCache(memory.NewStaleWhileRevalidateLRUCache[float64](100), time.Second)
	rate, _, err := rates.FetchWithLazyRefresh(context.Background(), "EUR/USD",
		func(context.Context) (float64, error) { return 1.08, nil }, time.Minute)
	fmt.Println(rate, err)
	// Output: 1.08 <nil>
}
