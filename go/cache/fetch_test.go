package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// crowd makes one caller load the key, lets n others wait for it, runs meanwhile, lets the load end
// as work says, and returns what everybody got, the one that loaded first.
func crowd(t *testing.T, c fetcher, n int, work func() (string, error), meanwhile func()) (all []outcome) {
	t.Helper()
	g := newGate()
	results := make(chan outcome, n)
	var first outcome
	led := async(func() {
		first.v, first.err = c.fetch(soon(t), "key", func() (string, error) {
			g.Pass()
			return work()
		})
	})
	within(t, g.Entered, "the load")
	for range n {
		go func() {
			v, err := c.fetch(soon(t), "key", func() (string, error) { return "", errors.New("a second load") })
			results <- outcome{v, err}
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == n })
	meanwhile()
	close(g.Leave)
	within(t, led, "the one that loads")
	all = append(all, first)
	for range n {
		all = append(all, <-results)
	}
	return all
}

func nothing() {}

func TestCallersShareOneLoad(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		loads := 0
		for _, o := range crowd(t, c, 50, func() (string, error) { loads++; return "value", nil }, nothing) {
			if o.v != "value" || o.err != nil {
				t.Error(o)
			}
		}
		if v, err := c.get("key"); v != "value" || err != nil || loads != 1 {
			t.Error(v, err, loads)
		}
		v, err := c.fetch(soon(t), "key", func() (string, error) { t.Error("loaded again"); return "", nil })
		if v != "value" || err != nil {
			t.Error(v, err)
		}
		if s := c.stats(); s.Loads != 1 || s.LoadFailures != 0 || s.Coalesced != 50 || s.Inserted != 1 || s.Len != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestErrorsAreSharedAndNotKept(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		for _, o := range crowd(t, c, 20, func() (string, error) { return "half", errTest }, nothing) {
			if o.v != "" || o.err != errTest {
				t.Error(o)
			}
		}
		if _, err := c.get("key"); err != ErrNotFound || !IsNotFoundErr(fmt.Errorf("it: %w", err)) {
			t.Error(err)
		}
		if v, err := c.fetch(soon(t), "key", func() (string, error) { return "better", nil }); v != "better" || err != nil {
			t.Error(v, err)
		}
	})
}

func TestWhatIsWrittenDuringALoadWins(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		for name, write := range map[string]func(){
			"remove": func() { c.remove("key") },
			"clear":  c.clear,
			"set":    func() { c.set("key", "newer") },
		} {
			for _, o := range crowd(t, c, 3, func() (string, error) { return "older", nil }, write) {
				if o.v != "older" || o.err != nil {
					t.Error(name, o)
				}
			}
			if v, err := c.get("key"); v == "older" || (err == nil) != (name == "set") {
				t.Error(name, v, err)
			}
			c.remove("key")
		}
	})
}

func TestReentryIsRefused(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		wrong := func() (string, error) { t.Error("ran"); return "", nil }
		v, err := c.fetch(soon(t), "a", func() (string, error) {
			_, direct := c.fetch(soon(t), "a", wrong)
			_, nested := c.fetch(soon(t), "b", func() (string, error) { return c.fetch(soon(t), "a", wrong) })
			if direct != ErrReentrant || nested != ErrReentrant {
				t.Error(direct, nested)
			}
			return c.fetch(soon(t), "c", func() (string, error) { return "c", nil })
		})
		if v != "c" || err != nil {
			t.Error(v, err)
		}
	})
}

// explode is named so that stacks show it.
//
//go:noinline
func explode(v any) (string, error) { panic(v) }

// unreturned is crowd for a load that does not return: lead calls the one that loads.
func unreturned(t *testing.T, c fetcher, n int, work func() (string, error), lead func(do func())) (errs []error) {
	t.Helper()
	g := newGate()
	led := async(func() {
		lead(func() {
			_, err := c.fetch(soon(t), "key", func() (string, error) {
				g.Pass()
				return work()
			})
			t.Errorf("the call that loads returned %v", err)
		})
	})
	within(t, g.Entered, "the load")
	results := make(chan error, n)
	for range n {
		go func() {
			_, err := c.fetch(soon(t), "key", func() (string, error) { return "", nil })
			results <- err
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == n })
	close(g.Leave)
	for range n {
		errs = append(errs, <-results)
	}
	within(t, led, "the one that loads")
	if v, err := c.fetch(soon(t), "key", func() (string, error) { return "next", nil }); v != "next" || err != nil {
		t.Errorf("the next call: %q, %v", v, err)
	}
	c.clear()
	return errs
}

