package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"docache/cache"
)

func Example() {
	config := cache.NewConfig()
	config.DefaultTTL = time.Hour
	users := cache.NewCache(config)
	defer users.Close()

	var loads atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			name, err := users.Fetch("7", func(id string) (any, error) {
				loads.Add(1)
				return "user " + id, nil
			})
			if name != "user 7" || err != nil {
				fmt.Println(name, err)
			}
		}()
	}
	wg.Wait()
	fmt.Println(loads.Load())
	// Output: 1
}

func ExampleCache_Get() {
	c := cache.NewCache(nil)
	defer c.Close()
	c.Set("here", 1)
	fmt.Println(c.Get("here"))
	_, err := c.Get("there")
	fmt.Println(err == cache.ErrNotFound)
	// Output:
	// 1 <nil>
	// true
}

func ExampleNewTyped() {
	type point struct{ X, Y float64 }
	points, err := cache.NewTyped[string, point](&cache.Config{MaxBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	defer points.Close()
	if err := points.SetEx("home", cache.NoTTL, point{1, 2}); err != nil {
		panic(err)
	}
	fmt.Println(points.Get("home"))
	// Output: {1 2} <nil>
}

func ExampleTyped_Fetch() {
	pages, err := cache.NewTyped[string, []byte](nil)
	if err != nil {
		panic(err)
	}
	defer pages.Close()
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := func(context.Context) ([]byte, error) {
		close(entered)
		<-leave
		return []byte("welcome"), nil
	}
	go pages.Fetch(context.Background(), "/", slow)
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = pages.Fetch(ctx, "/", slow)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	close(leave)
	// Output: true
}

func ExampleTyped_AppendTo() {
	pages, err := cache.NewTyped[string, string](nil)
	if err != nil {
		panic(err)
	}
	defer pages.Close()
	if err := pages.SetList([]string{"/a", "/b"}, []string{"page a", "page b"}); err != nil {
		panic(err)
	}
	buf := make([]byte, 0, 1024)
	for _, path := range []string{"/a", "/b"} {
		if buf, err = pages.AppendTo(buf[:0], path); err == nil {
			fmt.Printf("%s\n", buf)
		}
	}
	// Output:
	// page a
	// page b
}
