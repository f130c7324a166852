package cache

/*
#cgo noescape docache_go_cache_copy
#cgo nocallback docache_go_cache_copy
#cgo noescape docache_cache_contains
#cgo nocallback docache_cache_contains
#cgo noescape docache_go_cache_set
#cgo nocallback docache_go_cache_set
#cgo noescape docache_cache_remove
#cgo nocallback docache_cache_remove
#cgo nocallback docache_cache_clear
#cgo noescape docache_cache_purge_expired
#cgo nocallback docache_cache_purge_expired
#cgo nocallback docache_cache_flush
#cgo nocallback docache_cache_len
#cgo nocallback docache_call_cancel
#cgo nocallback docache_value_release
#cgo noescape docache_go_cache_find
#cgo nocallback docache_go_cache_find
#cgo noescape docache_go_cache_set_ticket
#cgo nocallback docache_go_cache_set_ticket
#cgo noescape docache_go_cache_set_tickets
#cgo nocallback docache_go_cache_set_tickets
#cgo noescape docache_go_cache_set_all
#cgo nocallback docache_go_cache_set_all
#cgo noescape docache_go_cache_find_all
#cgo nocallback docache_go_cache_find_all
#cgo noescape docache_go_cache_remove_all
#cgo nocallback docache_go_cache_remove_all
#cgo noescape docache_go_cache_let_go
#cgo nocallback docache_go_cache_let_go
#cgo noescape docache_go_cache_begin
#cgo nocallback docache_go_cache_begin
#cgo nocallback docache_go_cache_look
#cgo noescape docache_go_cache_land
#cgo nocallback docache_go_cache_land
#cgo nocallback docache_go_cache_land_ticket
#cgo nocallback docache_go_cache_fail
#cgo nocallback docache_go_cache_leave
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"docache"
	"docache/internal/clib"
)

// This file holds every call into the library, so that the rest of the package is plain Go.
//
// The library never calls into Go: bridge.c puts down what it calls back for, and Go looks there.
// So all calls are marked nocallback, and no goroutine is ever inside a callback.
//
// Keys and values go in and out as strings that may be views of other memory; see viewOf.

// table owns a docache_cache, which is freed once the table is unreachable. That, and not an
// explicit free, is what makes it safe to read without a lock while somebody closes the cache.
type table struct {
	c            *C.docache_cache
	closed       atomic.Bool
	keepsExpired bool // and reads return it
	countsReads  bool
	begins       atomic.Uint64 // loads begun or joined, each after a miss that was counted, if reads are counted
}

func newTable(config *Config) (*table, error) {
	if v, ok := clib.ABI(); !ok {
		return nil, &docache.ArgumentError{Name: "library", Value: v, Accepted: clib.Accepted}
	}
	options := C.docache_cache_options{
		time_to_live_ns:   C.uint64_t(everOr(config.DefaultTTL)),
		sweep_interval_ns: C.uint64_t(everOr(config.CleanupInterval)),
		capacity:          C.uint64_t(config.Capacity),
		max_weight:        C.uint64_t(config.MaxBytes),
		policy:            C.uint32_t(config.Policy),
		jitter_permille:   C.uint32_t(config.TTLJitter*1000 + 0.5),
	}
	options.size = C.size_t(unsafe.Sizeof(options))
	if config.CountReads {
		options.flags |= C.DOCACHE_CACHE_RECORD_STATS
	}
	if config.ExpireOnCleanupOnly {
		options.flags |= C.DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY
	}
	t := &table{keepsExpired: config.ExpireOnCleanupOnly, countsReads: config.CountReads}
	var failure *C.docache_error
	if status := C.docache_cache_new(&options, nil, 0, nil, &t.c, &failure); status != C.DOCACHE_OK {
		return nil, takeError(status, failure)
	}
	runtime.AddCleanup(t, func(c *C.docache_cache) { C.docache_cache_free(c) }, t.c)
	return t, nil
}

// handle is for the calls that are worth it; see bridge.h.
func (t *table) handle() C.docache_go_cache_handle {
	return C.docache_go_cache_handle(uintptr(unsafe.Pointer(t.c)))
}

// everOr turns NoTTL and NoCleanup into the library's word for it.
func everOr(d time.Duration) uint64 {
	if d < 0 {
		return C.DOCACHE_NEVER
	}
	return uint64(d)
}

func takeError(status C.docache_status, e *C.docache_error) error {
	return &docache.LibraryError{Status: int(status), Message: clib.TakeMessage(unsafe.Pointer(e))}
}

// refused is why a value was not taken in.
func refused(status C.docache_status, e *C.docache_error) error {
	err := takeError(status, e)
	if status == C.DOCACHE_INVALID_ARGUMENT {
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// unexpected is what the library says if it is out of memory, or was used as this package never
// does.
func unexpected(what string, status C.docache_status) error {
	return &docache.LibraryError{Status: int(status), Message: "it did not give " + what}
}

func start(s string) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.StringData(s))) }

// copy copies the key's value to where there is room for it, and tells how long it is. If that is
// more than room, nothing was copied.
func (t *table) copy(key string, to unsafe.Pointer, room int) (n int, err error) {
	if t.closed.Load() {
		return 0, ErrClosed
	}
	length := C.docache_go_cache_copy(t.handle(), start(key), C.size_t(len(key)), (*C.uint8_t)(to), C.size_t(room))
	runtime.KeepAlive(t)
	switch {
	case length >= 0:
		return int(length), nil
	case length == C.DOCACHE_GO_CACHE_MISS:
		return 0, ErrNotFound
	}
	return 0, unexpected("a value", C.docache_status(length))
}

// found is a share of a value, and its bytes.
type found struct{ c C.docache_go_cache_found }

// bytes are valid until the share is given back, and must not be changed.
func (f found) bytes() []byte { return unsafe.Slice((*byte)(f.c.data), int(f.c.len)) }

// id is for values that stand for one of Go's.
func (f found) id() uint64 { return *(*uint64)(unsafe.Pointer(f.c.data)) }

func (f found) there() bool { return f.c.value != nil }

func (f found) release() { C.docache_value_release(f.c.value) }

// id is the id of the key's value.
func (t *table) id(key string) (id uint64, err error) {
	_, err = t.copy(key, unsafe.Pointer(&id), int(unsafe.Sizeof(id)))
	return id, err
}

// find gives a share of the key's value.
func (t *table) find(key string) (found, error) {
	if t.closed.Load() {
		return found{}, ErrClosed
	}
	f := found{C.docache_go_cache_find(t.handle(), start(key), C.size_t(len(key)))}
	runtime.KeepAlive(t)
	if !f.there() {
		return f, ErrNotFound
	}
	return f, nil
}

func (t *table) has(key string) bool {
	defer runtime.KeepAlive(t)
	return !t.closed.Load() && C.docache_cache_contains(t.c, start(key), C.size_t(len(key)), nil) == C.DOCACHE_OK
}

// isWorth is false for what nobody would see if it was kept.
func (t *table) isWorth(ttl time.Duration) bool { return ttl > 0 || ttl == NoTTL || t.keepsExpired }

// set keeps a copy of the value.
func (t *table) set(key, value string, ttl lifetime) error {
	if t.closed.Load() {
		return ErrClosed
	}
	stored := C.docache_go_cache_set(
		t.handle(), start(key), C.size_t(len(key)), start(value), C.size_t(len(value)), C.uint64_t(ttl))
	t.settle()
	if stored.status != C.DOCACHE_OK {
		return refused(stored.status, stored.error)
	}
	return nil
}

// remove tells whether there was a value.
func (t *table) remove(key string) bool {
	if t.closed.Load() {
		return false
	}
	status := C.docache_cache_remove(t.c, start(key), C.size_t(len(key)), nil, nil)
	runtime.KeepAlive(t)
	return status == C.DOCACHE_OK
}

// clear takes out everything, also what loads that are under way would put in.
func (t *table) clear() {
	C.docache_cache_clear(t.c, nil)
	runtime.KeepAlive(t)
}

// purge takes out what has expired, and tells how much that was.
func (t *table) purge() int {
	var n C.size_t
	C.docache_cache_purge_expired(t.c, &n, nil)
	runtime.KeepAlive(t)
	return int(n)
}

// flush frees what was taken out and that no reader looks at.
func (t *table) flush() {
	C.docache_cache_flush(t.c, nil)
	runtime.KeepAlive(t)
}

func (t *table) len() int {
	defer runtime.KeepAlive(t)
	return int(C.docache_cache_len(t.c))
}

// close lets go of what is kept. The table itself stays for those that are inside it.
func (t *table) close() {
	t.closed.Store(true)
	t.empty()
}

// empty lets go of what is kept.
func (t *table) empty() {
	t.clear()
	t.flush()
}

// settle follows each write: what was put in while somebody closed the table goes out again.
func (t *table) settle() {
	if t.closed.Load() {
		t.empty()
	}
}

// standing is where a call stands.
type standing int

const (
	hit       standing = iota // there is a value
	leads                     // this caller is to run the load, and to end the call with land, landTicket or fail
	waits                     // another does; the seat will be notified once
	ready                     // another did, and look has something to say
	failed                    // the load that the call waited for has failed
	reentrant                 // the caller itself leads what it would wait for; there is no call
)

// call is one caller's part in a load. Once it does not lead it must be ended with leave.
type call struct{ c *C.docache_call }

// begin finds, leads, or joins for the seat of that token.
func (t *table) begin(key string, ttl lifetime, owner uintptr, s token) (call, found, standing) {
	if t.countsReads {
		t.begins.Add(1)
	}
	begun := C.docache_go_cache_begin(
		t.c, start(key), C.size_t(len(key)), C.uint64_t(ttl), C.uint64_t(owner), s.c)
	runtime.KeepAlive(t)
	tell(begun.told, nil)
	k, f := call{begun.call}, found{begun.found}
	switch begun.status {
	case C.DOCACHE_OK:
		return k, f, hit
	case C.DOCACHE_LEADER:
		return k, f, leads
	case C.DOCACHE_PENDING:
		return k, f, waits
	case C.DOCACHE_GO_CACHE_TOLD_ALREADY:
		return k, f, ready
	case C.DOCACHE_REENTRANT:
		return k, f, reentrant
	}
	panic(unexpected("a call", begun.status))
}

// cancel takes back what a call that waits asked for. If it returns false, notify has been called
// or is about to be.
func (k call) cancel() bool { return C.docache_call_cancel(k.c) == C.DOCACHE_OK }

// look tells where a call that joined stands, once it is ready.
func (k call) look() (found, standing) {
	seen := C.docache_go_cache_look(k.c)
	tell(seen.told, nil)
	switch seen.status {
	case C.DOCACHE_OK:
		return found{seen.found}, hit
	case C.DOCACHE_LEADER:
		return found{}, leads
	case C.DOCACHE_DOER_FAILED:
		return found{}, failed
	}
	panic(unexpected("an outcome", seen.status))
}

func (k call) land(value string) {
	deliver(C.docache_go_cache_land(k.c, start(value), C.size_t(len(value))), nil)
}

func (k call) landTicket(t ticket) { deliver(C.docache_go_cache_land_ticket(k.c, t.c), nil) }

func (k call) fail(failure error) { deliver(C.docache_go_cache_fail(k.c), failure) }

// leave ends a call that does not lead; if it waits, or was to lead, nobody notices but the one
// that leads next.
func (k call) leave() { deliver(C.docache_go_cache_leave(k.c), nil) }

// tell tells those that wait, and why if the load has failed.
func tell(s *C.docache_go_cache_seat, failure error) {
	for s != nil {
		id, next := s.id, s.next // once told, a seat may stand in another list
		if p, ok := places.Get(uintptr(id)); ok {
			p.notify(failure)
		}
		s = next
	}
}

func deliver(landed C.docache_go_cache_landed, failure error) {
	tell(landed.told, failure)
	if landed.status != C.DOCACHE_OK {
		panic(unexpected("a landing", landed.status))
	}
}

// token is what stands for a seat in the library.
type token struct{ c *C.docache_go_cache_seat }

func newToken(id uintptr) token {
	c := (*C.docache_go_cache_seat)(C.malloc(C.sizeof_docache_go_cache_seat)) // which does not return NULL in Go
	*c = C.docache_go_cache_seat{id: C.uintptr_t(id)}
	return token{c}
}

func (t token) id() uintptr { return uintptr(t.c.id) }
func (t token) free()       { C.free(unsafe.Pointer(t.c)) }

// setTicket keeps the ticket, or drops it.
func (t *table) setTicket(key string, k ticket, ttl lifetime) {
	C.docache_go_cache_set_ticket(
		t.handle(), start(key), C.size_t(len(key)), C.docache_go_cache_handle(uintptr(unsafe.Pointer(k.c))), C.uint64_t(ttl))
	t.settle()
}

// list is strings, one after the other, as the library takes many at once: what it is given must
// not have pointers to Go's memory in it.
type list struct {
	bytes []byte
	lens  []C.size_t
}

func (l *list) add(s string) {
	l.bytes = append(l.bytes, s...)
	l.lens = append(l.lens, C.size_t(len(s)))
}

func (l *list) len() int { return len(l.lens) }

func (l *list) reset() { l.bytes, l.lens = l.bytes[:0], l.lens[:0] }

func (l *list) start() *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(l.bytes)) }

func (t *table) setTickets(keys *list, tickets []ticket, ttl lifetime) {
	C.docache_go_cache_set_tickets(t.handle(), keys.start(), unsafe.SliceData(keys.lens), C.size_t(keys.len()),
		(**C.docache_go_ticket)(unsafe.Pointer(unsafe.SliceData(tickets))), C.uint64_t(ttl))
	t.settle()
}

func (t *table) setAll(keys, values *list, ttl lifetime) error {
	var failure *C.docache_error
	status := C.docache_go_cache_set_all(t.c, keys.start(), unsafe.SliceData(keys.lens), values.start(),
		unsafe.SliceData(values.lens), C.size_t(keys.len()), C.uint64_t(ttl), &failure)
	t.settle()
	if status != C.DOCACHE_OK {
		return refused(status, failure)
	}
	return nil
}

// findAll fills out, which has one place for each key. Each share must be given back with
// releaseAll.
func (t *table) findAll(keys *list, out []found) {
	status := C.docache_go_cache_find_all(t.c, keys.start(), unsafe.SliceData(keys.lens), C.size_t(keys.len()),
		(*C.docache_go_cache_found)(unsafe.Pointer(unsafe.SliceData(out))))
	runtime.KeepAlive(t)
	if status != C.DOCACHE_OK {
		panic(unexpected("values", status))
	}
}

func releaseAll(out []found) {
	C.docache_go_cache_let_go((*C.docache_go_cache_found)(unsafe.Pointer(unsafe.SliceData(out))), C.size_t(len(out)))
}

func (t *table) removeAll(keys *list) int {
	var n C.size_t
	status := C.docache_go_cache_remove_all(t.c, keys.start(), unsafe.SliceData(keys.lens), C.size_t(keys.len()), &n)
	runtime.KeepAlive(t)
	if status != C.DOCACHE_OK {
		panic(unexpected("an answer", status))
	}
	return int(n)
}

func (t *table) stats() Stats {
	begins := t.begins.Load() // before the misses, which are more
	var s C.docache_cache_counters
	s.size = C.size_t(unsafe.Sizeof(s))
	if status := C.docache_cache_stats(t.c, &s, nil); status != C.DOCACHE_OK {
		panic(unexpected("counters", status))
	}
	runtime.KeepAlive(t)
	return Stats{
		Hits:         uint64(s.hits),
		Misses:       uint64(s.misses) - begins, // the library looks again, and counts again
		Loads:        uint64(s.loads),
		LoadFailures: uint64(s.load_failures),
		LoadTime:     time.Duration(s.load_time_ns),
		Coalesced:    uint64(s.coalesced),
		Inserted:     uint64(s.inserted),
		Evicted:      uint64(s.evicted),
		Expired:      uint64(s.expired),
		Removed:      uint64(s.removed),
		Replaced:     uint64(s.replaced),
		Refused:      uint64(s.refused),
		Len:          int(s.len),
		Weight:       uint64(s.weight),
	}
}
