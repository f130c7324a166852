package echocache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"docache"
	"docache/echocache"
	"docache/echocache/memory"
	"docache/internal/testkit"
	"docache/singleflight"
)

func TestAValueIsComputedOnce(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	expect(t, 1)(c.FetchWithCache(background, "a", always(1)))
	expect(t, 1)(c.FetchWithCache(background, "a", never(t)))
	expect(t, 2)(c.FetchWithCache(background, "b", always(2)))
	expect(t, 3)(c.FetchWithCache(background, "", always(3)))
	expect(t, 4)(c.FetchWithCache(background, "a", always(4))) // evicted
	if s := c.Stats(); s != (echocache.Stats{Hits: 1, Loads: 4}) {
		t.Errorf("%+v", s)
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	v, ok, err := c.FetchWithCache(background, "a", func(context.Context) (int, error) { return 5, errPurpose })
	if v != 0 || ok || err != errPurpose {
		t.Error(v, ok, err)
	}
	expect(t, 1)(c.FetchWithCache(background, "a", always(1)))
	if s := c.Stats(); s != (echocache.Stats{Loads: 2, LoadFailures: 1}) {
		t.Errorf("%+v", s)
	}
}

func TestTheFunctionGetsTheContextOfTheCaller(t *testing.T) {
	type name struct{}
	ctx := context.WithValue(background, name{}, 7)
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	expect(t, 7)(c.FetchWithCache(ctx, "a", func(ctx context.Context) (int, error) {
		return ctx.Value(name{}).(int), nil
	}))
}

func TestCallersShareARun(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	g := testkit.NewGate()
	var runs atomic.Int32
	fetch := func() {
		expect(t, 1)(c.FetchWithCache(background, "a", func(context.Context) (int, error) {
			runs.Add(1)
			g.Pass()
			return 1, nil
		}))
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Add(1)
		go func() { defer wg.Done(); fetch() }()
	}
	within(t, g.Entered, "the run")
	eventually(t, "waiters", func() bool { return waiting(t) == 49 })
	close(g.Leave)
	wg.Wait()
	if s := c.Stats(); runs.Load() != 1 || s.Coalesced != 49 || s.Loads != 1 {
		t.Errorf("%d runs, %+v", runs.Load(), s)
	}
}

// Who has looked before a value was there, and asks for it afterwards, gets it.
func TestALateCallerFindsTheValue(t *testing.T) {
	store := newSpy()
	g := testkit.NewGate()
	var first atomic.Bool
	store.get = func(context.Context, string) error {
		if first.CompareAndSwap(false, true) {
			g.Pass()
		}
		return nil
	}
	c := echocache.NewEchoCache(plain{store})
	late := async(func() { expect(t, 1)(c.FetchWithCache(background, "a", never(t))) })
	within(t, g.Entered, "its look")
	expect(t, 1)(c.FetchWithCache(background, "a", always(1)))
	close(g.Leave)
	within(t, late, "the late caller")
}

func TestAMissAsksTheStoreOnce(t *testing.T) {
	store := newSpy()
	gets := 0
	store.get = func(context.Context, string) error { gets++; return nil }
	c := echocache.NewEchoCache(plain{store})
	for i := range 100 {
		expect(t, i)(c.FetchWithCache(background, fmt.Sprint(i), always(i)))
	}
	if gets != 100 {
		t.Error(gets, "looks")
	}
}

func TestTheFirstCallersContextFailsOnlyItself(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	ctx, cancel := context.WithCancel(background)
	entered := make(chan struct{})
	first := async(func() {
		expectError(t, context.Canceled)(c.FetchWithCache(ctx, "a", func(ctx context.Context) (int, error) {
			close(entered)
			<-ctx.Done()
			return 0, ctx.Err()
		}))
	})
	within(t, entered, "the run")
	var wg sync.WaitGroup
	var runs atomic.Int32
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			expect(t, 2)(c.FetchWithCache(background, "a", func(context.Context) (int, error) {
				runs.Add(1)
				return 2, nil
			}))
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == 10 })
	cancel()
	within(t, first, "the first")
	wg.Wait()
	if n := runs.Load(); n != 1 {
		t.Error(n, "runs")
	}
}

func TestACallerLeavesWithItsContext(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	g := testkit.NewGate()
	stays := async(func() {
		expect(t, 1)(c.FetchWithCache(background, "a", func(context.Context) (int, error) { g.Pass(); return 1, nil }))
	})
	within(t, g.Entered, "the run")
	ctx, cancel := context.WithCancelCause(background)
	leaves := async(func() {
		expectError(t, context.Canceled, errPurpose)(c.FetchWithCache(ctx, "a", never(t)))
	})
	eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
	cancel(errPurpose)
	within(t, leaves, "the one that leaves")
	expectError(t, context.Canceled, errPurpose)(c.FetchWithCache(ctx, "b", never(t)))
	close(g.Leave)
	within(t, stays, "the one that stays")
	expect(t, 1)(c.FetchWithCache(ctx, "a", never(t))) // a hit needs no time
}

