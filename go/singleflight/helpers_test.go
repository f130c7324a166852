package singleflight

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

// soon is a context that is done well before `go test` loses patience.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
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

// async runs f and returns a channel that is closed when it has returned, or has ended its goroutine.
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

// waiting is the number of goroutines that wait for another's run, as the runtime sees them.
func waiting(t testing.TB) (n int) {
	t.Helper()
	var text strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	for stack := range strings.SplitSeq(text.String(), "\n\n") {
		if !strings.Contains(stack, "singleflight.(*seat[") {
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

// gate is work that says when it is entered and waits to be let go.
type gate struct {
	entered chan struct{}
	leave   chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) pass() {
	g.entered <- struct{}{}
	<-g.leave
}

// threads counts the process's threads, 0 where the system does not tell.
func threads() int {
	tasks, _ := os.ReadDir("/proc/self/task")
	return len(tasks)
}
