package singleflight

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

var errStorm = errors.New("on purpose")

// storm is goroutines that call in all ways at once: runs that return, fail with their context,
// panic or exit; callers that leave; keys that are forgotten.
type storm struct {
	t      *testing.T
	groups KeyedGroups[int, int]
}

// call makes one call, and looks that its outcome is one of a run of its key.
func (s *storm) call() {
	key := rand.IntN(3)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() {
		if p := recover(); p != nil && p != key {
			s.t.Error("panicked with", p)
		}
	}()
	if rand.IntN(4) == 0 {
		go cancel()
	}
	v, err := s.groups.DoCtx(ctx, key, func() (int, error) { return s.work(key, cancel) })
	switch pe, ok := AsPanicError(err); {
	case ok && pe.Value == key:
	case err == nil && v == key, err == ErrGoexit, err == errStorm, err == context.Canceled:
	default:
		s.t.Errorf("key %d: %d, %v", key, v, err)
	}
}

func (s *storm) work(key int, cancel func()) (int, error) {
	runtime.Gosched()
	switch rand.IntN(8) {
	case 0:
		cancel()
		return 0, errStorm // to this caller only; another leads next
	case 1:
		panic(key)
	case 2:
		runtime.Goexit()
	case 3:
		s.groups.Forget(key)
	case 4: // inside itself, or, if somebody has forgotten it, a new run
		if v, err := s.groups.Do(key, func() (int, error) { return key, nil }); err == nil && v != key {
			s.t.Errorf("key %d: %d", key, v)
		}
	}
	return key, nil
}

func TestAStormLeavesNobodyWaiting(t *testing.T) {
	s := &storm{t: t}
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 500 {
				<-async(s.call) // on a goroutine of its own, which may exit
			}
		}()
	}
	within(t, async(wg.Wait), "the calls")
	if n := s.groups.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
	c := s.groups.core.Load()
	for key := range 3 {
		if v, err, shared := s.groups.DoShared(key, func() (int, error) { return key, nil }); v != key || err != nil || shared {
			t.Error(v, err, shared)
		}
	}
	for i := range c.shards {
		if s := &c.shards[i]; s.list != nil || s.buckets != nil || s.count != 0 {
			t.Errorf("shard %d: %d runs", i, s.count)
		}
	}
}
