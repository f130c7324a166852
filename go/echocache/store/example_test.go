package store_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"docache/echocache"
	"docache/echocache/store"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

func ExampleNewRedisCache() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "localhost:6379",
		DialTimeout:           100 * time.Millisecond,
		ReadTimeout:           50 * time.Millisecond,
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	users := echocache.NewEchoCache(store.NewRedisCache[string](client, "users", time.Hour))
	name, _, err := users.FetchWithCache(context.Background(), "1815",
		func(context.Context) (string, error) { return "Ada", nil })
	if err != nil {
		log.Fatal(err)
	}
	log.Print(name)
}

func ExampleNewStaleWhileRevalidateRedisCache() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	entries := store.NewStaleWhileRevalidateRedisCache[float64](client, "rates", 24*time.Hour)
	rates := echocache.NewLazyEchoCache(entries, 5*time.Second, echocache.WithWorkerCount(4))
	defer rates.ShutdownLazyRefresh()
	rate, _, err := rates.FetchWithLazyRefresh(context.Background(), "EUR/USD",
		func(context.Context) (float64, error) { return 1.08, nil }, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	log.Print(rate)
}

func ExampleNewNatsCache() {
	ctx := context.Background()
	nc, err := nats.Connect(nats.DefaultURL)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	bucket, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "cache", TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	users := echocache.NewEchoCache(store.NewNatsCache[string](bucket, "users"))
	name, _, err := users.FetchWithCache(ctx, "1815", func(context.Context) (string, error) { return "Ada", nil })
	if err != nil {
		log.Fatal(err)
	}
	log.Print(name)
}

func ExampleNewStaleWhileRevalidateNatsCache() {
	refresh := func(bucket jetstream.KeyValue) {
		rates := echocache.NewLazyEchoCache(store.NewStaleWhileRevalidateNatsCache[float64](bucket, "rates"), time.Second)
		defer rates.ShutdownLazyRefresh()
		log.Print(rates.FetchWithLazyRefresh(context.Background(), "EUR/USD",
			func(context.Context) (float64, error) { return 1.08, nil }, time.Minute))
	}
	_ = refresh // with a bucket as in the example of NewNatsCache
}

func ExampleNewLRUCache() {
	c := echocache.NewEchoCache(store.NewLRUCache[int](2))
	v, ok, err := c.FetchWithCache(context.Background(), "a", func(context.Context) (int, error) { return 7, nil })
	fmt.Println(v, ok, err)
	// Output: 7 true <nil>
}
