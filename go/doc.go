// Package docache has the loop cache: it does expensive work on a schedule and shares the last
// results with any number of readers. For values by key see docache/cache; for work that many want
// at the same time, docache/singleflight; for values in a store that processes share, or that may
// be served stale, docache/echocache; for the parts of a program that end together, docache/run.
//
// A [Doer] fetches or computes something. A cache calls it at once and then again and again, an
// interval apart, on a goroutine of its own, and keeps what it returned. Readers get the newest
// result, or the last few, without ever waiting for the Doer:
//
//	cache := docache.NewCache(ctx, time.Second, 60, nil, docache.DoerFunc[Load](readLoad))
//	go cache.Loop() // or, with what New returns, cache.Start()
//	...
//	now := cache.Latest() // no lock, no allocation, no call into the library
//
// [NewCache] is the short constructor. [New] returns errors instead of panicking, takes options,
// and its result can also wait for new results, run the Doer now, and report statistics.
//
// # Guarantees
//
//   - Every method may be called from any goroutine at any time, also after Close.
//   - Latest costs an atomic load and a comparison as long as nothing new was published. The first
//     Latest or Data after a new result asks the library once, and the answer is shared. Where the
//     compiler sees a [*LoopCache] it inlines Latest; through the [Cache] interface a read costs a
//     few nanoseconds more, for the indirect call and the copy of the Data.
//   - What one goroutine reads never goes back in time.
//   - A Doer that fails, panics or calls [runtime.Goexit] leaves an entry with an Error; the loop
//     goes on. Its errors come back as they were, so [errors.Is] and [errors.As] work on
//     Data.Error.
//   - The Doer is never called twice at the same time by one cache: each call happens before the
//     next, though they may come from different goroutines.
//   - After a fork that Go makes itself (os/exec) nothing needs to be done. The library's threads
//     take no signals.
//   - Waiting blocks a goroutine, never a thread. A running cache is one goroutine, which sleeps
//     between calls: a thousand of them add no thread, and no thread of the library ever calls Go.
//     A slow Doer delays only its own cache.
//   - The values you return are shared with every reader, not copied: do not change what a pointer,
//     slice or map points to once it was returned or read.
//
// # Lifetime
//
// A running cache lives until it is stopped, by Stop, Close or its context. A cache that is neither
// running nor referenced is collected like anything else, together with what the library keeps for
// it. A Doer that refers to its own cache keeps it from being collected; call [LoopCache.Close] on
// such a cache when it is no longer needed.
//
// # Building
//
// The module, but for docache/run, needs cgo, a C compiler and the C library. In a checkout of
// docache
//
//	cargo xtask go-lib
//
// builds that library and puts it, with its header, into this module (internal/clib), from where it
// is linked statically. A program requires the module with a replace directive; `go mod vendor`
// takes the library along. Run the command again when the library has changed. For another platform
// add --target with its Rust target, set DOCACHE_BINUTILS to the prefix of its binutils, such as
// aarch64-linux-gnu-, and give Go its C compiler: CGO_ENABLED=1, GOARCH and CC.
//
// Without that copy the module links what `cargo build --release -p docache-capi` has left in
// target/release of the checkout. Use the copy if a program contains another Rust library: it
// exports nothing but the functions of docache.h, so the two do not clash.
//
// Build tags choose another library: docache_system links -ldocache, and header and library are
// found by the system's tools, CGO_CFLAGS and CGO_LDFLAGS; docache_shared links the shared library
// in target/release of the checkout.
package docache
