// Package cache keeps values by key, each for a time (15 minutes, if nothing else is said). Many
// who miss the same key at once share one load of it.
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
// There are two kinds, of which each can do what the other cannot:
//
//	                   Cache                        Typed
//	keys               strings                      strings, byte slices
//	values             any Go values, as they are   values of one type, encoded unless they are plain bytes
//	lie                on the Go heap               off it: the garbage collector does not see them
//	can be limited in  entries                      entries, or bytes
//	contexts           FetchCtx                     all Fetches
//
// A read does not prolong a value's time. There is no listener for values that leave.
//
// [Cache] has the shape of github.com/sdzyba/lockotron, whose programs need only change the import
// path, under its name:
//
//	import lockotron "docache/cache"
//
// Its values are any Go values, as they are: what Get returns is what was set, not a copy, so do
// not change what a pointer, slice or map leads to. They stay on the Go heap, and the library knows
// them by numbers: Get asks it for the number, and then looks that up without a lock. The library
// says which values it let go when it is called next, or when the cleanup runs; it never calls Go,
// where a goroutine inside a callback would keep its thread.
//
// [Typed] keeps the bytes of values of one type, off the Go heap, so that a large cache does not
// cost the garbage collector anything; and it can be limited in bytes. Each reader gets a value of
// its own. Strings, byte slices and types without pointers are copied as they are, and types
// without pointers come back without an allocation. Other types are encoded, by encoding/json
// unless you bring a [Codec]. AppendTo copies the bytes to where you want them.
//
// # What holds
//
//   - Every method may be called from any goroutine at any time, also after Close.
//   - A value is not returned once its time is over, to within two milliseconds, unless
//     ExpireOnCleanupOnly or NoCleanup is set.
//   - Loads of one key never overlap, but for those that a Set or a Delete has overtaken. Everybody
//     who waited for a load gets what that very load returned.
//   - Errors go to those who wait, as they are, and are not kept. An error of a load whose own
//     context is done goes to its caller only; one of the others loads next.
//   - A panic of a load goes on in the call that ran it, with the value and the stack it had. Those
//     that waited get a [PanicError] with both; after [runtime.Goexit] they get [ErrGoexit]. The
//     next call loads again.
//   - What is set or deleted during a load stays so: the load's callers get its value, the cache
//     does not.
//   - Waiting blocks a goroutine, never a thread, however many wait.
//   - A caller with a context can leave. The load goes on, and nobody else notices.
//   - A call from inside the load that it would wait for returns [ErrReentrant], if it comes from
//     the goroutine that loads. Circles through other goroutines or other keys are deadlocks that
//     are not found out.
//   - A value that leaves a Cache can be collected after one of the next calls that change
//     something, and at the latest after the next cleanup.
//
// # What is different from Lockotron
//
//   - An expired value is not returned, also if it was not cleaned up yet, but with NoCleanup: see
//     ExpireOnCleanupOnly.
//   - NoTTL works. Any other time to live of 0 or less is over at once.
//   - The cleanup runs every 20 minutes where nothing else is said, and ends with Close, or with
//     the cache.
//   - After Close, Get and Fetch return [ErrClosed].
//
// # What it costs
//
// A Get of either kind crosses into the library once, or twice if the value is encoded. It
// allocates nothing but the value that it returns, and takes no lock. Where nothing is encoded or
// allocated it costs little more than twice what an empty call of C does. A map behind a lock is
// faster as long as few goroutines meet at the lock; use this package for what holds above. A Set
// of a Cache allocates a small object. A load crosses three times.
package cache
