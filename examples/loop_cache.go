// The load of this machine, read ten times a second by one loop and shown to any number of readers.
//
//	cargo build --release -p docache-capi
//	go run -C go ../examples/loop_cache.go
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"docache"
)

// readLoad is the work that nobody should have to wait for: the machine's load average.
func readLoad() (load float64, err error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(text), &load)
	return load, err
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()

	cache, err := docache.New(ctx, 100*time.Millisecond, docache.DoerFunc[float64](readLoad), docache.WithCapacity(10))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	go cache.Loop() // until ctx is done
	if _, err := cache.WaitFirst(ctx); err != nil {
		log.Fatal(err, cache.Stats().LastError)
	}

	var reads atomic.Int64
	var readers sync.WaitGroup
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			n := int64(0)
			for ; ctx.Err() == nil; n++ {
				if cache.Latest().Value < 0 {
					panic("a load below zero")
				}
			}
			reads.Add(n)
		}()
	}
	readers.Wait()

	for _, d := range cache.Data() {
		fmt.Printf("%s  load %.2f  error %v\n", d.Timestamp.Format("15:04:05.0"), d.Value, d.Error)
	}
	fmt.Printf("%d reads served by %d calls\n", reads.Load(), cache.Stats().Calls)
}
