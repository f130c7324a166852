// Package cache keeps values by key, each for a limited time (15 minutes by default). Callers that
// miss the same key at the same time share one load of it. ([docache.Cache] is something else: a
// loop cache.)
//
//	users := cache.NewCache(cache.NewConfig())
//
//	func find(id string) (*User, error) {
//		v, err := users.Fetch(id, func(id string) (any, error) { return load(id) })
//		if err != nil {
//			return nil, err
//		}
//		return v.(*User), nil
//	}
//
// There are two kinds of cache:
//
//	          Cache                        Typed
//	keys      strings                      strings, byte slices
//	values    any Go values, as they are   values of one type, encoded unless they are plain bytes
//	memory    the Go heap                  outside it: the garbage collector does not see them
//	limits    entries                      entries, or bytes
//	contexts  FetchCtx                     all forms of Fetch
//
// A read does not extend a value's lifetime. There is no listener for removed values.
//
// [Cache] has the API of github.com/sdzyba/lockotron; its programs need only change the import
// path, and keep the name:
//
//	import lockotron "docache/cache"
//
// Its values are any Go values, as they are: what Get returns is what was set, not a copy, so do
// not change what a pointer, slice or map points to. They stay on the Go heap, and the library
// keeps numbers in their place: Get asks it for the number, and then looks that up without a lock.
// The library lists which values it has dropped, and calls that change the cache, and the cleanup,
// look there. It never calls Go, since a goroutine inside a callback would keep its thread.
//
// [Typed] keeps the bytes of values of one type, off the Go heap, so that a large cache does not
// cost the garbage collector anything; and it can be limited in bytes. Each reader gets its own
// value. Strings, byte slices and types without pointers are copied as they are, and types without
// pointers come back without an allocation. Other types are encoded, by encoding/json unless you
// provide a [Codec]. AppendTo copies the bytes to where you want them.
//
// # Guarantees
//
//   - Every method may be called from any goroutine at any time, also after Close.
//   - A value is not returned once it has expired, to within two milliseconds, unless
//     ExpireOnCleanupOnly is set, or, for a Cache, NoCleanup.
//   - Loads of one key never overlap, unless a Set or a Delete has made the first one stale. All
//     callers that waited for a load get what that load returned.
//   - Errors are passed on unchanged to the callers that wait, and are not kept. An error of a load
//     whose own context is done goes to its caller only; one of the others loads next.
//   - A panic in a load continues in the call that ran it, with its value and stack. Callers that
//     waited get a [PanicError] with both; after [runtime.Goexit] they get [ErrGoexit]. The next
//     call loads again.
//   - A Set or Delete during a load wins: the load's callers get its value, but the cache does not
//     keep it.
//   - Waiting blocks a goroutine, never a thread, however many wait.
//   - A caller with a context can leave. The load goes on for the others.
//   - A call from inside the load that it would wait for returns [ErrReentrant], if it comes from
//     the goroutine that loads. Cycles through other goroutines or other keys are deadlocks that
//     are not detected.
//   - A value that was replaced in a Cache, or removed from it, can be collected after some more
//     calls that change the cache, at the latest after the next cleanup.
//
// # Differences from Lockotron
//
//   - An expired value is not returned even if it was not cleaned up yet, except with NoCleanup:
//     see ExpireOnCleanupOnly.
//   - NoTTL works. With any other time to live of 0 or less, a value expires at once.
//   - The cleanup runs every 20 minutes by default, and ends with Close, or with the cache.
//   - After Close, Get and Fetch return [ErrClosed].
//
// # Cost
//
// A Get of either kind crosses into the library once, or twice if the value is encoded. It
// allocates nothing but the value that it returns, and takes no lock. Where nothing is encoded or
// allocated it costs little more than two empty cgo calls. A map behind a lock is faster as long as
// few goroutines contend for the lock; use this package for the guarantees above. A Set of a Cache
// allocates a small object. A load crosses three times.
package cache
