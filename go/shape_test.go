package docache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"docache"
	"docache/internal/testkit"
	"docache/internal/testkit/loops"
)

// besides runs many other loops for as long as the test takes.
func besides(t *testing.T) { t.Cleanup(loops.Run(50)) }

// until waits for what the cache does in its own time.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testkit.Eventually(t, what, func() bool {
		if holds() {
			return true
		}
		time.Sleep(time.Millisecond)
		return false
	})
}

// A program in the shape of github.com/zibnix/docache, with nothing changed but the import path:
// that it compiles is the first half of the test.

type ticker struct{ ticks int }

type tick struct{ n int }

func (t *ticker) Do() (*tick, error) {
	t.ticks++
	return &tick{t.ticks}, nil
}

type service struct {
	caches []docache.Cache[*tick]
	doer   docache.Doer[*tick]
}

func newService(ctx context.Context, logger *log.Logger) *service {
	s := &service{doer: &ticker{}}
	s.caches = append(s.caches,
		docache.NewCache[*tick](ctx, time.Millisecond, 5, logger, s.doer),
		docache.NewCache[*tick](ctx, time.Millisecond, -1, logger, docache.DoerFunc[*tick]((&ticker{}).Do)),
		docache.NewCache(ctx, time.Millisecond, 0, nil, s.spare()),
	)
	return s
}

func (s *service) spare() docache.Doer[*tick] {
	return docache.DoerFunc[*tick](func() (*tick, error) { return new(tick), nil })
}

// mine shows that others may implement the interface too.
type mine[T any] struct{ docache.Cache[T] }

func (m mine[T]) Latest() docache.Data[T] { return docache.Data[T]{Timestamp: time.Unix(1, 0)} }

func TestProgramsInTheShapeOfZibnixDocache(t *testing.T) {
	besides(t)
	s := newService(context.Background(), log.New(io.Discard, "service: ", log.Lshortfile))
	for round := range 2 {
		var loops sync.WaitGroup
		for _, cache := range s.caches {
			loops.Add(1)
			go func(cache docache.Cache[*tick]) {
				defer loops.Done()
				cache.Loop()
			}(cache)
		}
		for _, cache := range s.caches {
			for cache.Latest().Timestamp.IsZero() {
				time.Sleep(time.Millisecond)
			}
		}
		var stops sync.WaitGroup
		for _, cache := range s.caches {
			stops.Add(1)
			go func(cache docache.Cache[*tick]) {
				defer stops.Done()
				cache.Stop()
			}(cache)
		}
		// A Stop may have come before its Loop, in which case it had nothing to do; so wait and
		// stop once more.
		stops.Wait()
		ended := make(chan struct{})
		go func() {
			loops.Wait()
			close(ended)
		}()
		for waiting := true; waiting; {
			select {
			case <-ended:
				waiting = false
			case <-time.After(time.Millisecond):
				for _, cache := range s.caches {
					cache.Stop()
				}
			}
		}
		data := s.caches[0].Data()
		if len(data) == 0 || len(data) > 5 || data[len(data)-1] != s.caches[0].Latest() {
			t.Errorf("round %d: %+v", round, data)
		}
		sort.Sort(sort.Reverse(docache.ByTime[*tick](data)))
		if data[0] != s.caches[0].Latest() {
			t.Errorf("round %d: the newest does not come first: %+v", round, data)
		}
	}
	var other docache.Cache[*tick] = mine[*tick]{s.caches[0]}
	if other.Latest().Timestamp.IsZero() || len(other.Data()) == 0 {
		t.Error("an implementation of one's own")
	}
}

// looping is a cache whose loop runs, and what is closed when that has ended.
func looping[T any](ctx context.Context, capacity int, logger *log.Logger, do docache.DoerFunc[T]) (docache.Cache[T], <-chan struct{}) {
	cache := docache.NewCache[T](ctx, time.Millisecond, capacity, logger, do)
	return cache, testkit.Async(cache.Loop)
}

