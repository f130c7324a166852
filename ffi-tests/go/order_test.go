package stranger

import (
	"slices"
	"testing"
)

// held is everything that one can hold of a loop at once.
type held struct {
	loop     *Loop
	value    *Value
	failure  *Error
	snapshot *Snapshot
	wait     *Wait
	logger   *Logger

	ctxs []uintptr // of the Doer, of its value, of the logger
}

func hold(t *testing.T) *held {
	h := &held{ctxs: []uintptr{0, newCtx(), newCtx()}}
	failed := false
	h.ctxs[0] = register(func(outValue **Value, outError **Error) Status {
		if !failed {
			failed = true
			errorNew(9, "first", outError, nil)
			return doerFailed
		}
		return valueWrap([]byte("second"), h.ctxs[1], outValue, nil)
	})
	// In variables of their own: C may be given the address of a pointer, but not of one among Go
	// pointers.
	var (
		loop     *Loop
		value    *Value
		failure  *Error
		snapshot *Snapshot
		wait     *Wait
		logger   *Logger
	)
	if loggerNew(logFn, h.ctxs[2], 1, &logger, nil) != ok ||
		loopNewNamed(options(4), "order", logger, h.ctxs[0], &loop, nil) != ok {
		t.Fatal("not made")
	}
	start(t, loop, 1)
	refresh(t, loop)
	if loopLatest(loop, &value, nil, nil) != ok || loopLastError(loop, &failure, nil) != ok ||
		loopSnapshot(loop, &snapshot, nil) != ok || loopChangedBegin(loop, 2, &wait, nil) != pending {
		t.Fatal("not held")
	}
	h.loop, h.value, h.failure, h.snapshot, h.wait, h.logger = loop, value, failure, snapshot, wait, logger
	return h
}

// letGo lets go of one of six things, and uses each of the others that it still has.
func (h *held) letGo(t *testing.T, which int) {
	switch which {
	case 0:
		loopFree(h.loop)
		h.loop = nil
	case 1:
		valueRelease(h.value)
		h.value = nil
	case 2:
		errorRelease(h.failure)
		h.failure = nil
	case 3:
		snapshotRelease(h.snapshot)
		h.snapshot = nil
	case 4:
		waitFree(h.wait)
		h.wait = nil
	case 5:
		loggerRelease(h.logger)
		h.logger = nil
	}
	if h.loop != nil && loopVersion(h.loop) != 2 {
		t.Error("loop")
	}
	if h.value != nil && string(valueBytes(h.value)) != "second" {
		t.Error("value")
	}
	if h.failure != nil && (errorCode(h.failure) != 9 || errorMessage(h.failure) != "first") {
		t.Error("error")
	}
	if h.snapshot != nil {
		var n int
		entries := make([]Entry, 2)
		if snapshotRead(h.snapshot, 0, entries, &n, nil) != ok || n != 2 || errorCode(entries[0].error) != 9 ||
			string(valueBytes(entries[1].value)) != "second" {
			t.Error("snapshot")
		}
	}
	if h.wait != nil {
		want := Status(pending)
		if h.loop == nil {
			want = closed
		}
		if got := waitPoll(h.wait, nil, nil); got != want {
			t.Errorf("wait: %s, want %s", statusName(got), statusName(want))
		}
	}
}

func TestFreeInEveryOrder(t *testing.T) {
	orders := 0
	var permute func(rest, order []int)
	permute = func(rest, order []int) {
		if len(rest) == 0 {
			orders++
			h := hold(t)
			for _, which := range order {
				h.letGo(t, which)
			}
			for i, ctx := range h.ctxs {
				if n := drops(ctx); n != 1 {
					t.Fatalf("order %v: ctx %d was dropped %d times", order, i, n)
				}
			}
			return
		}
		for i := range rest {
			permute(slices.Delete(slices.Clone(rest), i, i+1), append(slices.Clone(order), rest[i]))
		}
	}
	permute([]int{0, 1, 2, 3, 4, 5}, nil)
	if orders != 720 {
		t.Errorf("%d orders", orders)
	}
}

func TestNotificationsComeOnceOrNever(t *testing.T) {
	l := loop(t, options(1), number(1))
	var w *Wait
	if status := loopWaitFirstBegin(l, &w, nil); status != pending {
		t.Fatal(statusName(status))
	}
	refused(t, "no function", func(e **Error) Status { return waitOnReady(w, nil, 0, e) })

	cancelled, never := newToken()
	if waitOnReady(w, notifyFn, cancelled, nil) != pending || waitCancel(w) != ok {
		t.Error("a notification was not taken back")
	}
	token, ready := newToken()
	if waitOnReady(w, notifyFn, token, nil) != pending {
		t.Error("no second notification after the first was cancelled")
	}
	refused(t, "two notifications", func(e **Error) Status { return waitOnReady(w, notifyFn, newCtx(), e) })
	if waitPoll(w, nil, nil) != pending {
		t.Error("ready too early")
	}

	loopStart(l, nil)
	<-ready // a second notification would panic
	if waitPoll(w, nil, nil) != ok || waitPoll(w, nil, nil) != ok || waitCancel(w) != pending {
		t.Error("not ready, or not notified")
	}
	waitFree(w)
	select {
	case <-never:
		t.Error("notified after cancel")
	default:
	}
	if status := loopWaitFirstBegin(l, &w, nil); status != ok || w != nil {
		t.Error("a success is there already:", statusName(status))
	}
}

func TestFreeingTheLoopEndsItsWaits(t *testing.T) {
	o := options(1)
	var l *Loop
	loopNew(&o, doerFn, register(number(1)), &l, nil)
	var first, changed, refreshed *Wait
	if loopWaitFirstBegin(l, &first, nil) != pending || loopChangedBegin(l, 0, &changed, nil) != pending ||
		loopRefreshBegin(l, &refreshed, nil) != closed {
		t.Fatal("not begun")
	}
	token, ready := newToken()
	waitOnReady(first, notifyFn, token, nil)
	loopFree(l)
	<-ready
	for _, w := range []*Wait{first, changed} {
		var e *Error
		if status := waitPoll(w, nil, &e); status != closed || e == nil {
			t.Errorf("%s", statusName(status))
		}
		errorRelease(e)
		waitFree(w)
	}
	if refreshed != nil {
		t.Error("a wait for a refresh that cannot come")
	}
}
