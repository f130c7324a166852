package singleflight_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"docache/internal/testkit"
	"docache/internal/testkit/loops"
	"docache/singleflight"
)

// besides runs many loops beside the tests, from the first that asks on.
var besides = sync.OnceFunc(func() { loops.Run(50) })

// A program in the shape of nikand.dev/go/singleflight, with nothing changed but the import path:
// that it compiles is the first half of the test.

type state struct{ n int }

type server struct {
	refresh singleflight.Group[*state]
	pages   singleflight.KeyedGroups[string, []byte]
	work    singleflight.Func[*state]
}

func (s *server) state() (*state, error) { return s.refresh.Do(s.work) }

func (s *server) page(path string) ([]byte, error) {
	page, err := s.pages.Do(path, func() ([]byte, error) {
		if path == "" {
			return nil, errors.New("no path")
		}
		return []byte(path), nil
	})
	if pe, ok := singleflight.AsPanicError(err); ok {
		panic(pe.Panic)
	}
	return page, err
}

func TestProgramsInTheShapeOfNikandSingleflight(t *testing.T) {
	besides()
	s := &server{work: func() (*state, error) { return &state{1}, nil }}
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if st, err := s.state(); err != nil || st.n != 1 {
				t.Error(st, err)
			}
			if page, err := s.page("/a"); err != nil || string(page) != "/a" {
				t.Error(page, err)
			}
			if page, err := s.page(""); err == nil || page != nil {
				t.Error(page, err)
			}
			var pe singleflight.PanicError
			if errors.As(error(singleflight.PanicError{Panic: 1}), &pe); pe.Panic != 1 {
				t.Error(pe)
			}
		}()
	}
	wg.Wait()
}

// meet calls from n goroutines at once, and returns when all calls have.
func meet(t *testing.T, n int, call func(i int)) {
	t.Helper()
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			<-start
			call(i)
		}()
	}
	close(start)
	testkit.Within(t, testkit.Async(all.Wait), "the calls")
}

// slow is work that takes long enough for others to come.
func slow[T any](runs *atomic.Int32, v T, err error) func() (T, error) {
	return func() (T, error) {
		runs.Add(1)
		time.Sleep(10 * time.Millisecond)
		return v, err
	}
}

func TestShapeGroup(t *testing.T) {
	besides()
	var group singleflight.Group[*state]
	for i := range 3 { // one after the other, none is shared
		if st, err := group.Do(func() (*state, error) { return &state{i}, nil }); st.n != i || err != nil {
			t.Error(st, err)
		}
		if st, err := group.Do(func() (*state, error) { return nil, io.EOF }); st != nil || err != io.EOF {
			t.Error(st, err)
		}
	}
	var runs, same atomic.Int32
	one := &state{1}
	meet(t, 50, func(int) {
		st, err := group.Do(slow(&runs, one, io.EOF))
		if err != io.EOF {
			t.Error(err)
		}
		if st == one {
			same.Add(1)
		}
	})
	// Who was held up for longer than the work takes begins another run.
	if n := runs.Load(); n < 1 || n > 25 || same.Load() != 50 {
		t.Error(n, same.Load())
	}
}

type pair struct {
	name string
	n    int
}

// keyed is for keys of any type.
func keyed[Key comparable](t *testing.T, keys ...Key) {
	t.Helper()
	var groups singleflight.KeyedGroups[Key, Key]
	var inside sync.WaitGroup // no run waits for another key's
	inside.Add(len(keys))
	meet(t, len(keys), func(i int) {
		v, err := groups.Do(keys[i], func() (Key, error) {
			inside.Done()
			inside.Wait()
			return keys[i], nil
		})
		if v != keys[i] || err != nil {
			t.Error(v, err)
		}
	})
	var runs atomic.Int32
	meet(t, 50, func(int) {
		if v, err := groups.Do(keys[0], slow(&runs, keys[0], nil)); v != keys[0] || err != nil {
			t.Error(v, err)
		}
	})
	if n := runs.Load(); n < 1 || n > 25 {
		t.Error(n)
	}
}