func TestAPanicGoesOnInTheLeaderAndReachesTheWaiters(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		for _, value := range []any{"text", errTest} {
			var got any
			var stack string
			errs := unreturned(t, c, 3, func() (string, error) { return explode(value) }, func(do func()) {
				defer func() { got, stack = recover(), string(debug.Stack()) }()
				do()
			})
			if got != value || !strings.Contains(stack, "cache.explode") {
				t.Errorf("%v at %s", got, stack)
			}
			for _, err := range errs {
				p, ok := err.(PanicError)
				if !ok || p.Value != value || !strings.Contains(p.Stack, "cache.explode") || err != errs[0] {
					t.Errorf("%#v", err)
				}
				if text := err.Error(); !strings.HasPrefix(text, fmt.Sprint("panic: ", value)) || !strings.Contains(text, "cache.explode") {
					t.Error(text)
				}
				if errors.Is(err, errTest) != (value == errTest) {
					t.Errorf("%v unwraps to %v", err, errors.Unwrap(err))
				}
			}
		}
	})
}

func TestGoexitReleasesTheWaiters(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		work := func() (string, error) { runtime.Goexit(); return "", nil }
		for _, err := range unreturned(t, c, 3, work, func(do func()) { do() }) {
			if err != ErrGoexit {
				t.Error(err)
			}
		}
	})
}

func TestACallerLeavesWithItsContext(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		ctx, cancel := context.WithCancelCause(context.Background())
		var left <-chan struct{}
		stayed := crowd(t, c, 2, func() (string, error) { return "value", nil }, func() {
			left = async(func() {
				if v, err := c.fetch(ctx, "key", func() (string, error) { return "", nil }); v != "" || err != errTest {
					t.Error(v, err)
				}
			})
			eventually(t, "one more", func() bool { return waiting(t) == 3 })
			cancel(errTest)
			within(t, left, "the one that leaves")
		})
		for _, o := range stayed {
			if o.v != "value" || o.err != nil {
				t.Error(o)
			}
		}
		c.remove("key")
		if _, err := c.fetch(ctx, "key", func() (string, error) { t.Error("ran"); return "", nil }); err != errTest {
			t.Error(err)
		}
	})
}

func TestTheLeadCanBeHandedOn(t *testing.T) {
	c := newCache(t, manual())
	s := takeSeat()
	defer s.put()
	k, _, standing := c.table.begin("key", byDefault, 0, s.token)
	if standing != leads {
		t.Fatal(standing)
	}
	var runs atomic.Int32
	results := make(chan any, 3)
	for range 3 {
		go func() {
			v, _ := c.Fetch("key", func(string) (any, error) { return runs.Add(1), nil })
			results <- v
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == 3 })
	k.leave()
	for range 3 {
		if v := <-results; v != int32(1) {
			t.Errorf("run %v", v)
		}
	}
}

// lend lets a call lead for a goroutine that is not there, and others wait for it.
func lend(t *testing.T, c *Cache, owner uintptr) call {
	t.Helper()
	s := takeSeat()
	t.Cleanup(s.put)
	k, _, standing := c.table.begin("key", byDefault, owner, s.token)
	if standing != leads {
		t.Fatal(standing)
	}
	return k
}

// The one that the lead comes to finds that the value has come meanwhile, and tells the others.
func TestTheLeadCanComeTooLate(t *testing.T) {
	c := newCache(t, manual())
	k, s := lend(t, c, 1), takeSeat()
	defer s.put()
	j, _, standing := c.table.begin("key", byDefault, 2, s.token)
	if standing != waits {
		t.Fatal(standing)
	}
	results := make(chan any, 3)
	for range 3 {
		go func() {
			v, _ := c.Fetch("key", func(string) (any, error) { return "loaded", nil })
			results <- v
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == 3 })
	c.Set("key", "set")
	k.leave()
	v, err, again := join(soon(t), c, s, j, func() (any, error) { return "loaded", nil })
	if v != "set" || err != nil || again {
		t.Error(v, err, again)
	}
	<-s.ready
	for range 3 {
		if v := <-results; v != "set" {
			t.Error(v)
		}
	}
}

// leaves makes n callers wait for one whose load fails, as work says, once its context has ended.
func leaves(t *testing.T, c fetcher, n int, work func(ctx context.Context) error) (first error, rest []outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g := newGate()
	led := async(func() {
		_, first = c.fetch(ctx, "key", func() (string, error) {
			g.Pass()
			return "half", work(ctx)
		})
	})
	within(t, g.Entered, "the load")
	results := make(chan outcome, n)
	for i := range n {
		go func() {
			v, err := c.fetch(soon(t), "key", func() (string, error) { return fmt.Sprint("by ", i), nil })
			results <- outcome{v, err}
		}()
	}
	eventually(t, "waiters", func() bool { return waiting(t) == n })
	cancel()
	close(g.Leave)
	within(t, led, "the one that loads")
	for range n {
		rest = append(rest, <-results)
	}
	return first, rest
}

