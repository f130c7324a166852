package docache

/*
#cgo noescape docache_go_snapshot_fill
#cgo nocallback docache_go_snapshot_fill
#cgo nocallback docache_snapshot_version
#cgo nocallback docache_snapshot_len
#cgo noescape docache_wait_poll
#cgo noescape docache_loop_stats
#cgo nocallback docache_go_drive_begin
#cgo nocallback docache_go_loop_latest
#cgo nocallback docache_value_release
#cgo nocallback docache_loop_snapshot
#cgo nocallback docache_snapshot_release
#cgo noescape docache_go_drive_fail
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"docache/internal/clib"
	"docache/internal/drops"
)

// This file holds every call into the library, so that the rest of the package is plain Go.
//
// Only calls that cannot notify are marked nocallback: what notifies is publishing a result, and
// the end of a run.

// loop owns a docache_loop, which is freed once the loop is unreachable. That, and not an explicit
// free, is what makes the version word safe to read without a lock: whoever holds the word's
// address also holds the loop.
//
// Invariant: a loop that runs is reachable from the goroutine that drives it (drive.loop), so what
// is freed does not run.
type loop struct {
	c     *C.docache_loop
	word  *uint64 // in the library's memory; grows by one with each result
	drops *drops.List
}

func newLoop(s *settings) (*loop, error) {
	if v, ok := clib.ABI(); !ok {
		return nil, &ArgumentError{"library", v, clib.Accepted}
	}
	options := C.docache_loop_options{
		interval_ns:    C.uint64_t(s.interval),
		first_delay_ns: C.uint64_t(s.firstDelay),
		jitter_ns:      C.uint64_t(s.jitter),
		capacity:       C.size_t(s.capacity),
		schedule:       C.DOCACHE_FIXED_DELAY,
	}
	options.size = C.size_t(unsafe.Sizeof(options))
	if s.fixedRate {
		options.schedule = C.DOCACHE_FIXED_RATE
	}
	if s.name != "" {
		options.name = C.CString(s.name)
		options.name_len = C.size_t(len(s.name))
		defer C.free(unsafe.Pointer(options.name))
	}
	var c *C.docache_loop
	var failure *C.docache_error
	if status := C.docache_loop_new(&options, nil, 0, nil, &c, &failure); status != C.DOCACHE_OK {
		return nil, takeError(status, failure)
	}
	dropped := drops.New()
	if dropped == nil {
		C.docache_loop_free(c)
		return nil, &LibraryError{int(C.DOCACHE_INTERNAL), "out of memory"}
	}
	l := &loop{c: c, word: (*uint64)(unsafe.Pointer(C.docache_loop_version_word(c))), drops: dropped}
	liveLoops.Add(1)
	runtime.AddCleanup(l, freeLoop, c)
	return l, nil
}

// liveLoops are those that have not been freed.
var liveLoops atomic.Int64

// freeLoop does not block, since the loop does not run.
func freeLoop(c *C.docache_loop) {
	C.docache_loop_free(c)
	liveLoops.Add(-1)
}

// version is the number of results published so far.
func (l *loop) version() uint64 {
	v := atomic.LoadUint64(l.word)
	runtime.KeepAlive(l)
	return v
}

// drive is a run, as the library sees it. One goroutine at a time uses it, and frees it, which ends
// the run.
type drive struct {
	c    *C.docache_drive
	loop *loop
}

func (l *loop) drive() (*drive, error) {
	d := &drive{loop: l}
	var failure *C.docache_error
	if status := C.docache_loop_drive(l.c, &d.c, &failure); status != C.DOCACHE_OK {
		return nil, takeError(status, failure)
	}
	return d, nil
}

// step is what a drive has to do next.
type step struct {
	what next
	wait time.Duration // for nextWait
	// The ids of results that nobody can see any more: the first so many.
	dropped int
	ids     [C.DOCACHE_GO_DROPS]uint64
}

type next int

const (
	nextCall next = iota // which has begun: succeed or fail has to follow
	nextWait
	nextStop
)

// drops are valid until free, which keeps the loop alive.
func (d *drive) drops() *C.docache_go_drops { return (*C.docache_go_drops)(d.loop.drops.C()) }

// begin begins a call if one is due.
func (d *drive) begin() step { return stepOf(C.docache_go_drive_begin(d.c, d.drops())) }

// succeed ends a call with the result of that id, and says what is next.
func (d *drive) succeed(id uint64) step {
	return stepOf(C.docache_go_drive_succeed(d.c, d.drops(), C.uint64_t(id)))
}

// fail ends a call with the failure of that id, and says what is next.
func (d *drive) fail(id uint64, f failure) step {
	message := strings.ToValidUTF8(f.message, "\uFFFD")
	status := C.docache_status(C.DOCACHE_DOER_FAILED)
	if f.panicked {
		status = C.DOCACHE_PANIC
	}
	text := (*C.char)(unsafe.Pointer(unsafe.StringData(message)))
	length := C.size_t(len(message))
	return stepOf(C.docache_go_drive_fail(d.c, d.drops(), status, C.uint64_t(id), text, length))
}

func stepOf(n C.docache_go_next) step {
	s := step{dropped: int(n.dropped)}
	for i := range n.dropped {
		s.ids[i] = uint64(n.ids[i])
	}
	switch n.status {
	case C.DOCACHE_OK:
		s.what = nextCall
	case C.DOCACHE_PENDING:
		s.what, s.wait = nextWait, time.Duration(min(uint64(n.wait_ns), math.MaxInt64))
	case C.DOCACHE_CLOSED:
		s.what = nextStop
	default:
		panic(takeError(n.status, nil)) // the library refused its own handle
	}
	return s
}

func (d *drive) free() {
	C.docache_drive_free(d.c)
	runtime.KeepAlive(d.loop)
}

// askToStop returns at once; the drive learns of it when it asks what is next.
func (l *loop) askToStop() {
	C.docache_go_loop_ask_to_stop(l.c)
	runtime.KeepAlive(l)
}

// latest is the id of the last success, 0 if there was none, and a function that the caller calls
// after its look-up: until then the result stays in the worker's table.
func (l *loop) latest() (id uint64, release func()) {
	defer runtime.KeepAlive(l)
	found := C.docache_go_loop_latest(l.c)
	return uint64(found.id), func() { C.docache_value_release(found.value) }
}

func (l *loop) stats() (Stats, error) {
	defer runtime.KeepAlive(l)
	var s C.docache_loop_counters
	s.size = C.size_t(unsafe.Sizeof(s))
	if status := C.docache_loop_stats(l.c, &s, nil); status != C.DOCACHE_OK {
		return Stats{}, takeError(status, nil)
	}
	return Stats{
		Calls:               uint64(s.calls),
		Failures:            uint64(s.failures),
		ConsecutiveFailures: uint64(s.consecutive_failures),
		SkippedTicks:        uint64(s.skipped_ticks),
		LastDuration:        time.Duration(s.last_duration_ns),
		LastLateness:        time.Duration(s.last_lateness_ns),
		MaxLateness:         time.Duration(s.max_lateness_ns),
		Running:             s.running != 0,
	}, nil
}

// snapshot is an immutable view of the history. It must be released.
type snapshot struct{ c *C.docache_snapshot }

func (l *loop) snapshot() (snapshot, error) {
	defer runtime.KeepAlive(l)
	var s snapshot
	var failure *C.docache_error
	if status := C.docache_loop_snapshot(l.c, &s.c, &failure); status != C.DOCACHE_OK {
		return s, takeError(status, failure)
	}
	return s, nil
}

func (s snapshot) release()        { C.docache_snapshot_release(s.c) }
func (s snapshot) len() int        { return int(C.docache_snapshot_len(s.c)) }
func (s snapshot) version() uint64 { return uint64(C.docache_snapshot_version(s.c)) }

// each calls visit for the entries from first on, oldest first, crossing the boundary once for many
// entries. foreign is set, and id 0, for what the library recorded without a Go result.
func (s snapshot) each(first, count int, visit func(id uint64, foreign *foreignEntry)) error {
	var slots [64]C.docache_go_slot
	for count > 0 {
		n := min(count, len(slots))
		if status := C.docache_go_snapshot_fill(s.c, C.size_t(first), &slots[0], C.size_t(n)); status != C.DOCACHE_OK {
			return takeError(status, nil)
		}
		for i := range slots[:n] {
			slot := &slots[i]
			if slot.id != 0 {
				visit(uint64(slot.id), nil)
				continue
			}
			kept := C.docache_error_retain(slot.error)
			err := takeError(C.docache_error_status(kept), kept)
			visit(0, &foreignEntry{time.Unix(0, int64(slot.timestamp_ns)), err})
		}
		first += n
		count -= n
	}
	return nil
}

// foreignEntry is a failure of the library itself, such as running out of memory between a Doer and
// its entry.
type foreignEntry struct {
	timestamp time.Time
	err       error
}

// takeError turns a status and the error that came with it, if any, into a Go error, and releases
// the latter.
func takeError(status C.docache_status, e *C.docache_error) error {
	return &LibraryError{Status: int(status), Message: clib.TakeMessage(unsafe.Pointer(e))}
}
