// Package testkit is what the tests of several packages wait and look with.
package testkit

import (
	"context"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Soon is a context that is done well before `go test` loses patience.
func Soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Within waits for ch, with a limit.
func Within(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-Soon(t).Done():
		t.Fatalf("timed out: %s", what)
	}
}

// Async runs f and returns a channel that is closed when it has returned, or has ended its
// goroutine.
func Async(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// Eventually waits for a condition that has nothing to wait on.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := Soon(t); !holds(); runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("timed out: %s", what)
		}
	}
}

// Collect runs the garbage collector until the condition holds.
func Collect(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := Soon(t); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		runtime.GC()
		if holds() {
			return
		}
	}
	t.Fatalf("not collected: %s", what)
}

// Inside is the number of goroutines that are in a function whose name contains this text, as the
// runtime sees them.
func Inside(t testing.TB, function string) (n int) {
	t.Helper()
	var text strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	for stack := range strings.SplitSeq(text.String(), "\n\n") {
		if !strings.Contains(stack, function) {
			continue
		}
		// The first of them follows a line of its own.
		_, stack, _ := strings.Cut("\n"+stack, "\n")
		if first, rest, ok := strings.Cut(stack, "\n"); ok && strings.HasPrefix(first, "goroutine profile:") {
			stack = rest
		}
		count, _, _ := strings.Cut(stack, " @ ")
		k, err := strconv.Atoi(count)
		if err != nil {
			t.Fatalf("%v in %q", err, stack)
		}
		n += k
	}
	return n
}

// Gate is work that says when it is entered and waits to be let go.
type Gate struct {
	Entered chan struct{}
	Leave   chan struct{}
}

// NewGate is for any number of goroutines, of which one may wait for the others to enter.
func NewGate() *Gate { return &Gate{make(chan struct{}), make(chan struct{})} }

// Pass enters, and returns once Leave is closed.
func (g *Gate) Pass() {
	g.Entered <- struct{}{}
	<-g.Leave
}

// Threads counts the process's threads, 0 where the system does not tell.
func Threads() int {
	tasks, _ := os.ReadDir("/proc/self/task")
	return len(tasks)
}

// FewThreads fails if there are more threads than a program needs whose goroutines wait, or if
// there ever were.
func FewThreads(t testing.TB, when string) {
	t.Helper()
	const limit = 100
	if now, ever := Threads(), pprof.Lookup("threadcreate").Count(); now >= limit || ever >= limit {
		t.Errorf("%s: %d threads, %d since the start", when, now, ever)
	}
}
