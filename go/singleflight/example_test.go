package singleflight_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"docache/singleflight"
)

func Example() {
	var users singleflight.KeyedGroups[int, string]
	var calls atomic.Int32
	load := func(id int) (string, error) {
		return users.Do(id, func() (string, error) {
			calls.Add(1)
			return fmt.Sprintf("user %d", id), nil
		})
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if name, err := load(7); name != "user 7" || err != nil {
				fmt.Println(name, err)
			}
		}()
	}
	wg.Wait()
	fmt.Println("at most as many calls as callers:", calls.Load() <= 100)
	// Output: at most as many calls as callers: true
}

func ExampleGroup_DoCtx() {
	var rates singleflight.Group[float64]
	entered, leave := make(chan struct{}), make(chan struct{})
	go rates.Do(func() (float64, error) {
		close(entered)
		<-leave
		return 1.08, nil
	})
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := rates.DoCtx(ctx, func() (float64, error) { return 0, nil })
	fmt.Println(errors.Is(err, context.DeadlineExceeded), rates.InFlight())
	close(leave)
	// Output: true true
}

func ExampleKeyedGroups_DoShared() {
	var pages singleflight.KeyedGroups[string, string]
	page, err, shared := pages.DoShared("/", func() (string, error) { return "welcome", nil })
	fmt.Println(page, err, shared)
	// Output: welcome <nil> false
}

func ExampleKeyedGroups_DoChan() {
	var pages singleflight.KeyedGroups[string, string]
	results := pages.DoChan("/", func() (string, error) { return "welcome", nil })
	select {
	case r := <-results:
		fmt.Println(r.Val, r.Err, r.Shared)
	case <-time.After(time.Minute):
		fmt.Println("the run goes on, and whoever calls meanwhile shares it")
	}
	// Output: welcome <nil> false
}