func TestShapeHistory(t *testing.T) {
	besides(t)
	for _, capacity := range []int{1, 3, 10} {
		var calls atomic.Int64
		cache, ended := looping(context.Background(), capacity, nil, func() (int64, error) { return calls.Add(1), nil })
		until(t, "a full history", func() bool { return len(cache.Data()) == capacity })
		until(t, "more", func() bool { return calls.Load() > int64(2*capacity) })
		cache.Stop()
		testkit.Within(t, ended, "the loop")
		data := cache.Data()
		if len(data) != capacity {
			t.Fatal(len(data), capacity)
		}
		if !sort.IsSorted(docache.ByTime[int64](data)) {
			t.Errorf("not oldest first: %+v", data)
		}
		for i := 1; i < len(data); i++ {
			if data[i].Value != data[i-1].Value+1 || data[i].Timestamp.Sub(data[i-1].Timestamp) < time.Millisecond/2 {
				t.Errorf("%+v, then %+v", data[i-1], data[i])
			}
		}
		if last := data[len(data)-1]; last.Value != calls.Load() || last != cache.Latest() {
			t.Errorf("%+v of %d calls, latest %+v", last, calls.Load(), cache.Latest())
		}
		data[0].Value = -1
		if cache.Data()[0].Value == -1 {
			t.Error("the slice is not the caller's own")
		}
	}
}

func TestShapeLatestOnly(t *testing.T) {
	besides(t)
	for _, capacity := range []int{0, -1, -100} {
		cache, ended := looping(context.Background(), capacity, nil, func() (string, error) { return "value", nil })
		until(t, "a result", func() bool { return cache.Latest().Value == "value" })
		cache.Stop()
		testkit.Within(t, ended, "the loop")
		if n := len(cache.Data()); n > 1 {
			t.Error(n)
		}
	}
}

func TestShapeBeforeTheFirstResult(t *testing.T) {
	besides(t)
	gate, calls := testkit.NewGate(), 0
	cache, ended := looping(context.Background(), 4, nil, func() (*tick, error) {
		if calls++; calls == 1 {
			gate.Pass()
		}
		return &tick{calls}, nil
	})
	testkit.Within(t, gate.Entered, "the Doer")
	// Readers do not wait for it.
	if latest := cache.Latest(); !latest.Timestamp.IsZero() || latest.Value != nil || latest.Error != nil || len(cache.Data()) != 0 {
		t.Errorf("%+v, %+v", latest, cache.Data())
	}
	stopped := testkit.Async(cache.Stop)
	select {
	case <-stopped:
		t.Error("Stop did not wait for the Doer")
	case <-time.After(5 * time.Millisecond):
	}
	close(gate.Leave)
	testkit.Within(t, stopped, "Stop")
	testkit.Within(t, ended, "the loop")
	if latest := cache.Latest(); latest.Timestamp.IsZero() || latest.Value.n != calls {
		t.Errorf("the result of the last call is not there: %+v", latest)
	}
}

func TestShapeErrors(t *testing.T) {
	besides(t)
	var out bytes.Buffer
	failure, calls := errors.New("on purpose"), 0
	cache, ended := looping(context.Background(), 100, log.New(&out, "", 0), func() (int, error) {
		if calls++; calls%2 == 0 {
			return 0, failure
		}
		return calls, nil
	})
	until(t, "results", func() bool { return len(cache.Data()) >= 6 })
	cache.Stop()
	testkit.Within(t, ended, "the loop")
	var before error
	for i, d := range cache.Data() {
		if d.Timestamp.IsZero() || d.Error != nil && d.Error != failure || (d.Error == nil) != (d.Value%2 == 1) {
			t.Errorf("%d: %+v", i, d)
		}
		if i > 0 && d.Error == before {
			t.Errorf("%d: %v again", i, before)
		}
		before = d.Error
	}
	if latest := cache.Latest(); latest.Error != nil || latest.Value%2 != 1 {
		t.Errorf("%+v", latest)
	}
	if !strings.Contains(out.String(), "on purpose") {
		t.Errorf("logged: %q", out.String())
	}
}

