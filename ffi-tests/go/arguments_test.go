package stranger

import (
	"strings"
	"testing"
	"unsafe"
)

// refused checks that a call said INVALID_ARGUMENT, and why.
func refused(t *testing.T, what string, call func(outError **Error) Status) {
	t.Helper()
	var e *Error
	if got := call(&e); got != invalidArgument {
		t.Errorf("%s: %s", what, statusName(got))
	}
	if e == nil {
		t.Errorf("%s: no error", what)
		return
	}
	m, status, code := errorMessage(e), errorStatus(e), errorCode(e)
	if !strings.Contains(m, "not accepted") || status != invalidArgument || code != 0 {
		t.Errorf("%s: %q, %s, %d", what, m, statusName(status), code)
	}
	errorRelease(e)
	if got := call(nil); got != invalidArgument {
		t.Errorf("%s, with nowhere to put the error: %s", what, statusName(got))
	}
}

func TestVersions(t *testing.T) {
	if linked, header := abiVersion(); linked != header {
		t.Errorf("ABI %d, header %d", linked, header)
	}
	linked, major, minor, patch := version()
	if want := strings.Join([]string{itoa(major), itoa(minor), itoa(patch)}, "."); linked != want {
		t.Errorf("library %s, header %s", linked, want)
	}
	for status, name := range map[Status]string{ok: "OK", miss: "MISS", pending: "PENDING", closed: "CLOSED",
		invalidArgument: "INVALID_ARGUMENT", panicked: "PANIC", 4711: "UNKNOWN", -4711: "UNKNOWN"} {
		if got := statusName(status); got != name {
			t.Errorf("status %d: %s, want %s", status, got, name)
		}
	}
}

func TestNullHandlesAreRefused(t *testing.T) {
	var n int
	var u uint64
	var e *Error
	var v *Value
	var s *Snapshot
	var w *Wait
	var stats Stats
	statsSize(&stats, int(unsafe.Sizeof(stats)))
	for what, call := range map[string]func(**Error) Status{
		"start":            func(e **Error) Status { return loopStart(nil, e) },
		"run":              func(e **Error) Status { return loopRun(nil, e) },
		"stop":             func(e **Error) Status { return loopStop(nil, 0, e) },
		"latest":           func(e **Error) Status { return loopLatest(nil, &v, nil, e) },
		"latest_copy":      func(e **Error) Status { return loopLatestCopy(nil, nil, &n, e) },
		"snapshot":         func(e **Error) Status { return loopSnapshot(nil, &s, e) },
		"snapshot_read":    func(e **Error) Status { return snapshotRead(nil, 0, nil, &n, e) },
		"stats":            func(e **Error) Status { return loopStats(nil, &stats, e) },
		"last_error":       func(out **Error) Status { return loopLastError(nil, &e, out) },
		"wait_first":       func(e **Error) Status { return loopWaitFirst(nil, 0, e) },
		"changed":          func(e **Error) Status { return loopChanged(nil, 0, 0, &u, e) },
		"refresh":          func(e **Error) Status { return loopRefresh(nil, 0, &u, e) },
		"wait_first_begin": func(e **Error) Status { return loopWaitFirstBegin(nil, &w, e) },
		"changed_begin":    func(e **Error) Status { return loopChangedBegin(nil, 0, &w, e) },
		"refresh_begin":    func(e **Error) Status { return loopRefreshBegin(nil, &w, e) },
		"stop_begin":       func(e **Error) Status { return loopStopBegin(nil, &w, e) },
		"on_ready":         func(e **Error) Status { return waitOnReady(nil, notifyFn, 0, e) },
		"poll":             func(e **Error) Status { return waitPoll(nil, &u, e) },
	} {
		refused(t, what, call)
	}
	if v != nil || s != nil || w != nil || e != nil || u != 0 {
		t.Error("an output was written")
	}
	if waitCancel(nil) != invalidArgument {
		t.Error("wait_cancel(NULL)")
	}
	if loopIsRunning(nil) || loopVersion(nil) != 0 || loopWord(nil) != nil {
		t.Error("a NULL loop runs, or has a version")
	}
}

func TestNullIsNothingToGiveBack(t *testing.T) {
	valueRelease(valueRetain(nil))
	errorRelease(errorRetain(nil))
	loggerRelease(loggerRetain(nil))
	snapshotRelease(snapshotRetain(nil))
	loopFree(nil)
	waitFree(nil)
	if len(valueBytes(nil)) != 0 || errorMessage(nil) != "" || errorCode(nil) != 0 || errorStatus(nil) != ok ||
		snapshotLen(nil) != 0 || snapshotVersion(nil) != 0 {
		t.Error("NULL has contents")
	}
}

