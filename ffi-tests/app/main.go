// Command app is somebody's program that uses docache: xtask/src/app.rs vendors the module, builds
// this in several ways and runs it.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"docache"
	"docache/cache"
	"docache/singleflight"
)

// beside is what a build with another Rust library adds.
var beside = func() {}

func main() {
	done := make(chan struct{}, 1)
	loop := docache.NewCache(context.Background(), time.Hour, 1, nil, docache.DoerFunc[int](func() (int, error) {
		done <- struct{}{}
		return 7, nil
	}))
	go loop.Loop()
	<-done
	loop.Stop()
	if got := loop.Latest().Value; got != 7 {
		log.Fatal("the loop cache has ", got)
	}

	values := cache.NewCache(cache.NewConfig())
	values.Set("key", 7)
	if got, err := values.Get("key"); err != nil || got != 7 {
		log.Fatal("the cache has ", got, err)
	}

	var group singleflight.Group[int]
	if got, err := group.Do(func() (int, error) { return 7, nil }); err != nil || got != 7 {
		log.Fatal("the group has ", got, err)
	}

	beside()
	fmt.Println("the app works")
}
