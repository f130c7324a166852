package docache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNothingYet(t *testing.T) {
	c := must[int](t, WithCapacity(2))(counting())
	if d := c.Latest(); d != (Data[int]{}) || !d.Timestamp.IsZero() {
		t.Errorf("Latest before the first call: %+v", d)
	}
	if d := c.Data(); d == nil || len(d) != 0 {
		t.Errorf("Data before the first call: %#v", d)
	}
	if v := c.Version(); v != 0 || c.Running() {
		t.Errorf("version %d, running %v", v, c.Running())
	}
}

func TestLatestIsTheLastSuccess(t *testing.T) {
	broken := errors.New("broken")
	c := started(t, steps(
		func() (int, error) { return 1, nil },
		func() (int, error) { return 2, broken },
		func() (int, error) { return 3, nil },
	), WithCapacity(8))
	for step, want := range []int{1, 1, 3} {
		if got := c.Latest(); got.Value != want || got.Error != nil {
			t.Errorf("step %d: %+v, want %d", step, got, want)
		}
		again(t, c, 1)
	}
	data := c.Data()
	if got := values(data); !slices.Equal(got, []int{1, 2, 3, 3}) {
		t.Fatalf("history: %v", got)
	}
	// The value that came with an error stays with it.
	if data[1].Error != broken {
		t.Errorf("the error of the second call: %v", data[1].Error)
	}
	if last := data[len(data)-1]; last != c.Latest() {
		t.Errorf("newest entry %+v, latest %+v", last, c.Latest())
	}
}

func TestOnlyFailures(t *testing.T) {
	broken := errors.New("broken")
	c := started(t, func() (string, error) { return "?", broken }, WithCapacity(2))
	again(t, c, 4)
	if d := c.Latest(); d != (Data[string]{}) {
		t.Errorf("latest: %+v", d)
	}
	for _, d := range c.Data() {
		if d.Error != broken || d.Timestamp.IsZero() {
			t.Errorf("entry: %+v", d)
		}
	}
	s := c.Stats()
	if s.Calls != 5 || s.Failures != 5 || s.ConsecutiveFailures != 5 || s.LastError != broken || !s.Running {
		t.Errorf("stats: %+v", s)
	}
}

func TestHistoryIsBoundedAndOwnedByTheCaller(t *testing.T) {
	c := started(t, counting(), WithCapacity(3))
	// Read at each step and only now and then, since the two take different ways.
	for _, step := range []int{0, 1, 1, 1, 1, 2, 3, 4, 200} {
		again(t, c, step)
		v := int(c.Version())
		want := []int{v - 2, v - 1, v}[max(0, 3-v):]
		got := c.Data()
		if !slices.Equal(values(got), want) {
			t.Fatalf("version %d: %v, want %v", v, values(got), want)
		}
		if !slices.IsSortedFunc(got, func(a, b Data[int]) int { return a.Timestamp.Compare(b.Timestamp) }) {
			t.Errorf("version %d: out of order", v)
		}
		clear(got)
		if !slices.Equal(values(c.Data()), want) {
			t.Fatalf("version %d: a caller's change was seen by the next", v)
		}
	}
}

func TestNoCapacity(t *testing.T) {
	for _, capacity := range []int{0, -1, -1 << 62} {
		c := NewCache[int](context.Background(), never, capacity, nil, counting()).(*LoopCache[int])
		defer c.Close()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if d, err := c.WaitFirst(soon(t)); err != nil || d.Value != 1 || d != c.Latest() {
			t.Errorf("capacity %d: %+v, %v", capacity, d, err)
		}
		if d := c.Data(); d == nil || len(d) != 0 {
			t.Errorf("capacity %d: %#v", capacity, d)
		}
	}
}

func TestTimestampIsTheStartOfTheCall(t *testing.T) {
	var inDo time.Time
	before := time.Now()
	c := started(t, func() (int, error) {
		inDo = time.Now()
		return 1, nil
	})
	got := c.Latest().Timestamp
	if got.Before(before) || got.After(inDo) {
		t.Errorf("timestamp %v, asked at %v, called at %v", got, before, inDo)
	}
	if !strings.Contains(got.String(), "m=+") {
		t.Errorf("%v carries no monotonic reading", got)
	}
}

