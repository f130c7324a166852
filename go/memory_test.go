package docache

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
	"weak"
)

// big is a value that is worth noticing when it stays.
type big struct{ bytes [1 << 16]byte }

func TestValuesThatLeftTheHistoryAreCollected(t *testing.T) {
	var all []weak.Pointer[big]
	c := started(t, func() (*big, error) {
		v := new(big)
		all = append(all, weak.Make(v))
		return v, nil
	}, WithCapacity(2))
	again(t, c, 19)
	if last := c.Latest().Value; last == nil || len(c.Data()) != 2 {
		t.Fatal("no data")
	}
	collect(t, "values", func() bool {
		for _, v := range all[:18] {
			if v.Value() != nil {
				return false
			}
		}
		return true
	})
	for i, v := range all[18:] {
		if v.Value() == nil {
			t.Errorf("value %d of the history is gone", i)
		}
	}
	if n := c.worker.len(); n > 3 {
		t.Errorf("%d results in the table", n)
	}
	runtime.KeepAlive(c)
}

func TestFailuresThatLeftTheHistoryAreForgotten(t *testing.T) {
	for _, capacity := range []int{0, 1, 3} {
		c := started(t, func() (int, error) { return 0, errors.New("again") }, WithCapacity(capacity))
		again(t, c, 20)
		if n := c.worker.len(); n > capacity+1 {
			t.Errorf("capacity %d: %d results in the table", capacity, n)
		}
	}
}

// What is still in the history is not forgotten, not even while the next call is under way.
func TestFailuresInTheHistoryStay(t *testing.T) {
	var c *LoopCache[int]
	n := 0
	var seen []Data[int]
	c = started(t, func() (int, error) {
		if n++; n == 6 {
			seen = c.Data() // the first to read
		}
		return n, errors.New("again")
	}, WithCapacity(3))
	again(t, c, 5)
	if len(seen) != 3 {
		t.Fatalf("%+v", seen)
	}
	for i, d := range seen {
		if d.Value != 3+i || d.Error == nil {
			t.Errorf("entry %d: %+v", i, d)
		}
	}
}

// The loop neither waits for a reader nor forgets anything under its eyes.
func TestNothingIsForgottenDuringARead(t *testing.T) {
	c := started(t, func() (int, error) { return 0, errors.New("again") }, WithCapacity(1))
	c.worker.reading.Lock()
	again(t, c, 10)
	if n := c.worker.len(); n != 11 {
		t.Errorf("%d results in the table during a read", n)
	}
	c.worker.reading.Unlock()
	if c.Data(); c.worker.len() != 1 {
		t.Errorf("%d results in the table after a read", c.worker.len())
	}
}

// A success stays for Latest, however many failures follow it.
func TestALatestOutlivesTheHistory(t *testing.T) {
	c := started(t, steps(
		func() (int, error) { return 1, nil },
		func() (int, error) { return 0, errors.New("again") },
	), WithCapacity(1))
	again(t, c, 10)
	if c.Latest().Value != 1 {
		t.Errorf("%+v", c.Latest())
	}
}

// Readers look up failures while the loop forgets older ones: none may be missing from what they
// see.
func TestForgettingNeverRacesWithReading(t *testing.T) {
	type numbered struct{ error }
	n := 0
	c, err := New(context.Background(), time.Microsecond, DoerFunc[int](func() (int, error) {
		n++
		return n, &numbered{}
	}), WithCapacity(3))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Loop()
	var readers []<-chan struct{}
	for range 4 {
		readers = append(readers, async(func() {
			for range 2000 {
				data := c.Data()
				for i, d := range data {
					if _, ok := d.Error.(*numbered); !ok || d.Value != data[0].Value+i {
						t.Errorf("entry %d: %+v", i, d)
						return
					}
				}
			}
		}))
	}
	for _, r := range readers {
		within(t, r, "a reader")
	}
}

func TestForgottenCachesAreFreed(t *testing.T) {
	base := liveLoops.Load()
	func() {
		for range 20 {
			c, err := New(context.Background(), never, Doer[*big](DoerFunc[*big](func() (*big, error) {
				return new(big), nil
			})), WithCapacity(4))
			if err != nil {
				t.Fatal(err)
			}
			looped := async(c.Loop)
			if _, err := c.WaitFirst(soon(t)); err != nil {
				t.Fatal(err)
			}
			again(t, c, 1)
			c.Stop()
			<-looped
			c.Latest()
			c.Data()
		}
	}()
	collect(t, "forgotten caches", func() bool { return liveLoops.Load() <= base })
}

// A cache that runs is kept, though nobody refers to it.
func TestARunningCacheIsKept(t *testing.T) {
	calls := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	func() {
		c, err := New(ctx, time.Microsecond, DoerFunc[int](func() (int, error) {
			select {
			case calls <- struct{}{}:
			case <-ctx.Done():
			}
			return 0, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}()
	for range 5 {
		runtime.GC()
		within(t, calls, "a call")
	}
}

func TestAThousandCycles(t *testing.T) {
	collect(t, "earlier tests' caches", func() bool { return liveLoops.Load() == 0 })
	goroutines, tokens := runtime.NumGoroutine(), waiters.Len()
	before := threads()
	for i := range 1000 {
		ctx, cancel := context.WithCancel(context.Background())
		c, err := New(ctx, never, Doer[int](counting()), WithCapacity(2))
		if err != nil {
			t.Fatal(err)
		}
		looped := async(c.Loop)
		if _, err := c.WaitFirst(soon(t)); err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			c.Stop()
		case 1:
			cancel()
		}
		c.Close()
		<-looped
		cancel()
		if n := c.worker.len(); n != 0 {
			t.Fatalf("cycle %d: %d results left after Close", i, n)
		}
	}
	collect(t, "closed caches", func() bool { return liveLoops.Load() == 0 && runtime.NumGoroutine() <= goroutines+2 })
	if n := waiters.Len(); n != tokens {
		t.Errorf("%d tokens left", n-tokens)
	}
	if grown := threads() - before; grown > 20 {
		t.Errorf("%d threads more", grown)
	}
}

func TestReadersWhileTheCacheIsClosed(t *testing.T) {
	for range 50 {
		c := started(t, counting(), WithCapacity(4))
		stop := make(chan struct{})
		var readers []<-chan struct{}
		for range 4 {
			readers = append(readers, async(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if d := c.Latest(); d.Value != 1 || len(c.Data()) != 1 {
							t.Errorf("%+v", d)
							return
						}
						c.Stats()
						c.Version()
					}
				}
			}))
		}
		c.Close()
		runtime.GC()
		close(stop)
		for _, r := range readers {
			within(t, r, "a reader")
		}
	}
}
