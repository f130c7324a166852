package echocache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"docache"
	"docache/echocache"
	"docache/echocache/memory"
	"docache/internal/testkit"
	"docache/singleflight"
)

// settled waits until nothing is queued and nothing runs.
func settled(t *testing.T, c *echocache.EchoCacheLazy[int]) {
	t.Helper()
	eventually(t, "the end of the refreshes", func() bool {
		s := c.Stats()
		return s.Queued == 0 && s.Running == 0
	})
}

func TestAnOldValueIsReturnedAndRefreshed(t *testing.T) {
	store := newSpy()
	c := echocache.NewLazyEchoCache(store, time.Minute)
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", always(1), time.Hour))
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", never(t), time.Hour))
	store.old(t, "a", 2)
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", never(t), 2*time.Hour))
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", never(t), echocache.NeverExpire))
	g := testkit.NewGate()
	refresh := func(context.Context) (int, error) { g.Pass(); return 3, nil }
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", refresh, time.Minute))
	within(t, g.Entered, "the refresh")
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute)) // queued already
	close(g.Leave)
	settled(t, c)
	expect(t, 3)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute))
	s := c.Stats()
	if s != (echocache.Stats{Hits: 6, StaleHits: 2, Loads: 2, Refreshes: 1}) {
		t.Errorf("%+v", s)
	}
	if granted, held := store.locked(); granted != 1 || held != 0 {
		t.Error(granted, held)
	}
}

func TestAValueFromTheFutureIsNew(t *testing.T) {
	store := newSpy()
	c := echocache.NewLazyEchoCache(store, time.Minute)
	future := echocache.StaleValue[int]{Value: 1, CreatedAt: time.Now().Add(time.Hour).Round(0)}
	if err := store.Set(background, "a", future); err != nil {
		t.Error(err)
	}
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", never(t), 0))
	// Of unknown age, as other programs may write it.
	if err := store.Set(background, "b", echocache.StaleValue[int]{Value: 2}); err != nil {
		t.Error(err)
	}
	expect(t, 2)(c.FetchWithLazyRefresh(background, "b", always(3), echocache.NeverExpire))
	settled(t, c)
	expect(t, 3)(c.FetchWithLazyRefresh(background, "b", never(t), time.Hour))
}

func TestTheTimeLimitIsForTheBackgroundOnly(t *testing.T) {
	store := newSpy()
	c := echocache.NewLazyEchoCache(store, 10*time.Millisecond)
	fn := func(ctx context.Context) (int, error) {
		if _, ok := ctx.Deadline(); !ok {
			return 1, nil
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	failures := make(chan error, 1)
	c.OnWarning(func(w echocache.Warning) { failures <- w })
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", fn, time.Hour))
	store.old(t, "a", 2)
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", fn, time.Minute))
	if err := <-failures; !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	settled(t, c)
	if _, held := store.locked(); held != 0 {
		t.Error("a lock was kept")
	}
	if s := c.Stats(); s.RefreshFailures != 1 || s.RefreshPanics != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	store := newSpy()
	c := echocache.NewLazyEchoCache(store, time.Minute, echocache.WithQueueSize(2), echocache.WithWorkerCount(1))
	var full atomic.Int32
	c.OnWarning(func(w echocache.Warning) {
		if w.Op == echocache.OpRefresh && errors.Is(w, echocache.ErrQueueFull) {
			full.Add(1)
		}
	})
	g := testkit.NewGate()
	for i := range 5 {
		key := fmt.Sprint(i)
		store.old(t, key, i)
		refresh := always(10 + i)
		if i == 0 {
			refresh = func(context.Context) (int, error) { g.Pass(); return 10, nil }
		}
		for range 2 { // the second is there, or dropped again
			expect(t, i)(c.FetchWithLazyRefresh(background, key, refresh, time.Minute))
		}
	}
	if s := c.Stats(); s.Queued != 2 || s.Running != 1 || s.Dropped != 4 || full.Load() != 4 {
		t.Errorf("%+v", s)
	}
	within(t, g.Entered, "the refresh")
	close(g.Leave)
	settled(t, c)
	for i := range 3 {
		expect(t, 10+i)(c.FetchWithLazyRefresh(background, fmt.Sprint(i), never(t), time.Minute))
	}
	expect(t, 3)(c.FetchWithLazyRefresh(background, "3", always(13), time.Minute)) // asks again
	settled(t, c)
	expect(t, 13)(c.FetchWithLazyRefresh(background, "3", never(t), time.Minute))
}

func TestThereAreAsManyWorkersAsAreNeeded(t *testing.T) {
	store := newSpy()
	c := echocache.NewLazyEchoCache(store, time.Minute,
		echocache.WithWorkerCount(3), echocache.WithWorkerCount(0), echocache.WithQueueSize(-1), nil)
	g := testkit.NewGate()
	var running, most atomic.Int32
	for i := range 9 {
		store.old(t, fmt.Sprint(i), i)
		expect(t, i)(c.FetchWithLazyRefresh(background, fmt.Sprint(i), func(context.Context) (int, error) {
			now := running.Add(1)
			defer running.Add(-1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			if i < 3 {
				g.Pass()
			}
			return i, nil
		}, time.Minute))
	}
	for range 3 {
		within(t, g.Entered, "a refresh")
	}
	if s := c.Stats(); s.Running != 3 || s.Queued != 6 {
		t.Errorf("%+v", s)
	}
	close(g.Leave)
	settled(t, c)
	if most.Load() != 3 {
		t.Error(most.Load(), "at the same time")
	}
	eventually(t, "no goroutine", func() bool { return testkit.Inside(t, "echocache.(*queue") == 0 })
}

func TestAPanicInARefreshIsRecorded(t *testing.T) {
	for name, end := range map[string]func(){
		"panic": func() { panic(errPurpose) },
		"exit":  runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			store := newSpy()
			c := echocache.NewLazyEchoCache(store, time.Minute)
			warnings := make(chan echocache.Warning, 1)
			c.OnWarning(func(w echocache.Warning) { warnings <- w })
			store.old(t, "a", 1)
			store.old(t, "b", 2)
			g := testkit.NewGate()
			expect(t, 1)(c.FetchWithLazyRefresh(background, "a", func(context.Context) (int, error) {
				g.Pass()
				end()
				return 0, nil
			}, time.Minute))
			within(t, g.Entered, "the refresh")
			expect(t, 2)(c.FetchWithLazyRefresh(background, "b", always(4), time.Minute)) // waits behind it
			close(g.Leave)
			w := <-warnings
			var p docache.PanicError
			if name == "panic" && (!errors.Is(w, errPurpose) || !errors.As(w, &p)) ||
				name == "exit" && !errors.Is(w, singleflight.ErrGoexit) || w.Key != "a" {
				t.Error(w)
			}
			settled(t, c)
			if _, held := store.locked(); held != 0 {
				t.Error("a lock was kept")
			}
			if s := c.Stats(); s.RefreshPanics != 1 || s.RefreshFailures != 1 || s.Refreshes != 2 {
				t.Errorf("%+v", s)
			}
			expect(t, 4)(c.FetchWithLazyRefresh(background, "b", never(t), time.Minute))
			expect(t, 1)(c.FetchWithLazyRefresh(background, "a", always(3), time.Minute))
			settled(t, c)
			expect(t, 3)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute))
		})
	}
}

