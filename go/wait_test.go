package docache

import (
	"context"
	"sync"
	"testing"
)

func TestWaitsEndWithTheirContext(t *testing.T) {
	c := must[int](t)(counting())
	ctx, cancel := context.WithCancel(context.Background())
	base := waiters.Len()
	errs := make(chan error, 2)
	go func() { _, err := c.WaitFirst(ctx); errs <- err }()
	go func() { _, err := c.Changed(ctx, 0); errs <- err }()
	eventually(t, "two tokens", func() bool { return waiters.Len() == base+2 })
	cancel()
	for range 2 {
		if err := <-errs; err != context.Canceled {
			t.Error(err)
		}
	}
	if _, err := c.WaitFirst(ctx); err != context.Canceled {
		t.Error(err)
	}
	if waiters.Len() != base {
		t.Errorf("%d tokens left", waiters.Len()-base)
	}
}

func TestWaitsEndWithClose(t *testing.T) {
	c := must[int](t)(counting())
	base := waiters.Len()
	errs := make(chan error, 1)
	go func() { _, err := c.WaitFirst(soon(t)); errs <- err }()
	eventually(t, "a token", func() bool { return waiters.Len() > base })
	c.Close()
	if err := <-errs; err != ErrClosed {
		t.Error(err)
	}
}

func TestWaitsOutliveAStop(t *testing.T) {
	g := newGated()
	c := must[int](t)(g.Do)
	firsts := make(chan Data[int], 1)
	base := waiters.Len()
	go func() {
		d, _ := c.Changed(soon(t), 1)
		firsts <- Data[int]{Value: int(d)}
	}()
	eventually(t, "a token", func() bool { return waiters.Len() > base })
	for range 2 {
		go c.Loop()
		within(t, g.entered, "the call")
		stopped := async(c.Stop)
		g.leave <- struct{}{}
		within(t, stopped, "Stop")
	}
	if d := <-firsts; d.Value != 2 {
		t.Errorf("version %d", d.Value)
	}
}

func TestRefresh(t *testing.T) {
	c := must[int](t)(counting())
	if err := c.Refresh(soon(t)); err != ErrNotRunning {
		t.Errorf("before Start: %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(soon(t)); err != nil {
		t.Fatal(err)
	}
	before := c.Latest().Value
	if err := c.Refresh(soon(t)); err != nil {
		t.Fatal(err)
	}
	if after := c.Latest().Value; after != before+1 {
		t.Errorf("%d, then %d", before, after)
	}
	c.Stop()
	if err := c.Refresh(soon(t)); err != ErrNotRunning {
		t.Errorf("after Stop: %v", err)
	}
}

func TestRefreshesThatComeTogetherShareACall(t *testing.T) {
	g := newGated()
	c := must[int](t)(g.Do)
	looped := async(c.Loop)
	within(t, g.entered, "the first call")
	base := waiters.Len()
	var wg sync.WaitGroup
	for range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := c.Refresh(soon(t)); err != nil {
				t.Error(err)
			}
		}()
	}
	eventually(t, "tokens", func() bool { return waiters.Len() >= base+50 })
	g.leave <- struct{}{}
	within(t, g.entered, "the shared call")
	g.leave <- struct{}{}
	wg.Wait()
	if v := c.Version(); v != 2 {
		t.Errorf("%d calls for 50 refreshes and the first", v)
	}
	c.Stop()
	within(t, looped, "Loop")
}

func TestRefreshEndsWithStop(t *testing.T) {
	g := newGated()
	c := must[int](t)(g.Do)
	go c.Loop()
	within(t, g.entered, "the first call")
	base := waiters.Len()
	errs := make(chan error, 1)
	go func() { errs <- c.Refresh(soon(t)) }()
	eventually(t, "a token", func() bool { return waiters.Len() > base })
	stopped := async(c.Stop)
	eventually(t, "the stop", func() bool {
		c.life.Lock()
		defer c.life.Unlock()
		return c.run.stopping
	})
	g.leave <- struct{}{}
	within(t, stopped, "Stop")
	if err := <-errs; err != ErrNotRunning {
		t.Error(err)
	}
}

// Whether the loop has ended already when its context has, or is still in the Doer's call, which
// the test holds.
func TestRefreshEndsWithTheCachesContext(t *testing.T) {
	g := newGated()
	ctx, cancel := context.WithCancel(context.Background())
	c, err := New[int](ctx, never, DoerFunc[int](g.Do))
	if err != nil {
		t.Fatal(err)
	}
	looped := async(c.Loop)
	within(t, g.entered, "the first call")
	base := waiters.Len()
	errs := make(chan error, 1)
	go func() { errs <- c.Refresh(soon(t)) }()
	eventually(t, "a token", func() bool { return waiters.Len() > base })
	cancel()
	if err := <-errs; err != ErrNotRunning {
		t.Error(err)
	}
	if err := c.Refresh(soon(t)); err != ErrNotRunning {
		t.Error(err)
	}
	eventually(t, "the stop", func() bool {
		c.life.Lock()
		defer c.life.Unlock()
		return c.run.stopping
	})
	g.leave <- struct{}{}
	within(t, looped, "Loop")
	if err := c.Refresh(soon(t)); err != ErrNotRunning {
		t.Error(err)
	}
	if c.Close(); c.Refresh(soon(t)) != ErrClosed {
		t.Error("after Close")
	}
}

// Waiting must not cost a thread per goroutine.
func TestManyWaitersFewThreads(t *testing.T) {
	c := must[int](t)(counting())
	const many = 2000
	before, base := threads(), waiters.Len()
	var wg sync.WaitGroup
	for range many {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if d, err := c.WaitFirst(soon(t)); err != nil || d.Value != 1 {
				t.Errorf("%+v, %v", d, err)
			}
		}()
	}
	eventually(t, "tokens", func() bool { return waiters.Len() >= base+many })
	if grown := threads() - before; grown > 50 {
		t.Errorf("%d threads more for %d waiters", grown, many)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}
