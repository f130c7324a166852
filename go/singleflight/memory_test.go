package singleflight

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"weak"
)

// big is a result that is worth noticing when it stays.
type big struct{ bytes [1 << 16]byte }

func TestResultsAreNotKept(t *testing.T) {
	var groups KeyedGroups[string, *big]
	alone, err := groups.Do("key", func() (*big, error) { return new(big), nil })
	if err != nil {
		t.Fatal(err)
	}
	left := []weak.Pointer[big]{weak.Make(alone)}
	alone = nil
	g := newGate()
	results := make(chan *big, 4)
	call := func() {
		v, _ := groups.Do("key", func() (*big, error) {
			g.Pass()
			return new(big), nil
		})
		results <- v
	}
	go call()
	within(t, g.Entered, "the run")
	for range 3 {
		go call()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == 3 })
	before := parties.Len()
	close(g.Leave)
	for range 4 {
		left = append(left, weak.Make(<-results))
	}
	// The seat of the one that led goes with the last of those that read it, not with the next
	// collection.
	eventually(t, "the leader's place", func() bool { return parties.Len() < before })
	collect(t, "results", func() bool {
		for _, v := range left {
			if v.Value() != nil {
				return false
			}
		}
		return true
	})
	runtime.KeepAlive(&groups)
}

func TestKeysAreNotKept(t *testing.T) {
	var groups KeyedGroups[*big, int]
	key := new(big)
	left := weak.Make(key)
	v, err := groups.Do(key, func() (int, error) {
		key = nil
		runtime.GC()
		if left.Value() == nil {
			t.Error("the key is gone during its run")
		}
		return 1, nil
	})
	if v != 1 || err != nil {
		t.Error(v, err)
	}
	collect(t, "the key", func() bool { return left.Value() == nil })
	runtime.KeepAlive(&groups)
}

// One who waited may take its time to look; meanwhile it keeps the result of the run, not its key.
func TestKeysOfSharedRunsAreNotKept(t *testing.T) {
	var groups KeyedGroups[*big, int]
	key := new(big)
	left := weak.Make(key)
	c := groups.ready()
	slow := c.take(key)
	bytes, n := slow.keyBytes(c.form)
	var k call
	v, err, shared := groups.DoShared(key, func() (int, error) {
		var standing standing
		if k, standing = c.group.begin(bytes, n, 0, slow.ticket); standing != waits {
			t.Error(standing)
		}
		return 1, nil
	})
	if v != 1 || err != nil || !shared {
		t.Fatal(v, err, shared)
	}
	slow.key, key = nil, nil
	collect(t, "the key", func() bool { return left.Value() == nil })
	within(t, slow.ready, "the notification")
	if v, err, _ := c.join(context.Background(), slow, k, nil, nil); v != 1 || err != nil {
		t.Error(v, err)
	}
}

func TestForgottenGroupsAreFreed(t *testing.T) {
	func() {
		for range 20 {
			groups := new(KeyedGroups[int, *big])
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					groups.Do(i%3, func() (*big, error) { return new(big), nil })
				}()
			}
			wg.Wait()
			func() {
				defer func() { recover() }()
				groups.Do(0, func() (*big, error) { panic("on purpose") })
			}()
			<-async(func() { groups.Do(0, func() (*big, error) { runtime.Goexit(); return nil, nil }) })
		}
	}()
	collect(t, "seats", func() bool { return parties.Len() == 0 })
}

func TestCallsAloneAllocateNothing(t *testing.T) {
	var group Group[int]
	var texts KeyedGroups[string, int]
	var numbers KeyedGroups[uint64, int]
	one := func() (int, error) { return 1, nil }
	if raceEnabled {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	for name, call := range map[string]func(){
		"Group":  func() { group.Do(one) },
		"string": func() { texts.Do("key", one) },
		"uint64": func() { numbers.Do(7, one) },
	} {
		if n := testing.AllocsPerRun(1000, call); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
