package docache

import (
	"context"
	"testing"
	"time"

	"docache/internal/testkit"
)

// never is an interval that no test lives to see: after the first call, tests ask for each call
// with Refresh.
const never = 1000 * time.Hour

var (
	soon       = testkit.Soon
	within     = testkit.Within
	async      = testkit.Async
	eventually = testkit.Eventually
	collect    = testkit.Collect
	threads    = testkit.Threads
)

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