func TestShapeOnlyErrors(t *testing.T) {
	besides(t)
	cache, ended := looping(context.Background(), 3, nil, func() (*tick, error) { return nil, io.EOF })
	until(t, "errors", func() bool { return len(cache.Data()) == 3 })
	if latest := cache.Latest(); latest.Value != nil || !latest.Timestamp.IsZero() {
		t.Errorf("%+v", latest)
	}
	cache.Stop()
	testkit.Within(t, ended, "the loop")
}

func TestShapePanics(t *testing.T) {
	besides(t)
	calls := 0
	cache, ended := looping(context.Background(), 100_000, nil, func() (int, error) {
		if calls++; calls == 1 {
			panic("on purpose")
		}
		return calls, nil
	})
	until(t, "a result after it", func() bool { return cache.Latest().Value >= 2 })
	cache.Stop()
	testkit.Within(t, ended, "the loop")
	if d := cache.Data()[0]; d.Error == nil || !strings.Contains(d.Error.Error(), "on purpose") {
		t.Errorf("%+v", d)
	}
}

func TestShapeContext(t *testing.T) {
	besides(t)
	ctx, cancel := context.WithCancel(context.Background())
	cache, ended := looping(ctx, 2, nil, (&ticker{}).Do)
	until(t, "a result", func() bool { return !cache.Latest().Timestamp.IsZero() })
	cancel()
	testkit.Within(t, ended, "the loop")
	cache.Stop()
	latest := cache.Latest()
	testkit.Within(t, testkit.Async(cache.Loop), "a loop after the end")
	if cache.Latest() != latest || len(cache.Data()) == 0 {
		t.Error("what was there is gone, or there is more")
	}
	// One that is done before.
	cache, ended = looping(ctx, 2, nil, (&ticker{}).Do)
	testkit.Within(t, ended, "the loop that never was")
	cache.Stop()
}

func TestShapeStartAndStopAgain(t *testing.T) {
	besides(t)
	cache := docache.NewCache[*tick](context.Background(), time.Millisecond, 3, nil, &ticker{})
	cache.Stop() // there is nothing to stop
	for range 5 {
		before := cache.Latest().Timestamp
		ended := testkit.Async(cache.Loop)
		until(t, "a later result", func() bool { return cache.Latest().Timestamp.After(before) })
		testkit.Within(t, testkit.Async(cache.Loop), "a second loop beside it")
		var stops sync.WaitGroup
		for range 4 {
			stops.Add(1)
			go func() {
				defer stops.Done()
				cache.Stop()
			}()
		}
		stops.Wait()
		testkit.Within(t, ended, "the loop")
		latest := cache.Latest()
		time.Sleep(3 * time.Millisecond)
		if cache.Latest() != latest {
			t.Error("it runs on")
		}
	}
}

func TestShapeManyReaders(t *testing.T) {
	besides(t)
	var calls atomic.Int64
	cache, ended := looping(context.Background(), 5, nil, func() (int64, error) { return calls.Add(1), nil })
	until(t, "a result", func() bool { return cache.Latest().Value > 0 })
	var readers sync.WaitGroup
	for range 20 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			var last int64
			for range 500 {
				latest := cache.Latest().Value
				data := cache.Data()
				if latest < last || len(data) == 0 || len(data) > 5 || data[len(data)-1].Value < latest {
					t.Errorf("%d after %d, history %+v", latest, last, data)
					return
				}
				last = latest
			}
		}()
	}
	readers.Wait()
	cache.Stop()
	testkit.Within(t, ended, "the loop")
}

func TestShapeByTime(t *testing.T) {
	start := time.Unix(100, 0)
	at := func(seconds int) docache.Data[int] {
		return docache.Data[int]{Value: seconds, Timestamp: start.Add(time.Duration(seconds) * time.Second)}
	}
	data := []docache.Data[int]{at(3), at(1), at(2)}
	sort.Sort(docache.ByTime[int](data))
	if data[0] != at(1) || data[1] != at(2) || data[2] != at(3) || docache.ByTime[int](data).Len() != 3 {
		t.Error(data)
	}
	sort.Sort(sort.Reverse(docache.ByTime[int](data)))
	if data[0] != at(3) || !docache.ByTime[int](data).Less(1, 0) {
		t.Error(data)
	}
}