func TestNowhereToPutTheResult(t *testing.T) {
	l := loop(t, options(1), number(1))
	for what, call := range map[string]func(**Error) Status{
		"value_new":          func(e **Error) Status { return valueNew([]byte("x"), nil, e) },
		"value from NULL":    func(e **Error) Status { var v *Value; return valueNewFromNothing(1, &v, e) },
		"error_new":          func(e **Error) Status { return errorNew(1, "x", nil, e) },
		"latest":             func(e **Error) Status { return loopLatest(l, nil, nil, e) },
		"snapshot":           func(e **Error) Status { return loopSnapshot(l, nil, e) },
		"stats":              func(e **Error) Status { return loopStats(l, nil, e) },
		"stats without size": func(e **Error) Status { return loopStats(l, new(Stats), e) },
		"last_error":         func(e **Error) Status { return loopLastError(l, nil, e) },
		"wait_first_begin":   func(e **Error) Status { return loopWaitFirstBegin(l, nil, e) },
		"changed_begin":      func(e **Error) Status { return loopChangedBegin(l, 0, nil, e) },
		"stop_begin":         func(e **Error) Status { return loopStopBegin(l, nil, e) },
	} {
		refused(t, what, call)
	}
}

func TestValuesOfNoBytes(t *testing.T) {
	var v *Value
	for _, make := range []func() Status{
		func() Status { return valueNew(nil, &v, nil) },
		func() Status { return valueNew([]byte{}, &v, nil) },
		func() Status { return valueNewFromNothing(0, &v, nil) },
	} {
		if status := make(); status != ok || len(valueBytes(v)) != 0 {
			t.Errorf("%s, %v", statusName(status), valueBytes(v))
		}
		valueRelease(v)
	}
	var e *Error
	if status := errorNew(-7, "", &e, nil); status != ok || errorMessage(e) != "" || errorCode(e) != -7 {
		t.Errorf("%s, %q", statusName(status), errorMessage(e))
	}
	errorRelease(e)
}

// TestOptionsAreChecked: whatever is wrong, nothing is made, and the ctx is dropped exactly once.
func TestOptionsAreChecked(t *testing.T) {
	bad, free := longer(16, 1)
	defer free()
	good := options(1)
	with := func(change func(o *Options)) *Options {
		o := options(1)
		change(&o)
		return &o
	}
	var keep *Loop
	for what, test := range map[string]struct {
		options *Options
		out     **Loop
	}{
		"no options":       {nil, &keep},
		"no place":         {&good, nil},
		"size 0":           {with(func(o *Options) { o.size = 0 }), &keep},
		"size 8":           {with(func(o *Options) { o.size = 8 }), &keep},
		"size huge":        {with(func(o *Options) { o.size = 1 << 62 }), &keep},
		"interval 0":       {with(func(o *Options) { o.interval_ns = 0 }), &keep},
		"schedule unknown": {with(func(o *Options) { o.schedule = 77 }), &keep},
		"reserved":         {with(func(o *Options) { o.reserved = 1 }), &keep},
		"unknown tail":     {bad, &keep},
	} {
		var ctxs []uintptr
		refused(t, what, func(e **Error) Status {
			ctx := register(number(1))
			ctxs = append(ctxs, ctx)
			return loopNew(test.options, doerFn, ctx, test.out, e)
		})
		for _, ctx := range ctxs {
			if n := drops(ctx); n != 1 {
				t.Errorf("%s: dropped %d times", what, n)
			}
		}
		if keep != nil {
			t.Fatalf("%s: a loop was made", what)
		}
	}
	for _, name := range []string{"bad \xff bytes", "\x80"} {
		ctx := register(number(1))
		refused(t, name, func(e **Error) Status { return loopNewNamed(options(1), name, nil, ctx, &keep, e) })
	}
}

func TestALongerStructOfZeroesIsFine(t *testing.T) {
	o, free := longer(64, 0)
	defer free()
	var l *Loop
	ctx := register(number(1))
	if status := loopNew(o, doerFn, ctx, &l, nil); status != ok {
		t.Fatal(statusName(status))
	}
	loopFree(l)
	if n := drops(ctx); n != 1 {
		t.Errorf("dropped %d times", n)
	}
}

func TestLoggersAreChecked(t *testing.T) {
	var out *Logger
	refused(t, "no function", func(e **Error) Status { return loggerNew(nil, newCtx(), 3, &out, e) })
	refused(t, "level 0", func(e **Error) Status { return loggerNew(logFn, newCtx(), 0, &out, e) })
	refused(t, "level 6", func(e **Error) Status { return loggerNew(logFn, newCtx(), 6, &out, e) })
	refused(t, "no place", func(e **Error) Status { return loggerNew(logFn, newCtx(), 3, nil, e) })
	ctx := newCtx()
	loggerNew(nil, ctx, 3, &out, nil)
	if out != nil || drops(ctx) != 1 {
		t.Errorf("%v, dropped %d times", out, drops(ctx))
	}
}
