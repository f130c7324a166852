// Package echocache remembers what was expensive to compute, in a store that many processes may
// share: in memory, in Redis, in a NATS JetStream bucket, or in one of your own.
//
//	users := echocache.NewEchoCache(store.NewRedisCache[User](client, "users", time.Hour))
//
//	func find(ctx context.Context, id string) (User, error) {
//		user, _, err := users.FetchWithCache(ctx, id, func(ctx context.Context) (User, error) {
//			return load(ctx, id)
//		})
//		return user, err
//	}
//
// There are two kinds of cache:
//
//   - [EchoCache]: a value that is not in the store is computed while the caller waits. How long
//     it lives is up to the store.
//   - [EchoCacheLazy]: besides, a value that is older than the caller likes is returned all the
//     same, and computed anew in the background.
//
// The types have the API of github.com/logocomune/echocache, and entries and locks in Redis and
// NATS are as it writes them; its programs need only change the import paths. Programs in Rust
// share them too, through the stores of the same names in docache's crate.
//
// # Stores
//
// A store is a [Cacher], or a [StaleWhileRevalidateCache] for an EchoCacheLazy. The package
// docache/echocache/store has all that are ready-made. It is a module of its own, so that only
// programs which use it depend on the clients of Redis and NATS. The package
// docache/echocache/memory has those in memory alone, and depends on no client.
//
// # Guarantees
//
//   - Callers of a cache that miss the same key at the same time share one run of the function. A
//     caller that missed before a run ended, and would begin another after it, looks into the store
//     again first.
//   - A miss runs the function of one of the callers, on its goroutine and with its context. If
//     that context ends, only that caller fails: one of the others runs its function next. A
//     caller who waits leaves with its own context.
//   - An error of the function goes to all who wait for it, and is not kept.
//   - A panic of the function continues in the call that ran it; those who wait get a
//     [docache.PanicError], or [singleflight.ErrGoexit] after [runtime.Goexit]. The next call
//     works.
//   - A store that fails never fails a fetch that can be computed: the value is computed, and the
//     failure counted in [Stats] and given to the function of OnWarning.
//   - The same key, fetched inside the function that computes it, fails with
//     [singleflight.ErrReentrant] instead of waiting for itself.
//   - Waiting blocks a goroutine, never a thread. There are no goroutines while nothing is to do.
//
// # Refreshes in the background
//
// An EchoCacheLazy keeps a queue of the keys to refresh, each at most once, and starts up to
// [WithWorkerCount] goroutines when there is something in it. If the queue is full the request is
// dropped; the next fetch of the key asks again.
//
// A refresh takes the key's lock in the store, so that only one of many processes does the work,
// and gives it back however it ends. If another process has the lock, or has just refreshed the
// value, there is nothing to do. If the lock cannot be asked for, the value is computed without.
// The lock saves work and protects nothing: it is over a second after the time that a refresh may
// take. A function that goes on for longer finds its context done, and with it the stores in Redis
// and NATS refuse the value. A miss is computed without the lock.
//
// A panic in a refresh is recovered, and counted.
//
// # A store that hangs
//
// A fetch waits for the store as long as the store lets it, or its context. Give the clients short
// timeouts; for go-redis also set ContextTimeoutEnabled, without which it does not heed contexts.
// [Within] and [StaleWithin] put a limit to any store.
package echocache
