package docache

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gated is a Doer that says when it was called and returns when it is let.
type gated struct {
	entered, leave chan struct{}
	left           atomic.Int32
}

func newGated() *gated { return &gated{entered: make(chan struct{}), leave: make(chan struct{})} }

func (g *gated) Do() (int, error) {
	g.entered <- struct{}{}
	<-g.leave
	return int(g.left.Add(1)), nil
}

func TestLoopBlocksAndStopWaitsForTheDoer(t *testing.T) {
	g := newGated()
	c := must[int](t)(g.Do)
	looped := async(c.Loop)
	within(t, g.entered, "the first call")
	within(t, async(c.Loop), "a second Loop, which has nothing to do")
	if !c.Running() {
		t.Error("not running during Do")
	}

	// A limit that has passed: asked, but not ended.
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.StopContext(done); !errors.Is(err, context.Canceled) {
		t.Errorf("StopContext: %v", err)
	}
	select {
	case <-looped:
		t.Error("Loop returned during Do")
	default:
	}
	// Many at once, all of which wait.
	var stops []<-chan struct{}
	for range 4 {
		stops = append(stops, async(func() {
			c.Stop()
			if g.left.Load() != 1 {
				t.Error("Stop returned during Do")
			}
		}))
	}
	g.leave <- struct{}{}
	for _, stopped := range stops {
		within(t, stopped, "Stop")
	}
	within(t, looped, "Loop after Stop")
	if c.Running() || c.Latest().Value != 1 {
		t.Errorf("running %v, latest %+v: the last call is published", c.Running(), c.Latest())
	}
	c.Stop()
	if err := c.StopContext(done); err != nil {
		t.Errorf("StopContext of a stopped cache: %v", err)
	}
}

func TestRestart(t *testing.T) {
	c := must[int](t, WithCapacity(100))(counting())
	for round := 1; round <= 5; round++ {
		looped := async(c.Loop)
		if v, err := c.Changed(soon(t), uint64(round-1)); err != nil || v != uint64(round) {
			t.Fatalf("round %d: version %d, %v", round, v, err)
		}
		c.Stop()
		within(t, looped, "Loop")
	}
	if got := values(c.Data()); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Errorf("history over restarts: %v", got)
	}
}

func TestTheContextStopsTheLoop(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c, err := New(ctx, never, Doer[int](counting()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	looped := async(c.Loop)
	if _, err := c.WaitFirst(soon(t)); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := c.Changed(soon(t), 1)
		waiting <- err
	}()
	cancel()
	within(t, looped, "Loop after the context was done")
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("Changed on a cache whose context is done: %v", err)
	}
	within(t, async(c.Loop), "Loop with a context that is done")
	if err := c.Start(); !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v", err)
	}
	if c.Version() != 1 || c.Latest().Value != 1 {
		t.Errorf("called again: %+v", c.Latest())
	}
}

func TestAContextThatIsDoneAlready(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := NewCache[int](ctx, never, 1, nil, DoerFunc[int](func() (int, error) {
		t.Error("called")
		return 0, nil
	}))
	within(t, async(c.Loop), "Loop")
	c.Stop()
}

func TestStopAndCloseFromInsideDo(t *testing.T) {
	for name, end := range map[string]func(*LoopCache[int]){
		"Stop":  (*LoopCache[int]).Stop,
		"Close": (*LoopCache[int]).Close,
		"StopContext": func(c *LoopCache[int]) {
			if err := c.StopContext(context.Background()); err != nil {
				t.Error(err)
			}
		},
		"both": func(c *LoopCache[int]) {
			c.Stop()
			c.Close()
			c.Stop()
		},
	} {
		var c *LoopCache[int]
		c = must[int](t, WithCapacity(1))(func() (int, error) {
			end(c)
			return 7, nil
		})
		within(t, async(c.Loop), name)
		if c.Latest().Value != 7 || len(c.Data()) != 1 || c.Running() {
			t.Errorf("%s: %+v", name, c.Latest())
		}
	}
}

func TestADoerMayStopAnotherCache(t *testing.T) {
	g := newGated()
	other := must[int](t)(g.Do)
	looped := async(other.Loop)
	within(t, g.entered, "the other's call")
	c := must[int](t)(func() (int, error) {
		go func() { g.leave <- struct{}{} }()
		other.Stop() // not a call from inside other's Do, so it waits
		return int(g.left.Load()), nil
	})
	go c.Loop()
	if d, err := c.WaitFirst(soon(t)); err != nil || d.Value != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	within(t, looped, "the other's Loop")
}