// Whatever fails, the lock is given back, and what can be computed is.
func TestTheLockIsGivenBack(t *testing.T) {
	fails := func(context.Context, string) error { return errPurpose }
	for _, test := range []struct {
		name   string
		change func(s *spy)
		locks  int
		fn     echocache.RefreshFunc[int]
		want   int
	}{
		{"all is well", func(*spy) {}, 1, always(2), 2},
		{"the function fails", func(*spy) {}, 1, func(context.Context) (int, error) { return 2, errPurpose }, 1},
		{"the write fails", func(s *spy) { s.set = fails }, 1, always(2), 1},
		{"the write panics", func(s *spy) { s.set = func(context.Context, string) error { panic(1) } }, 1, always(2), 1},
		{"the lock fails", func(s *spy) { s.lock = func(string) (bool, error) { return false, errPurpose } }, 0, always(2), 2},
		{"the lock panics", func(s *spy) { s.lock = func(string) (bool, error) { panic(1) } }, 0, always(2), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := newSpy()
			store.old(t, "a", 1)
			test.change(store)
			c := echocache.NewLazyEchoCache(store, time.Minute)
			expect(t, 1)(c.FetchWithLazyRefresh(background, "a", test.fn, time.Minute))
			settled(t, c)
			store.get, store.set, store.lock = nil, nil, nil
			expect(t, test.want)(c.FetchWithLazyRefresh(background, "a", never(t), echocache.NeverExpire))
			if granted, held := store.locked(); granted != test.locks || held != 0 {
				t.Error(granted, "granted", held, "held")
			}
		})
	}
}

func TestWhoGetsNoLockDoesNothing(t *testing.T) {
	store := newSpy()
	store.lock = func(string) (bool, error) { return false, nil }
	store.old(t, "a", 1)
	c := echocache.NewLazyEchoCache(store, time.Minute)
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute))
	settled(t, c)
	if s := c.Stats(); s.RefreshesSpared != 1 || s.Loads != 0 || s.RefreshFailures != 0 {
		t.Errorf("%+v", s)
	}
}

// Another process has refreshed the value, and given the lock back, before we took it.
func TestTheValueIsReadAgainUnderTheLock(t *testing.T) {
	store := newSpy()
	store.old(t, "a", 1)
	store.lock = func(string) (bool, error) {
		fresh := echocache.StaleValue[int]{Value: 2, CreatedAt: time.Now()}
		return true, store.StaleWhileRevalidateCache.Set(background, "a", fresh)
	}
	c := echocache.NewLazyEchoCache(store, time.Minute)
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute))
	settled(t, c)
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute))
	if s := c.Stats(); s.RefreshesSpared != 1 {
		t.Errorf("%+v", s)
	}
	if _, held := store.locked(); held != 0 {
		t.Error("a lock was kept")
	}
}

func TestAStoreThatFailsFailsNoLazyFetch(t *testing.T) {
	store := newSpy()
	store.get = func(context.Context, string) error { return errPurpose }
	store.set = store.get
	c := echocache.NewLazyEchoCache(store, time.Minute)
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", always(1), time.Minute))
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", always(2), time.Minute))
	expectError(t, errPurpose)(c.FetchWithLazyRefresh(background, "a", func(context.Context) (int, error) {
		return 3, errPurpose
	}, time.Minute))
}

// A miss joins a refresh that is under way; when that is cancelled it goes on by itself.
func TestAMissSharesARefresh(t *testing.T) {
	store := newSpy()
	store.old(t, "a", 1)
	c := echocache.NewLazyEchoCache(store, time.Minute)
	entered := make(chan struct{})
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", func(ctx context.Context) (int, error) {
		close(entered)
		<-ctx.Done()
		return 0, ctx.Err()
	}, time.Minute))
	within(t, entered, "the refresh")
	store.StaleWhileRevalidateCache = memory.NewStaleWhileRevalidateLRUCache[int](1) // it is evicted
	miss := async(func() { expect(t, 2)(c.FetchWithLazyRefresh(background, "a", always(2), time.Minute)) })
	eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
	c.ShutdownLazyRefresh()
	within(t, miss, "the miss")
}