// That a caller has left is no failure of the store.
func TestACallerThatHasLeftIsNoFailureOfTheStore(t *testing.T) {
	store := newSpy()
	store.get = func(ctx context.Context, _ string) error { return ctx.Err() }
	store.set = store.get
	c := echocache.NewEchoCache(plain{store})
	c.OnWarning(func(w echocache.Warning) { t.Error(w) })
	ctx, cancel := context.WithCancel(background)
	expect(t, 1)(c.FetchWithCache(ctx, "a", func(context.Context) (int, error) { cancel(); return 1, nil }))
	expectError(t, context.Canceled)(c.FetchWithCache(ctx, "a", never(t)))
	if s := c.Stats(); s.StoreFailures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAPanicReachesAllCallers(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	g := testkit.NewGate()
	leader := async(func() {
		defer func() {
			if p := recover(); p != "text" {
				t.Error(p)
			}
		}()
		_, _, _ = c.FetchWithCache(background, "a", func(context.Context) (int, error) { g.Pass(); panic("text") })
	})
	within(t, g.Entered, "the run")
	waiter := async(func() {
		v, ok, err := c.FetchWithCache(background, "a", never(t))
		var p docache.PanicError
		if v != 0 || ok || !errors.As(err, &p) || p.Value != "text" {
			t.Error(v, ok, err)
		}
	})
	eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
	close(g.Leave)
	within(t, leader, "the leader")
	within(t, waiter, "the waiter")
	within(t, async(func() {
		_, _, _ = c.FetchWithCache(background, "a", func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
	}), "an exit")
	expect(t, 1)(c.FetchWithCache(background, "a", always(1)))
	if s := c.Stats(); s.Loads != 3 || s.LoadFailures != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAFunctionCannotWaitForItself(t *testing.T) {
	c := echocache.NewEchoCache(memory.NewLRUCache[int](2))
	expect(t, 2)(c.FetchWithCache(background, "a", func(ctx context.Context) (int, error) {
		expectError(t, singleflight.ErrReentrant)(c.FetchWithCache(ctx, "a", never(t)))
		expect(t, 1)(c.FetchWithCache(ctx, "b", always(1)))
		return 2, nil
	}))
}

func TestAStoreThatFailsFailsNoFetch(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errPurpose },
		"panic": func() error { panic(errPurpose) },
	} {
		t.Run(name, func(t *testing.T) {
			store := newSpy()
			store.get = func(context.Context, string) error { return fail() }
			store.set = store.get
			c := echocache.NewEchoCache(plain{store})
			var warnings []echocache.Warning
			c.OnWarning(func(w echocache.Warning) {
				warnings = append(warnings, w)
				panic("the listener's")
			})
			expect(t, 1)(c.FetchWithCache(background, "a", always(1)))
			expect(t, 2)(c.FetchWithCache(background, "a", always(2)))
			if s := c.Stats(); s.StoreFailures != uint64(len(warnings)) || len(warnings) < 4 || s.Loads != 2 {
				t.Errorf("%+v, %v", s, warnings)
			}
			for i, w := range warnings[:2] {
				if w.Op != []echocache.Op{echocache.OpGet, echocache.OpSet}[i] || w.Key != "a" || !errors.Is(w, errPurpose) {
					t.Error(i, w)
				}
			}
			c.OnWarning(nil)
			expect(t, 3)(c.FetchWithCache(background, "a", always(3)))
		})
	}
}

func TestAStoreThatHangsIsNotWaitedFor(t *testing.T) {
	store := newSpy()
	hang := make(chan struct{})
	defer close(hang)
	store.get = func(context.Context, string) error { <-hang; return nil }
	store.set = store.get
	store.lock = func(string) (bool, error) { <-hang; return true, nil }
	c := echocache.NewEchoCache(echocache.Within[int](plain{store}, 10*time.Millisecond))
	var failed atomic.Int32
	c.OnWarning(func(w echocache.Warning) {
		if errors.Is(w, context.DeadlineExceeded) {
			failed.Add(1)
		}
	})
	expect(t, 1)(c.FetchWithCache(background, "a", always(1)))
	if failed.Load() != 2 {
		t.Error(failed.Load(), "failures")
	}
	limited := echocache.StaleWithin[int](store, 10*time.Millisecond)
	if ok, err := limited.TryAcquireRefreshLock(background, "a", "0123456789abcdef", time.Second); ok || err == nil {
		t.Error(ok, err)
	}
	if err := limited.ReleaseRefreshLock(background, "a", "x"); err != nil {
		t.Error(err)
	}
}

func TestWithinPassesOnWhatAStoreDoes(t *testing.T) {
	store := newSpy()
	limited := echocache.StaleWithin[int](store, time.Minute)
	c := echocache.NewLazyEchoCache(limited, time.Minute)
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", always(1), time.Hour))
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", never(t), time.Hour))
	if ok, err := limited.TryAcquireRefreshLock(background, "a", "0123456789abcdef", time.Second); !ok || err != nil {
		t.Error(ok, err)
	}
	store.get = func(context.Context, string) error { panic(errPurpose) }
	if _, ok, err := limited.Get(background, "a"); ok || !errors.Is(err, errPurpose) {
		t.Error(ok, err)
	}
}

func TestACacheNeedsAStore(t *testing.T) {
	for _, make := range []func(){
		func() { echocache.NewEchoCache[int](nil) },
		func() { echocache.NewLazyEchoCache[int](nil, time.Second) },
	} {
		func() {
			defer func() {
				var e *docache.ArgumentError
				if err, _ := recover().(error); !errors.As(err, &e) || e.Name != "cacher" {
					t.Error(err)
				}
			}()
			make()
		}()
	}
}

func TestWithinNoticesAStoreThatExits(t *testing.T) {
	store := newSpy()
	store.get = func(context.Context, string) error { runtime.Goexit(); return nil }
	limited := echocache.StaleWithin[int](store, time.Hour)
	within(t, async(func() {
		if _, _, err := limited.Get(background, "a"); !errors.Is(err, singleflight.ErrGoexit) {
			t.Error(err)
		}
	}), "the answer")
}