func TestArguments(t *testing.T) {
	ctx, doer := context.Background(), Doer[int](counting())
	for _, test := range []struct {
		name string
		make func() (*LoopCache[int], error)
	}{
		{"ctx", func() (*LoopCache[int], error) { return New(nil, never, doer) }}, //nolint:staticcheck // what is tested
		{"doer", func() (*LoopCache[int], error) { return New[int](ctx, never, nil) }},
		{"doer", func() (*LoopCache[int], error) { return New[int](ctx, never, DoerFunc[int](nil)) }},
		{"interval", func() (*LoopCache[int], error) { return New(ctx, 0, doer) }},
		{"interval", func() (*LoopCache[int], error) { return New(ctx, -time.Second, doer) }},
		{"capacity", func() (*LoopCache[int], error) { return New(ctx, never, doer, WithCapacity(-1)) }},
		{"first delay", func() (*LoopCache[int], error) { return New(ctx, never, doer, WithFirstDelay(-1)) }},
		{"jitter", func() (*LoopCache[int], error) { return New(ctx, never, doer, WithJitter(-1)) }},
		{"option", func() (*LoopCache[int], error) { return New(ctx, never, doer, nil) }},
	} {
		c, err := test.make()
		var argument *ArgumentError
		if c != nil || !errors.As(err, &argument) || argument.Name != test.name {
			t.Errorf("%s: %v, %v", test.name, c, err)
		}
	}
	for _, f := range []func(){
		func() { NewCache(nil, never, 0, nil, doer) }, //nolint:staticcheck // what is tested
		func() { NewCache[int](ctx, never, 0, nil, nil) },
		func() { NewCache(ctx, 0, 0, nil, doer) },
	} {
		if p := panics(f); p == nil || !strings.Contains(fmt.Sprint(p), "is not accepted; give") {
			t.Errorf("panic: %v", p)
		}
	}
}

func panics(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

func TestOptionsReachTheLibrary(t *testing.T) {
	var text bytes.Buffer
	c := must[int](t, WithName("some name that is far longer than what a thread may have"), WithJitter(never),
		WithFirstDelay(never), WithFixedRate(), WithLogger(log.New(&text, "", 0)))(counting())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	again(t, c, 1)
	if c.Version() != 1 {
		t.Errorf("version %d: the first delay was not kept", c.Version())
	}
	c.Stop()
	line := text.String()
	if !strings.Contains(line, "docache: the Doer returned after ") || !strings.HasSuffix(line, ": 1\n") {
		t.Errorf("log: %q", line)
	}
}

func TestTheIntervalIsKept(t *testing.T) {
	c, err := New(context.Background(), time.Millisecond, Doer[int](counting()), WithCapacity(100))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Loop()
	for v := uint64(0); v < 5; {
		if v, err = c.Changed(soon(t), v); err != nil {
			t.Fatal(err)
		}
	}
	c.Stop()
	data := c.Data()
	for i := 1; i < len(data); i++ {
		if pause := data[i].Timestamp.Sub(data[i-1].Timestamp); pause < time.Millisecond {
			t.Errorf("calls %d and %d are %v apart", i, i+1, pause)
		}
	}
}

func TestSteadyReadsCostNothing(t *testing.T) {
	c := started(t, counting(), WithCapacity(4))
	again(t, c, 9)
	var shared Cache[int] = c
	shared.Latest()
	shared.Data()
	// The count is the whole process's, and what earlier tests left behind may still be cleaned up:
	// one quiet round is proof enough, since Latest, if it called, would do so in every round.
	fewest := int64(1 << 62)
	for range 20 {
		runtime.GC()
		before := runtime.NumCgoCall()
		for range 10_000 {
			shared.Latest()
		}
		for range 100 {
			shared.Data()
		}
		fewest = min(fewest, runtime.NumCgoCall()-before)
	}
	if fewest != 0 {
		t.Errorf("%d cgo calls in 10,000 Latest and 100 Data", fewest)
	}
	if n := testing.AllocsPerRun(1000, func() { shared.Latest() }); n != 0 {
		t.Errorf("Latest allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { shared.Data() }); n != 1 {
		t.Errorf("Data allocates %v times, not just its slice", n)
	}
}

func TestStats(t *testing.T) {
	c := started(t, steps(
		func() (int, error) { return 0, errors.New("first") },
		func() (int, error) { panic("second") },
		func() (int, error) { return 3, nil },
	))
	again(t, c, 2)
	s := c.Stats()
	if s.Calls != 3 || s.Failures != 2 || s.Panics != 1 || s.ConsecutiveFailures != 0 || !s.Running {
		t.Errorf("stats: %+v", s)
	}
	var p PanicError
	if !errors.As(s.LastError, &p) || p.Value != "second" {
		t.Errorf("last error: %v", s.LastError)
	}
}
