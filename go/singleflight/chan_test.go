package singleflight

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"docache/internal/testkit"
)

// receive takes what comes, and looks that nothing comes after it.
func receive[Res any](t *testing.T, results <-chan Result[Res]) Result[Res] {
	t.Helper()
	select {
	case r := <-results:
		select {
		case another, open := <-results:
			t.Errorf("%v after it, %v", another, open)
		default:
		}
		return r
	case <-soon(t).Done():
		t.Fatal("timed out: a result")
		panic("unreachable")
	}
}

func TestDoChanSendsTheResult(t *testing.T) {
	var groups KeyedGroups[string, int]
	failure := errors.New("on purpose")
	for range 3 {
		if r := receive(t, groups.DoChan("a", func() (int, error) { return 1, nil })); r != (Result[int]{1, nil, false}) {
			t.Error(r)
		}
		if r := receive(t, groups.DoChan("b", func() (int, error) { return 2, failure })); r != (Result[int]{2, failure, false}) {
			t.Error(r)
		}
	}
	var group Group[int]
	if r := receive(t, group.DoChan(func() (int, error) { return 3, nil })); r.Val != 3 || r.Err != nil || r.Shared {
		t.Error(r)
	}
}

// Whatever is called after DoChan has returned finds its run.
func TestDoChanTakesItsPlaceBeforeItReturns(t *testing.T) {
	var group Group[int]
	wrong := func() (int, error) { t.Error("ran"); return 0, nil }
	for range 200 {
		leave := make(chan struct{})
		first := group.DoChan(func() (int, error) {
			<-leave
			return 1, nil
		})
		if !group.InFlight() {
			t.Fatal("not in flight")
		}
		second := group.DoChan(wrong)
		close(leave)
		for _, results := range []<-chan Result[int]{first, second} {
			if r := receive(t, results); r != (Result[int]{1, nil, true}) {
				t.Fatal(r)
			}
		}
	}
}

// The caller of DoChan is not inside its run, and may wait for it in any way.
func TestTheCallerOfDoChanMayWait(t *testing.T) {
	var group Group[int]
	leave := make(chan struct{})
	results := group.DoChan(func() (int, error) {
		<-leave
		if _, err := group.Do(func() (int, error) { t.Error("ran"); return 0, nil }); err != ErrReentrant {
			t.Error(err)
		}
		return 1, nil
	})
	async(func() {
		eventually(t, "a waiter", func() bool { return waiting(t) == 1 })
		close(leave)
	})
	if v, err := group.Do(func() (int, error) { return 2, nil }); v != 1 || err != nil {
		t.Error(v, err)
	}
	if r := receive(t, results); r != (Result[int]{1, nil, true}) {
		t.Error(r)
	}
}

func TestDoChanFromInsideARunJoinsIt(t *testing.T) {
	var group Group[int]
	var inner <-chan Result[int]
	v, err := group.Do(func() (int, error) {
		inner = group.DoChan(func() (int, error) { return 2, nil })
		return 1, nil
	})
	if r := receive(t, inner); v != 1 || err != nil || r != (Result[int]{1, nil, true}) {
		t.Error(v, err, r)
	}
}

func TestForgetParts(t *testing.T) {
	var groups KeyedGroups[string, int]
	leave := make(chan struct{})
	work := func(v int) func() (int, error) {
		return func() (int, error) {
			<-leave
			return v, nil
		}
	}
	first := groups.DoChan("key", work(1))
	if !groups.Forget("key") {
		t.Error("not there")
	}
	second := groups.DoChan("key", work(2))
	third := groups.DoChan("key", work(3))
	close(leave)
	a, b, c := receive(t, first), receive(t, second), receive(t, third)
	if a != (Result[int]{1, nil, false}) || b != (Result[int]{2, nil, true}) || c != b {
		t.Error(a, b, c)
	}
}

func TestPanicsReachTheChannels(t *testing.T) {
	var group Group[int]
	leave := make(chan struct{})
	first := group.DoChan(func() (int, error) {
		<-leave
		return explode("text")
	})
	second := group.DoChan(nil)
	close(leave)
	a, b := receive(t, first), receive(t, second)
	p, ok := a.Err.(PanicError)
	if !ok || p.Value != "text" || !strings.Contains(p.Stack, "singleflight.explode") || !a.Shared || a != b {
		t.Error(a, b)
	}
	leave = make(chan struct{})
	first = group.DoChan(func() (int, error) {
		<-leave
		runtime.Goexit()
		return 0, nil
	})
	second = group.DoChan(nil)
	close(leave)
	if a, b := receive(t, first), receive(t, second); a != (Result[int]{0, ErrGoexit, true}) || a != b {
		t.Error(a, b)
	}
}

// A key that cannot be compared panics in the caller, where it can be recovered.
func TestDoChanRefusesKeysThatCannotBeCompared(t *testing.T) {
	var groups KeyedGroups[any, int]
	defer func() {
		if _, ok := recover().(runtime.Error); !ok {
			t.Error("no panic")
		}
	}()
	groups.DoChan([]int{1}, func() (int, error) { return 1, nil })
}

func TestChannelsThatNobodyReceivesFromKeepNothing(t *testing.T) {
	var groups KeyedGroups[int, int]
	for i := range 1000 {
		groups.DoChan(i%3, func() (int, error) { return i, nil })
	}
	eventually(t, "the end of the runs", func() bool { return groups.InFlight() == 0 })
	collect(t, "goroutines", func() bool { return testkit.Inside(t, ").doChan") == 0 })
}

// All ways to call at once: each gets one outcome, of a run of its key.
func TestAllWaysToCallShareRuns(t *testing.T) {
	var groups KeyedGroups[int, int]
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 500 {
				key := rand.IntN(3)
				work := func() (int, error) { runtime.Gosched(); return key, nil }
				var r Result[int]
				switch rand.IntN(3) {
				case 0:
					r.Val, r.Err = groups.Do(key, work)
				case 1:
					r.Val, r.Err, _ = groups.DoShared(key, work)
				default:
					r = receive(t, groups.DoChan(key, work))
				}
				if r.Val != key || r.Err != nil {
					t.Error(key, r)
				}
			}
		}()
	}
	wg.Wait()
}
