package singleflight

import (
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
	close(g.Leave)
	for range 4 {
		left = append(left, weak.Make(<-results))
	}
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
	hash := c.hash(key)
	s := c.shard(hash)
	var r *run[*big, int]
	var slow *seat[*big, int]
	v, err, shared := groups.DoShared(key, func() (int, error) {
		if r, slow = s.enter(key, hash, 0, &c.seats); slow == nil {
			t.Error("it does not wait")
		}
		return 1, nil
	})
	if v != 1 || err != nil || !shared {
		t.Fatal(v, err, shared)
	}
	key = nil
	collect(t, "the key", func() bool { return left.Value() == nil })
	within(t, slow.ready, "the notification")
	c.put(slow)
	if v, err, shared := c.share(&r.outcome, nil); v != 1 || err != nil || !shared {
		t.Error(v, err, shared)
	}
}

func TestForgottenGroupsAreFreed(t *testing.T) {
	var left []weak.Pointer[core[int, *big]]
	func() {
		for range 20 {
			groups := new(KeyedGroups[int, *big])
			left = append(left, weak.Make(groups.ready()))
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
	collect(t, "the groups", func() bool {
		for _, c := range left {
			if c.Value() != nil {
				return false
			}
		}
		return true
	})
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