func TestTheFirstCallersContextFailsNobodyElse(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		for name, work := range map[string]func(ctx context.Context) error{
			"its own error":   func(ctx context.Context) error { return ctx.Err() },
			"another's":       func(context.Context) error { return errTest },
			"a wrapped one's": func(ctx context.Context) error { return fmt.Errorf("load: %w", ctx.Err()) },
		} {
			before := c.stats()
			first, rest := leaves(t, c, 5, work)
			if first == nil {
				t.Error(name, "the first got no error")
			}
			for _, o := range rest {
				if o != rest[0] || !strings.HasPrefix(o.v, "by ") || o.err != nil {
					t.Error(name, o)
				}
			}
			if v, err := c.get("key"); v != rest[0].v || err != nil {
				t.Error(name, v, err)
			}
			after := c.stats()
			if l, f := after.Loads-before.Loads, after.LoadFailures-before.LoadFailures; l != 2 || f != 1 {
				t.Errorf("%s: %d loads, %d of them failed", name, l, f)
			}
			c.remove("key")
		}
		// With nobody there to lead, the next call begins anew.
		if first, _ := leaves(t, c, 0, func(ctx context.Context) error { return ctx.Err() }); first != context.Canceled {
			t.Error(first)
		}
		if v, err := c.fetch(soon(t), "key", func() (string, error) { return "next", nil }); v != "next" || err != nil {
			t.Error(v, err)
		}
		c.remove("key")
		// What it brought in spite of its context everybody gets.
		_, rest := leaves(t, c, 3, func(context.Context) error { return nil })
		for _, o := range rest {
			if o.v != "half" || o.err != nil {
				t.Error(o)
			}
		}
	})
}

// One whose context is done when the lead comes to it does not load, and hands it on.
func TestTheLeadIsNotTakenWithAContextThatIsDone(t *testing.T) {
	c := newCache(t, manual())
	k, s := lend(t, c, 1), takeSeat()
	defer s.put()
	j, _, _ := c.table.begin("key", byDefault, 2, s.token)
	other := make(chan any, 1)
	go func() {
		v, _ := c.Fetch("key", func(string) (any, error) { return "other", nil })
		other <- v
	}()
	eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
	k.leave()
	<-s.ready
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errTest)
	if _, err, _ := join(ctx, c, s, j, func() (any, error) { t.Error("ran"); return nil, nil }); err != errTest {
		t.Error(err)
	}
	if v := <-other; v != "other" {
		t.Error(v)
	}
}

// One that joins a load which fails before it can ask to be told begins anew.
func TestAFailureThatCameTooEarlyIsNotMissed(t *testing.T) {
	c := newCache(t, manual())
	first, second := takeSeat(), takeSeat()
	defer first.put()
	defer second.put()
	k, _, _ := c.table.begin("key", byDefault, 1, first.token)
	j, _, standing := c.table.begin("key", byDefault, 2, second.token)
	if standing != waits || !j.cancel() {
		t.Fatal(standing)
	}
	k.fail(errTest)
	if _, err, again := join[any](soon(t), c, second, j, nil); err != nil || !again {
		t.Error(err, again)
	}
	if v, err := c.Fetch("key", func(string) (any, error) { return 1, nil }); v != 1 || err != nil {
		t.Error(v, err)
	}
}

// Loads succeed and fail, callers leave, and values are removed, all at once. Everybody gets an
// outcome.
func TestALoadOfEverything(t *testing.T) {
	both(t, func(t *testing.T, c fetcher) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 1500 {
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(2) == 0 {
						go cancel()
					}
					key := string(rune('a' + rand.IntN(3)))
					v, err := c.fetch(ctx, key, func() (string, error) {
						runtime.Gosched()
						if rand.IntN(2) == 0 {
							return "", errTest
						}
						return key, nil
					})
					if err != nil && err != errTest && err != context.Canceled || (err == nil) != (v == key) {
						t.Errorf("%q: %q, %v", key, v, err)
					}
					if rand.IntN(4) == 0 {
						c.remove(key)
					}
					cancel()
				}
			}()
		}
		wg.Wait()
		if n := waiting(t); n != 0 {
			t.Errorf("%d wait still", n)
		}
	})
}

func TestAFetchIsOneRead(t *testing.T) {
	c := typed[string, int](t, &Config{CountReads: true})
	two := func(context.Context) (int, error) { return 2, nil }
	reads := func() [2]uint64 { s := c.Stats(); return [2]uint64{s.Hits, s.Misses} }
	c.Fetch(soon(t), "a", two)
	if n := reads(); n != [2]uint64{0, 1} {
		t.Error("a miss:", n)
	}
	c.Fetch(soon(t), "a", two)
	if n := reads(); n != [2]uint64{1, 1} {
		t.Error("a hit:", n)
	}
	c.Get("b")
	if n := reads(); n != [2]uint64{1, 2} {
		t.Error("a Get:", n)
	}
}
