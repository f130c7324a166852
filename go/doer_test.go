package docache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func TestErrorsComeBackAsTheyWere(t *testing.T) {
	inner := &fs.PathError{Op: "read", Path: "/meter", Err: fs.ErrNotExist}
	c := started(t, func() (int, error) { return 0, fmt.Errorf("call: %w", inner) }, WithCapacity(1))
	err := c.Data()[0].Error
	var found *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &found) || found != inner {
		t.Errorf("%v", err)
	}
}

func TestPanicsBecomeEntries(t *testing.T) {
	cause := errors.New("cause")
	c := started(t, steps(
		func() (int, error) { panic("text") },
		func() (int, error) { panic(cause) },
		func() (int, error) { panic(nil) }, //nolint:govet // what is tested
		func() (int, error) { var m map[int]int; m[1] = 1; return 1, nil },
		func() (int, error) { return 5, nil },
	), WithCapacity(5))
	again(t, c, 4)
	data := c.Data()
	for i, check := range []func(p PanicError) bool{
		func(p PanicError) bool { return p.Value == "text" && p.Unwrap() == nil },
		func(p PanicError) bool { return errors.Is(p, cause) },
		func(p PanicError) bool { var e *runtime.PanicNilError; return errors.As(p, &e) },
		func(p PanicError) bool { var e runtime.Error; return errors.As(p, &e) },
	} {
		p, ok := data[i].Error.(PanicError)
		if !ok || !check(p) || data[i].Value != 0 || data[i].Timestamp.IsZero() {
			t.Errorf("entry %d: %+v", i, data[i])
			continue
		}
		if !strings.Contains(p.Stack, "TestPanicsBecomeEntries") {
			t.Errorf("entry %d: the stack does not show the Doer:\n%s", i, p.Stack)
		}
	}
	if d := c.Latest(); d.Value != 5 || d.Error != nil {
		t.Errorf("the loop did not go on: %+v", d)
	}
	if s := c.Stats(); s.Panics != 4 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAReturnedPanicErrorIsNoPanic(t *testing.T) {
	c := started(t, steps(func() (int, error) { return 0, PanicError{Value: "of another call"} }))
	if _, err := c.Changed(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Panics != 0 || s.Failures != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestGoexitBecomesAnEntry(t *testing.T) {
	var cleaned atomic.Bool
	c := started(t, steps(
		func() (int, error) {
			defer cleaned.Store(true)
			runtime.Goexit()
			return 1, nil
		},
		func() (int, error) { return 2, nil },
	), WithCapacity(2))
	again(t, c, 1)
	data := c.Data()
	if data[0].Error != ErrGoexit || data[0].Value != 0 || data[0].Timestamp.IsZero() || !cleaned.Load() {
		t.Errorf("entry: %+v", data[0])
	}
	if c.Latest().Value != 2 {
		t.Errorf("the loop did not go on: %+v", c.Latest())
	}
}

type rude struct{ n int }

func (e *rude) Error() string {
	if e == nil {
		panic("no message")
	}
	return fmt.Sprint("rude ", e.n, " \xff")
}

func TestErrorMethodsMayPanicAndSayAnything(t *testing.T) {
	c := started(t, steps(
		func() (int, error) { var nothing *rude; return 0, nothing },
		func() (int, error) { return 0, &rude{7} },
		func() (int, error) { return 3, nil },
	), WithCapacity(3))
	again(t, c, 2)
	data := c.Data()
	if e, ok := data[0].Error.(*rude); !ok || e != nil {
		t.Errorf("entry: %T", data[0].Error)
	}
	if e, ok := data[1].Error.(*rude); !ok || e.n != 7 {
		t.Errorf("entry: %T", data[1].Error)
	}
	if c.Latest().Value != 3 {
		t.Errorf("the loop did not go on: %+v", c.Latest())
	}
}

type brokenWriter struct{ exit bool }

func (w brokenWriter) Write([]byte) (int, error) {
	if w.exit {
		runtime.Goexit()
	}
	panic("no log today")
}

func TestABrokenLoggerChangesNothing(t *testing.T) {
	for _, exit := range []bool{false, true} {
		c := started(t, steps(
			func() (int, error) { return 1, nil },
			func() (int, error) { return 2, ErrClosed },
		), WithCapacity(2), WithLogger(log.New(brokenWriter{exit}, "", 0)))
		again(t, c, 1)
		data := c.Data()
		if !slices.Equal(values(data), []int{1, 2}) || data[0].Error != nil || data[1].Error != ErrClosed {
			t.Errorf("exit %v: %+v", exit, data)
		}
	}
}

func TestADoerThatReadsItsOwnCache(t *testing.T) {
	var c *LoopCache[int]
	c = must[int](t, WithCapacity(10))(func() (int, error) {
		if len(c.Data()) != int(c.Version()) || c.Start() != nil || !c.Running() {
			return 0, errors.New("reads failed")
		}
		c.Loop() // it is looping, so this returns
		return c.Latest().Value + 1, nil
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	again(t, c, 4)
	if got := c.Latest().Value; got < 4 {
		t.Errorf("latest %d: %+v", got, c.Data())
	}
}

func TestADoerCannotWaitForItself(t *testing.T) {
	var c *LoopCache[int]
	c = must[int](t, WithCapacity(1))(func() (int, error) {
		_, first := c.WaitFirst(soon(t))
		_, changed := c.Changed(soon(t), c.Version())
		refreshed := c.Refresh(soon(t))
		return 1, errors.Join(first, changed, refreshed)
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Changed(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	err := c.Data()[0].Error
	if n := strings.Count(err.Error(), ErrReentrant.Error()); !errors.Is(err, ErrReentrant) || n != 3 {
		t.Errorf("%v", err)
	}
}
