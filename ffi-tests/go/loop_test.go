package stranger

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

func itoa(n int) string { return strconv.Itoa(n) }

// number is a Doer that returns first, first+1, ... as 8 bytes.
func number(first uint64) Doer {
	next := first
	return func(outValue **Value, _ **Error) Status {
		status := valueNew(binary.LittleEndian.AppendUint64(nil, next), outValue, nil)
		next++
		return status
	}
}

// loop makes a loop that is freed when the test ends, and whose ctx was then dropped once.
func loop(t *testing.T, o Options, doer Doer) *Loop {
	t.Helper()
	var l *Loop
	var e *Error
	ctx := register(doer)
	if status := loopNew(&o, doerFn, ctx, &l, &e); status != ok {
		t.Fatal(errorMessage(e))
	}
	t.Cleanup(func() {
		loopFree(l)
		if n := drops(ctx); n != 1 {
			t.Errorf("the Doer's ctx was dropped %d times", n)
		}
	})
	return l
}

// await waits for a wait handle, and says what it came to.
func await(t *testing.T, w *Wait) (Status, uint64) {
	t.Helper()
	token, ready := newToken()
	if waitOnReady(w, notifyFn, token, nil) == pending {
		select {
		case <-ready:
		case <-time.After(30 * time.Second):
			t.Fatal("never notified")
		}
	}
	var version uint64
	status := waitPoll(w, &version, nil)
	waitFree(w)
	return status, version
}

// begun awaits what was begun, unless it ended at once.
func begun(t *testing.T, begin func(out **Wait, e **Error) Status) Status {
	t.Helper()
	var w *Wait
	status := begin(&w, nil)
	if status == pending {
		status, _ = await(t, w)
	}
	return status
}

func start(t *testing.T, l *Loop, version uint64) {
	t.Helper()
	if status := loopStart(l, nil); status != ok {
		t.Fatal(statusName(status))
	}
	status := begun(t, func(out **Wait, e **Error) Status { return loopChangedBegin(l, version-1, out, e) })
	if status != ok || loopVersion(l) < version {
		t.Fatal(statusName(status), loopVersion(l))
	}
}

func stop(t *testing.T, l *Loop) {
	t.Helper()
	status := begun(t, func(out **Wait, e **Error) Status { return loopStopBegin(l, out, e) })
	if status != ok || loopIsRunning(l) {
		t.Fatal(statusName(status), loopIsRunning(l))
	}
}

func refresh(t *testing.T, l *Loop) {
	t.Helper()
	if status := begun(t, func(out **Wait, e **Error) Status { return loopRefreshBegin(l, out, e) }); status != ok {
		t.Fatal(statusName(status))
	}
}

func latest(t *testing.T, l *Loop) uint64 {
	t.Helper()
	b, n := make([]byte, 8), 0
	if status := loopLatestCopy(l, b, &n, nil); status != ok || n != 8 {
		t.Fatal(statusName(status), n)
	}
	return binary.LittleEndian.Uint64(b)
}

func TestReadWhileItRuns(t *testing.T) {
	o := options(4)
	o.interval_ns = 20_000
	l := loop(t, o, number(1))
	var v *Value
	var n int
	if loopLatest(l, &v, nil, nil) != miss || v != nil || loopLatestCopy(l, nil, &n, nil) != miss {
		t.Error("a latest before the first call")
	}
	for round := range 3 {
		start(t, l, loopVersion(l)+1)
		var readers sync.WaitGroup
		for range 4 {
			readers.Add(1)
			go func() {
				defer readers.Done()
				read(t, l, 500)
			}()
		}
		readers.Wait()
		stop(t, l)
		if got := latest(t, l); got != loopVersion(l) {
			t.Errorf("round %d: latest %d at version %d", round, got, loopVersion(l))
		}
	}
}

// read checks that neither the latest nor the history goes back or has holes.
func read(t *testing.T, l *Loop, times int) {
	word := loopWord(l)
	entries := make([]Entry, 8)
	for range times {
		before := word()
		var v *Value
		var entry Entry
		if status := loopLatest(l, &v, &entry, nil); status != ok {
			t.Error(statusName(status))
			return
		}
		if got := binary.LittleEndian.Uint64(valueBytes(v)); got != uint64(entry.sequence) || got < before {
			t.Errorf("value %d, sequence %d, version before %d", got, entry.sequence, before)
		}
		valueRelease(v)

		var s *Snapshot
		var n int
		if loopSnapshot(l, &s, nil) != ok || snapshotRead(s, 0, entries, &n, nil) != ok || n != snapshotLen(s) || n > 4 {
			t.Errorf("a snapshot of %d entries", n)
			return
		}
		for i, entry := range entries[:n] {
			if uint64(entry.sequence) != snapshotVersion(s)-uint64(n-1-i) || entry.status != ok || entry.error != nil ||
				binary.LittleEndian.Uint64(valueBytes(entry.value)) != uint64(entry.sequence) || entry.timestamp_ns == 0 {
				t.Errorf("entry %d of %d: %+v", i, n, entry)
			}
		}
		snapshotRelease(s)
	}
}

