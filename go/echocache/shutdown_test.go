package echocache_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"docache/echocache"
	"docache/internal/testkit"
	"docache/singleflight"
)

// busy is a cache whose only worker is in the function given, for the key "run", and with the keys
// "x" and "y" in its queue.
func busy(t *testing.T, fn echocache.RefreshFunc[int]) (*spy, *echocache.EchoCacheLazy[int]) {
	t.Helper()
	store := newSpy()
	c := echocache.NewLazyEchoCache(store, time.Minute)
	entered := make(chan struct{})
	for i, key := range []string{"run", "x", "y"} {
		store.old(t, key, i)
		refresh := always(10 + i)
		if key == "run" {
			refresh = func(ctx context.Context) (int, error) {
				close(entered)
				return fn(ctx)
			}
		}
		expect(t, i)(c.FetchWithLazyRefresh(background, key, refresh, time.Minute))
		within(t, entered, "the refresh")
	}
	return store, c
}

func untilDone(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestShutdownLazyRefreshCancelsAndStartsNothing(t *testing.T) {
	ended := false
	store, c := busy(t, func(ctx context.Context) (int, error) {
		defer func() { ended = true }()
		return untilDone(ctx)
	})
	for range 2 {
		within(t, async(c.ShutdownLazyRefresh), "the shutdown")
		if !ended {
			t.Error("it did not wait")
		}
	}
	if s := c.Stats(); s.Dropped != 2 || s.Refreshes != 1 || s.Queued != 0 || s.Running != 0 || s.Loads != 1 {
		t.Errorf("%+v", s)
	}
	if _, held := store.locked(); held != 0 {
		t.Error("a lock was kept")
	}
	// Fetches go on: they hit, stale too, or compute.
	expect(t, 1)(c.FetchWithLazyRefresh(background, "x", never(t), time.Minute))
	expect(t, 1)(c.FetchWithLazyRefresh(background, "x", never(t), 2*time.Hour))
	expect(t, 5)(c.FetchWithLazyRefresh(background, "new", always(5), time.Minute))
	if s := c.Stats(); s.Queued != 0 || s.Running != 0 {
		t.Errorf("%+v", s)
	}
	if report, err := c.Shutdown(background); err != nil || report.Drained != 1 || len(report.Dropped) != 2 {
		t.Error(report, err)
	}
}

func TestShutdownOfAnIdleCache(t *testing.T) {
	c := echocache.NewLazyEchoCache(newSpy(), time.Minute)
	within(t, async(c.ShutdownLazyRefresh), "the shutdown")
	c = echocache.NewLazyEchoCache(newSpy(), time.Minute)
	ctx, cancel := context.WithCancel(background)
	cancel()
	if report, err := c.Shutdown(ctx); err != nil || !reflect.DeepEqual(report, echocache.ShutdownReport{}) {
		t.Error(report, err)
	}
}

func TestShutdownLetsTheQueueRun(t *testing.T) {
	g := testkit.NewGate()
	_, c := busy(t, func(context.Context) (int, error) { g.Pass(); return 10, nil })
	within(t, g.Entered, "the refresh")
	done := async(func() {
		report, err := c.Shutdown(testkit.Soon(t))
		if err != nil || !reflect.DeepEqual(report, echocache.ShutdownReport{Drained: 3}) {
			t.Error(report, err)
		}
	})
	eventually(t, "the wait", func() bool { return testkit.Inside(t, "EchoCacheLazy[...]).Shutdown") == 1 })
	close(g.Leave)
	within(t, done, "the shutdown")
	for i, key := range []string{"run", "x", "y"} {
		expect(t, 10+i)(c.FetchWithLazyRefresh(background, key, never(t), time.Minute))
	}
	c.ShutdownLazyRefresh()
}

func TestShutdownReportsWhatItLeaves(t *testing.T) {
	g := testkit.NewGate()
	_, c := busy(t, func(ctx context.Context) (int, error) {
		<-ctx.Done() // which tells of the deadline
		g.Pass()
		return 10, nil
	})
	ctx, cancel := context.WithCancelCause(background)
	cancel(errPurpose)
	report, err := c.Shutdown(ctx)
	want := echocache.ShutdownReport{Dropped: []string{"x", "y"}, Running: []string{"run"}}
	if !errors.Is(err, errPurpose) || !errors.Is(err, context.Canceled) || !reflect.DeepEqual(report, want) {
		t.Error(report, err)
	}
	within(t, g.Entered, "its end")
	close(g.Leave)
	want.Drained, want.Running = 1, nil
	if report, err = c.Shutdown(testkit.Soon(t)); err != nil || !reflect.DeepEqual(report, want) {
		t.Error(report, err)
	}
	if s := c.Stats(); s.Dropped != 2 {
		t.Errorf("%+v", s)
	}
}

// A shutdown inside a refresh would wait for itself.
func TestShutdownInsideARefresh(t *testing.T) {
	store := newSpy()
	store.old(t, "a", 1)
	c := echocache.NewLazyEchoCache(store, time.Minute)
	expect(t, 1)(c.FetchWithLazyRefresh(background, "a", func(context.Context) (int, error) {
		if report, err := c.Shutdown(background); err != singleflight.ErrReentrant || len(report.Running) != 1 {
			t.Error(report, err)
		}
		c.ShutdownLazyRefresh()
		return 2, nil
	}, time.Minute))
	settled(t, c)
	within(t, async(c.ShutdownLazyRefresh), "the shutdown")
	expect(t, 2)(c.FetchWithLazyRefresh(background, "a", never(t), time.Minute))
}

func TestCachesThatShutEachOtherDownDoNotWaitInACircle(t *testing.T) {
	for name, shutdown := range map[string]func(c *echocache.EchoCacheLazy[int]) error{
		"lazy": func(c *echocache.EchoCacheLazy[int]) error { c.ShutdownLazyRefresh(); return nil },
		"graceful": func(c *echocache.EchoCacheLazy[int]) error {
			_, err := c.Shutdown(background)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3
			var caches [n]*echocache.EchoCacheLazy[int]
			start, errs := make(chan struct{}), make(chan error, n)
			for i := range n {
				_, caches[i] = busy(t, func(context.Context) (int, error) {
					<-start
					errs <- shutdown(caches[(i+1)%n])
					return 0, nil
				})
			}
			close(start)
			reentrant := 0
			within(t, async(func() {
				for range n {
					switch err := <-errs; {
					case errors.Is(err, singleflight.ErrReentrant):
						reentrant++
					case err != nil:
						t.Error(err)
					}
				}
			}), "the shutdowns")
			if name == "graceful" && reentrant != 1 {
				t.Errorf("%d did not wait", reentrant)
			}
			for _, c := range caches {
				within(t, async(c.ShutdownLazyRefresh), "the end")
			}
		})
	}
}
