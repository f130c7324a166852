package docache

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"
)

// never is an interval that no test lives to see: after the first call, tests ask for each call with Refresh.
const never = 1000 * time.Hour

// soon is a context that is done well before `go test` loses patience.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// counting returns 1, 2, 3, ...
func counting() DoerFunc[int] {
	n := 0
	return func() (int, error) {
		n++
		return n, nil
	}
}

// steps does one after the other, and the last of them again and again.
func steps[T any](fs ...func() (T, error)) DoerFunc[T] {
	n := 0
	return func() (T, error) {
		f := fs[min(n, len(fs)-1)]
		n++
		return f()
	}
}

func must[T any](t testing.TB, options ...Option) func(doer DoerFunc[T]) *LoopCache[T] {
	return func(doer DoerFunc[T]) *LoopCache[T] {
		t.Helper()
		c, err := New[T](context.Background(), never, doer, options...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
}

// started is a cache whose first call has ended.
func started[T any](t testing.TB, doer DoerFunc[T], options ...Option) *LoopCache[T] {
	t.Helper()
	c := must[T](t, options...)(doer)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Changed(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	return c
}

// again makes the cache call its Doer n times.
func again[T any](t testing.TB, c *LoopCache[T], n int) {
	t.Helper()
	for range n {
		if err := c.Refresh(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func values[T any](data []Data[T]) (out []T) {
	for _, d := range data {
		out = append(out, d.Value)
	}
	return out
}

// within waits for ch, with a limit.
func within(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-soon(t).Done():
		t.Fatalf("timed out: %s", what)
	}
}

// async runs f and returns a channel that is closed when it has returned.
func async(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// eventually waits for a condition that has nothing to wait on.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := soon(t); !holds(); runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("timed out: %s", what)
		}
	}
}

// collect runs the garbage collector until the condition holds.
func collect(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := soon(t); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		runtime.GC()
		if holds() {
			return
		}
	}
	t.Fatalf("not collected: %s", what)
}

// threads counts the process's threads, 0 where the system does not tell.
func threads() int {
	tasks, _ := os.ReadDir("/proc/self/task")
	return len(tasks)
}