func TestRestart(t *testing.T) {
	l := loop(t, options(10), number(1))
	for round := uint64(1); round <= 20; round++ {
		start(t, l, round)
		if status := loopStart(l, nil); status != ok {
			t.Error("a second start:", statusName(status))
		}
		if round%2 == 0 {
			stop(t, l)
		} else if status := loopStop(l, forever, nil); status != ok {
			t.Error(statusName(status))
		}
		if got := latest(t, l); got != round || loopIsRunning(l) {
			t.Fatalf("round %d: latest %d", round, got)
		}
	}
	if status := loopStop(l, 0, nil); status != ok {
		t.Error("a stop of a stopped loop:", statusName(status))
	}
}

func TestFailures(t *testing.T) {
	calls := 0
	l := loop(t, options(10), func(outValue **Value, outError **Error) Status {
		calls++
		switch calls {
		case 1:
			errorNew(4711, "out of order", outError, nil)
			return doerFailed
		case 2:
			panic("no paper")
		case 3:
			return ok // but no value
		case 4:
			return -12345 // but no error
		case 5:
			// Both: the value must be released.
			valueNew([]byte("unwanted"), outValue, nil)
			errorNew(5, "and an error", outError, nil)
			return doerFailed
		}
		return valueNew([]byte("fine"), outValue, nil)
	})
	start(t, l, 1)
	for range 5 {
		refresh(t, l)
	}
	var s *Snapshot
	var n int
	entries := make([]Entry, 10)
	if loopSnapshot(l, &s, nil) != ok || snapshotRead(s, 0, entries, &n, nil) != ok || n != 6 {
		t.Fatal(n)
	}
	defer snapshotRelease(s)
	for i, want := range []struct {
		code    int64
		message string
	}{{4711, "out of order"}, {-1, "panic: no paper"}, {0, "without a value"}, {0, "-12345"}, {5, "and an error"}} {
		entry := entries[i]
		if entry.value != nil || entry.status == ok || errorCode(entry.error) != want.code ||
			!strings.Contains(errorMessage(entry.error), want.message) {
			t.Errorf("entry %d: %s, %d, %q", i, statusName(entry.status), errorCode(entry.error), errorMessage(entry.error))
		}
	}
	if string(valueBytes(entries[5].value)) != "fine" || entries[5].error != nil {
		t.Errorf("entry 5: %q", valueBytes(entries[5].value))
	}
	var last *Error
	if status := loopLastError(l, &last, nil); status != ok || errorCode(last) != 5 {
		t.Errorf("last error: %s, %q", statusName(status), errorMessage(last))
	}
	errorRelease(last)
}

func TestBufferTooSmall(t *testing.T) {
	l := loop(t, options(0), number(1))
	start(t, l, 1)
	var n int
	var e *Error
	if status := loopLatestCopy(l, make([]byte, 7), &n, &e); status != bufferTooSmall || n != 8 {
		t.Errorf("%s, %d", statusName(status), n)
	}
	errorRelease(e)
	if status := loopLatestCopy(l, nil, &n, nil); status != bufferTooSmall || n != 8 {
		t.Errorf("%s, %d", statusName(status), n)
	}
}

func TestSnapshotsAreReadInParts(t *testing.T) {
	l := loop(t, options(5), number(1))
	start(t, l, 1)
	for range 9 {
		refresh(t, l)
	}
	var s *Snapshot
	loopSnapshot(l, &s, nil)
	defer snapshotRelease(s)
	for first := 0; first <= 5; first++ {
		for room := range 7 {
			n := -1
			entries := make([]Entry, room)
			status := snapshotRead(s, first, entries, &n, nil)
			if want := min(room, 5-first); status != ok || n != want {
				t.Errorf("from %d, room for %d: %s, %d", first, room, statusName(status), n)
			} else if n > 0 && int(entries[0].sequence) != 6+first {
				t.Errorf("from %d: sequence %d", first, entries[0].sequence)
			}
		}
	}
	var n int
	refused(t, "from beyond the end", func(e **Error) Status { return snapshotRead(s, 6, nil, &n, e) })
}

