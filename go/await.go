package docache

/*
#cgo noescape docache_wait_poll
#include "bridge.h"
*/
import "C"

import "runtime"

// wait is something that the library will tell us of, by closing ready. It must be ended: with
// finish once ready is closed, with abandon otherwise.
type wait struct {
	c     *C.docache_wait
	token uintptr
	ready chan struct{}
	loop  *loop // kept alive for as long as the library may look at it
}

// What can be waited for.
type event int

const (
	firstSuccess event = iota
	anyChange          // of the version, beyond `since`
	oneRefresh
)

// await begins to wait. It returns nil if the event has happened already, or cannot happen (err
// says why).
func (l *loop) await(what event, since uint64) (w *wait, err error) {
	defer runtime.KeepAlive(l)
	var c *C.docache_wait
	var failure *C.docache_error
	var status C.docache_status
	switch what {
	case firstSuccess:
		status = C.docache_loop_wait_first_begin(l.c, &c, &failure)
	case anyChange:
		status = C.docache_loop_changed_begin(l.c, C.uint64_t(since), &c, &failure)
	case oneRefresh:
		status = C.docache_loop_refresh_begin(l.c, &c, &failure)
	}
	if status != C.DOCACHE_PENDING {
		return nil, asError(status, failure)
	}
	w = &wait{c: c, ready: make(chan struct{}), loop: l}
	w.token = waiters.Add(w.ready)
	if status := C.docache_go_wait_on_ready(c, C.uintptr_t(w.token)); status != C.DOCACHE_PENDING {
		// Ready already, so the token will never come back.
		waiters.Take(w.token)
		close(w.ready)
	}
	return w, nil
}

// finish is called once ready is closed; it returns the version the library reported, or why there
// is none.
func (w *wait) finish() (version uint64, err error) {
	var v C.uint64_t
	var failure *C.docache_error
	status := C.docache_wait_poll(w.c, &v, &failure)
	C.docache_wait_free(w.c)
	runtime.KeepAlive(w.loop)
	return uint64(v), asError(status, failure)
}

// abandon stops waiting. If the notification is already on its way, it is received first, so that
// no token is lost.
func (w *wait) abandon() {
	if C.docache_wait_cancel(w.c) == C.DOCACHE_OK {
		waiters.Take(w.token)
	} else {
		<-w.ready
	}
	C.docache_wait_free(w.c)
	runtime.KeepAlive(w.loop)
}

func asError(status C.docache_status, failure *C.docache_error) error {
	switch status {
	case C.DOCACHE_OK:
		C.docache_error_release(failure)
		return nil
	case C.DOCACHE_CLOSED:
		C.docache_error_release(failure)
		return ErrNotRunning
	default:
		return takeError(status, failure)
	}
}
