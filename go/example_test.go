package docache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sort"
	"time"

	"docache"
)

// thermometer is a Doer: each call reads a temperature.
type thermometer struct{ degrees float64 }

func (t *thermometer) Do() (float64, error) {
	t.degrees += 0.5
	return t.degrees, nil
}

func ExampleNewCache() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	cache := docache.NewCache(ctx, time.Hour, 10, nil, docache.Doer[float64](&thermometer{20}))
	looped := make(chan struct{})
	go func() {
		cache.Loop() // blocks until the cache is stopped
		close(looped)
	}()

	for cache.Latest().Timestamp.IsZero() {
		time.Sleep(time.Millisecond) // nothing yet; see WaitFirst for a better way
	}
	fmt.Println(cache.Latest().Value, len(cache.Data()))

	cache.Stop()
	<-looped
	// Output: 20.5 1
}

func ExampleCache() {
	// What only reads needs no more than the interface.
	report := func(c docache.Cache[float64]) {
		if now := c.Latest(); now.Timestamp.IsZero() {
			fmt.Println("no temperature yet")
		} else {
			fmt.Println(now.Value, "degrees")
		}
	}
	report(docache.NewCache(context.Background(), time.Minute, 0, nil, docache.Doer[float64](&thermometer{20})))
	// Output: no temperature yet
}

func ExampleNew() {
	_, err := docache.New(context.Background(), 0, docache.Doer[float64](&thermometer{}))
	fmt.Println(err)

	var refused *docache.ArgumentError
	fmt.Println(errors.As(err, &refused), refused.Name)
	// Output:
	// docache: interval: 0s is not accepted; give a duration greater than 0
	// true interval
}

func ExampleLoopCache() {
	ctx := context.Background()
	cache, err := docache.New(ctx, time.Hour, docache.Doer[float64](&thermometer{20}), docache.WithCapacity(3))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	if err := cache.Start(); err != nil {
		log.Fatal(err)
	}
	first, err := cache.WaitFirst(ctx)
	fmt.Println(first.Value, err)

	fmt.Println(cache.Refresh(ctx), cache.Latest().Value, cache.Version())
	// Output:
	// 20.5 <nil>
	// <nil> 21 2
}

func ExampleOption() {
	cache, err := docache.New(context.Background(), time.Hour, docache.Doer[float64](&thermometer{20}),
		docache.WithCapacity(60),
		docache.WithName("thermometer"),
		docache.WithJitter(time.Second),
		docache.WithLogger(log.New(os.Stderr, "", log.LstdFlags)),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(cache.Data()))
	// Output: 0
}

func ExampleDoer() {
	var doer docache.Doer[float64] = &thermometer{36}
	fmt.Println(doer.Do())
	// Output: 36.5 <nil>
}

func ExampleDoerFunc() {
	doer := docache.DoerFunc[string](func() (string, error) { return os.Hostname() })
	name, err := doer.Do()
	fmt.Println(name != "", err)
	// Output: true <nil>
}

func ExampleData() {
	broken := errors.New("sensor unplugged")
	cache, err := docache.New(context.Background(), time.Hour, docache.DoerFunc[float64](func() (float64, error) {
		return 0, fmt.Errorf("reading: %w", broken)
	}), docache.WithCapacity(5))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	if err := cache.Start(); err != nil {
		log.Fatal(err)
	}
	if _, err := cache.Changed(context.Background(), 0); err != nil {
		log.Fatal(err)
	}
	for _, d := range cache.Data() {
		fmt.Println(d.Value, d.Error, errors.Is(d.Error, broken))
	}
	// Output: 0 reading: sensor unplugged true
}

func ExampleByTime() {
	noon := time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)
	data := []docache.Data[string]{
		{Value: "later", Timestamp: noon.Add(time.Hour)},
		{Value: "noon", Timestamp: noon},
	}
	sort.Sort(docache.ByTime[string](data))
	fmt.Println(data[0].Value)
	sort.Sort(sort.Reverse(docache.ByTime[string](data)))
	fmt.Println(data[0].Value)
	// Output:
	// noon
	// later
}

func ExamplePanicError() {
	cache, err := docache.New(context.Background(), time.Hour, docache.DoerFunc[int](func() (int, error) {
		panic("no sensor")
	}), docache.WithCapacity(1))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	if err := cache.Start(); err != nil {
		log.Fatal(err)
	}
	if _, err := cache.Changed(context.Background(), 0); err != nil {
		log.Fatal(err)
	}
	var p docache.PanicError
	if errors.As(cache.Data()[0].Error, &p) {
		fmt.Println(p.Value, p.Stack != "")
	}
	// Output: no sensor true
}

func ExampleStats() {
	cache, err := docache.New(context.Background(), time.Hour, docache.Doer[float64](&thermometer{}))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	stats := cache.Stats()
	fmt.Println(stats.Calls, stats.Failures, stats.Running, stats.LastError)
	// Output: 0 0 false <nil>
}

func ExampleArgumentError() {
	fmt.Println(&docache.ArgumentError{Name: "capacity", Value: -1, Accepted: "give 0 (latest only) or more"})
	// Output: docache: capacity: -1 is not accepted; give 0 (latest only) or more
}

func ExampleLibraryError() {
	explain := func(err error) {
		var failure *docache.LibraryError
		if errors.As(err, &failure) {
			fmt.Println(failure.Status, failure.Message)
		}
	}
	explain(fmt.Errorf("starting: %w", &docache.LibraryError{Status: -6, Message: "no thread could be started"}))
	// Output: -6 no thread could be started
}