func TestShapeKeyedGroups(t *testing.T) {
	besides()
	keyed(t, 0, 1, -1)
	keyed(t, "", "a", "ab", "a\x00")
	keyed(t, pair{}, pair{"a", 1}, pair{"a", 2}, pair{"b", 1})
	keyed[any](t, nil, 1, "1", pair{}, 1.5)
	keyed(t, true, false)
	keyed(t, [2]string{"a", "b"}, [2]string{"ab", ""})
	keyed(t, struct{}{})
	keyed(t, time.Second, time.Minute)
}

func TestShapePanicError(t *testing.T) {
	besides()
	var groups singleflight.KeyedGroups[string, int]
	for _, value := range []any{"on purpose", io.EOF, 7} {
		entered, leave := make(chan struct{}), make(chan struct{})
		led := testkit.Async(func() {
			defer func() {
				if p := recover(); p != value {
					t.Error(p)
				}
			}()
			groups.Do("key", func() (int, error) {
				close(entered)
				<-leave
				panic(value)
			})
		})
		testkit.Within(t, entered, "the run")
		waits := testkit.Async(func() {
			v, err := groups.Do("key", func() (int, error) { return 1, nil })
			pe, ok := singleflight.AsPanicError(err)
			if !ok || v != 0 || pe.Panic != value {
				t.Error(v, err)
			}
			if direct, ok := err.(singleflight.PanicError); !ok || direct.Panic != value || err != error(direct) {
				t.Errorf("%T", err)
			}
			if errors.Is(err, io.EOF) != (value == io.EOF) || !strings.Contains(err.Error(), "panic") {
				t.Error(err)
			}
		})
		testkit.Eventually(t, "a waiter", func() bool { return testkit.Inside(t, "singleflight.(*seat[") == 1 })
		close(leave)
		testkit.Within(t, led, "the one that led")
		testkit.Within(t, waits, "the one that waited")
		if v, err := groups.Do("key", func() (int, error) { return 2, nil }); v != 2 || err != nil {
			t.Error(v, err)
		}
	}
	if _, ok := singleflight.AsPanicError(nil); ok {
		t.Error("nil is no panic")
	}
}

// xgroup has the shape of golang.org/x/sync/singleflight.Group.
type xgroup struct {
	singleflight.KeyedGroups[string, interface{}]
}

func (g *xgroup) Do(key string, fn func() (interface{}, error)) (v interface{}, err error, shared bool) {
	return g.DoShared(key, fn)
}

func newXGroup() *xgroup {
	g := new(xgroup)
	g.Repanic = true
	return g
}

func TestShapeXSync(t *testing.T) {
	besides()
	g := newXGroup()
	if v, err, shared := g.Do("key", func() (interface{}, error) { return "bar", nil }); v != "bar" || err != nil || shared {
		t.Error(v, err, shared)
	}
	if v, err, _ := g.Do("key", func() (interface{}, error) { return nil, io.EOF }); v != nil || err != io.EOF {
		t.Error(v, err)
	}
	var r singleflight.Result[interface{}] = <-g.DoChan("key", func() (interface{}, error) { return "bar", nil })
	if r.Val != "bar" || r.Err != nil || r.Shared {
		t.Error(r)
	}
	// Who has no time looks at the channel, and at the clock.
	leave := make(chan struct{})
	results := g.DoChan("key", func() (interface{}, error) {
		<-leave
		return "late", nil
	})
	select {
	case r := <-results:
		t.Error(r)
	case <-time.After(time.Millisecond):
	}
	g.Forget("key")
	if v, err, shared := g.Do("key", func() (interface{}, error) { return "anew", nil }); v != "anew" || err != nil || shared {
		t.Error(v, err, shared)
	}
	close(leave)
	if r := <-results; r.Val != "late" || r.Err != nil {
		t.Error(r)
	}
}

func TestShapeXSyncPanics(t *testing.T) {
	besides()
	g := newXGroup()
	var panics, runs atomic.Int32
	meet(t, 50, func(int) {
		defer func() {
			if err, ok := recover().(error); ok && errors.Is(err, io.ErrNoProgress) {
				panics.Add(1)
			}
		}()
		g.Do("key", func() (interface{}, error) {
			slow[any](&runs, nil, nil)()
			panic(io.ErrNoProgress)
		})
	})
	if panics.Load() != 50 || runs.Load() > 25 {
		t.Error(panics.Load(), runs.Load())
	}
}