func TestClose(t *testing.T) {
	broken := errors.New("broken")
	c := started(t, steps(
		func() (int, error) { return 1, nil },
		func() (int, error) { return 2, broken },
	), WithCapacity(4))
	again(t, c, 1)
	latest, data, stats := c.Latest(), c.Data(), c.Stats()
	var closes []<-chan struct{}
	for range 4 {
		closes = append(closes, async(c.Close))
	}
	for _, closed := range closes {
		within(t, closed, "Close")
	}
	stats.Running = false
	if c.Latest() != latest || !slices.Equal(c.Data(), data) || c.Stats() != stats || c.Version() != 2 || c.Running() {
		t.Errorf("after Close: %+v, %+v, %+v", c.Latest(), c.Data(), c.Stats())
	}
	if c.worker.len() != 0 || c.worker.doer.Load() != nil {
		t.Error("Close keeps results or the Doer")
	}
	_, changed := c.Changed(soon(t), 2)
	if err := c.Start(); err != ErrClosed || changed != ErrClosed || c.Refresh(soon(t)) != ErrClosed {
		t.Errorf("Start: %v, Changed: %v", err, changed)
	}
	within(t, async(c.Loop), "Loop after Close")
	c.Stop()
	c.Close()
}

func TestCloseReadsWhatNobodyHadRead(t *testing.T) {
	c := started(t, counting(), WithCapacity(2))
	again(t, c, 4)
	c.Close()
	if c.Latest().Value != 5 || !slices.Equal(values(c.Data()), []int{4, 5}) {
		t.Errorf("%+v, %+v", c.Latest(), c.Data())
	}
}

func TestCloseOfAnUnusedCache(t *testing.T) {
	c := must[int](t, WithCapacity(2))(counting())
	c.Close()
	if _, err := c.WaitFirst(soon(t)); err != ErrClosed {
		t.Error(err)
	}
	if c.Latest() != (Data[int]{}) || len(c.Data()) != 0 {
		t.Errorf("%+v", c.Latest())
	}
}

// chaos calls methods at random from 32 goroutines.
func chaos(c *LoopCache[int], rounds int, withClose bool) {
	var wg sync.WaitGroup
	for range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			seen := 0
			for range rounds {
				switch rand.N(6) {
				case 0, 1:
					wg.Add(1)
					go func() {
						defer wg.Done()
						c.Loop()
					}()
				case 2:
					c.Stop()
				case 3:
					if got := c.Latest().Value; got < seen {
						panic("a reader went back in time")
					} else {
						seen = got
					}
				case 4:
					data := c.Data()
					for i := 1; i < len(data); i++ {
						if data[i].Value != data[i-1].Value+1 {
							panic("a hole in the history")
						}
					}
				case 5:
					if withClose && rand.N(rounds) == 0 {
						c.Close()
					}
				}
			}
		}()
	}
	// The last Loop may have come after the last Stop.
	ended := async(wg.Wait)
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
			c.Stop()
		}
	}
}

func TestChaos(t *testing.T) {
	for _, withClose := range []bool{false, true} {
		var inside atomic.Int32
		n := 0
		c, err := New(context.Background(), 10*time.Microsecond, DoerFunc[int](func() (int, error) {
			if inside.Add(1) != 1 {
				t.Error("two calls at once")
			}
			defer inside.Add(-1)
			n++
			if n%3 == 0 {
				return n, errors.New("every third")
			}
			return n, nil
		}), WithCapacity(16))
		if err != nil {
			t.Fatal(err)
		}
		within(t, async(func() { chaos(c, 150, withClose) }), "chaos")
		c.Close()
		if c.Running() {
			t.Error("running after Close")
		}
	}
}

// A short interval on one processor leaves time for others: a reader sees about every result, not
// one in thousands.
func TestAFastLoopStarvesNobody(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c, err := New(context.Background(), 100*time.Microsecond, Doer[int](counting()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for last := 0; last < 10; {
		now := c.Latest().Value
		if now > last+200 {
			t.Fatalf("a busy reader saw result %d, then %d", last, now)
		}
		last = now
	}
}