func TestStopFromInsideAndWithALimit(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var l *Loop
	var inside []Status
	l = loop(t, options(1), func(outValue **Value, outError **Error) Status {
		var version uint64
		// On the loop's own thread, so that the library sees who is calling.
		inside = append(inside, loopRefresh(l, forever, &version, nil), loopStop(l, forever, nil))
		entered <- struct{}{}
		<-leave
		return valueNew([]byte("done"), outValue, nil)
	})
	loopStart(l, nil)
	<-entered
	if status := loopStop(l, 1, nil); status != timedOut {
		t.Error(statusName(status))
	}
	leave <- struct{}{}
	if status := loopStop(l, forever, nil); status != ok || loopIsRunning(l) || loopVersion(l) != 1 {
		t.Error(statusName(status), loopIsRunning(l), loopVersion(l))
	}
	if inside[0] != reentrant || inside[1] != ok {
		t.Error(statusName(inside[0]), statusName(inside[1]))
	}
}

func TestRunOnTheCallersThread(t *testing.T) {
	l := loop(t, options(1), number(1))
	returned := make(chan Status)
	go func() { returned <- loopRun(l, nil) }()
	if status := loopWaitFirst(l, forever, nil); status != ok {
		t.Error(statusName(status))
	}
	var e *Error
	if status := loopRun(l, &e); status != busy || e == nil {
		t.Error("a second run:", statusName(status))
	}
	errorRelease(e)
	stop(t, l)
	if status := <-returned; status != ok {
		t.Error(statusName(status))
	}
}

func TestStatsOfOtherSizes(t *testing.T) {
	l := loop(t, options(1), number(1))
	start(t, l, 1)
	var stats Stats
	statsSize(&stats, 16)
	if status := loopStats(l, &stats, nil); status != invalidArgument || stats.calls != 0 {
		t.Errorf("a struct cut short: %s, %+v", statusName(status), stats)
	}
	longer := struct {
		known Stats
		tail  [16]byte
	}{tail: [16]byte{3: 1}}
	statsSize(&longer.known, int(unsafe.Sizeof(longer)))
	status := loopStats(l, &longer.known, nil)
	if status != ok || longer.known.calls != 1 || longer.known.running != 1 || longer.tail != [16]byte{} {
		t.Errorf("a newer, longer struct: %s, %+v", statusName(status), longer)
	}
}

func TestTheLogger(t *testing.T) {
	ctx := newCtx()
	var logger *Logger
	if status := loggerNew(logFn, ctx, 5, &logger, nil); status != ok {
		t.Fatal(statusName(status))
	}
	var l *Loop
	if status := loopNewNamed(options(1), "meter", logger, register(number(1)), &l, nil); status != ok {
		t.Fatal(statusName(status))
	}
	loggerRelease(logger) // the loop has a share of its own
	start(t, l, 1)
	stop(t, l)
	if drops(ctx) != 0 || len(logs(ctx)) == 0 {
		t.Errorf("dropped %d times, %q", drops(ctx), logs(ctx))
	}
	loopFree(l)
	if n := drops(ctx); n != 1 {
		t.Errorf("dropped %d times", n)
	}
}

func TestWrappedValuesAreDroppedOnce(t *testing.T) {
	var made []uintptr
	l := loop(t, options(2), func(outValue **Value, _ **Error) Status {
		ctx := newCtx()
		made = append(made, ctx)
		return valueWrap([]byte("wrapped"), ctx, outValue, nil)
	})
	start(t, l, 1)
	var v *Value
	if loopLatest(l, &v, nil, nil) != ok {
		t.Fatal("no latest")
	}
	for range 4 {
		refresh(t, l)
	}
	if drops(made[0]) != 0 || string(valueBytes(v)) != "wrapped" {
		t.Error("a value was dropped that is still in use")
	}
	valueRelease(valueRetain(v))
	valueRelease(v)
	stop(t, l)
	for i, want := range []int{1, 1, 1, 0, 0} {
		if n := drops(made[i]); n != want {
			t.Errorf("value %d was dropped %d times, want %d", i, n, want)
		}
	}
	ctx := newCtx()
	refused(t, "no place", func(e **Error) Status {
		ctx = newCtx()
		return valueWrap([]byte("x"), ctx, nil, e)
	})
	if n := drops(ctx); n != 1 {
		t.Errorf("a refused value was dropped %d times", n)
	}
}

func TestManyCycles(t *testing.T) {
	var calls atomic.Int64
	for range 500 {
		var l *Loop
		o := options(2)
		ctx := register(func(outValue **Value, _ **Error) Status {
			calls.Add(1)
			return valueNew([]byte("x"), outValue, nil)
		})
		if status := loopNew(&o, doerFn, ctx, &l, nil); status != ok {
			t.Fatal(statusName(status))
		}
		start(t, l, 1)
		loopFree(l) // stops it first
		if drops(ctx) != 1 || inDoer.Load() != 0 {
			t.Fatalf("dropped %d times, %d calls under way", drops(ctx), inDoer.Load())
		}
	}
	if calls.Load() != 500 {
		t.Errorf("%d calls", calls.Load())
	}
}
