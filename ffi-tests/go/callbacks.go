package stranger

/*
#include "docache.h"
*/
import "C"

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Doer is what these tests register: it makes a value or an error by calling the C ABI, and says
// what it made.
type Doer func(outValue **Value, outError **Error) Status

// ctxs holds what the integers stand for that are given to C, and how often each was dropped.
var ctxs struct {
	sync.Mutex
	last    uintptr
	doers   map[uintptr]Doer
	tokens  map[uintptr]chan struct{}
	dropped map[uintptr]int
	logged  map[uintptr][]string
}

func init() {
	ctxs.doers = map[uintptr]Doer{}
	ctxs.tokens = map[uintptr]chan struct{}{}
	ctxs.dropped = map[uintptr]int{}
	ctxs.logged = map[uintptr][]string{}
}

// newCtx returns a number that is not in use.
func newCtx() uintptr {
	ctxs.Lock()
	defer ctxs.Unlock()
	ctxs.last++
	return ctxs.last
}

func register(doer Doer) uintptr {
	ctx := newCtx()
	ctxs.Lock()
	defer ctxs.Unlock()
	ctxs.doers[ctx] = doer
	return ctx
}

// newToken returns a token, and a channel that is closed when it is notified. A second notification
// panics.
func newToken() (uintptr, <-chan struct{}) {
	token, ready := newCtx(), make(chan struct{})
	ctxs.Lock()
	defer ctxs.Unlock()
	ctxs.tokens[token] = ready
	return token, ready
}

// drops is how often ctx was dropped: once is right.
func drops(ctx uintptr) int {
	ctxs.Lock()
	defer ctxs.Unlock()
	return ctxs.dropped[ctx]
}

func logs(ctx uintptr) []string {
	ctxs.Lock()
	defer ctxs.Unlock()
	return ctxs.logged[ctx]
}

// inDoer counts the calls of Doers under way.
var inDoer atomic.Int32

//export goDoer
func goDoer(ctx C.uintptr_t, outValue **C.docache_value, outError **C.docache_error) (status C.docache_status) {
	inDoer.Add(1)
	defer inDoer.Add(-1)
	// Nothing may unwind into the library, so a panic becomes an error here.
	defer func() {
		if p := recover(); p != nil {
			errorNew(-1, fmt.Sprint("panic: ", p), outError, nil)
			status = C.DOCACHE_PANIC
		}
	}()
	ctxs.Lock()
	doer := ctxs.doers[uintptr(ctx)]
	ctxs.Unlock()
	return doer(outValue, outError)
}

//export goDrop
func goDrop(ctx C.uintptr_t) {
	ctxs.Lock()
	defer ctxs.Unlock()
	ctxs.dropped[uintptr(ctx)]++
	delete(ctxs.doers, uintptr(ctx))
}

//export goNotify
func goNotify(token C.uintptr_t) {
	ctxs.Lock()
	defer ctxs.Unlock()
	close(ctxs.tokens[uintptr(token)])
}

//export goLog
func goLog(ctx C.uintptr_t, message *C.char, n C.size_t, level C.int32_t) {
	ctxs.Lock()
	defer ctxs.Unlock()
	ctxs.logged[uintptr(ctx)] = append(ctxs.logged[uintptr(ctx)], fmt.Sprint(level, " ", C.GoStringN(message, C.int(n))))
}
