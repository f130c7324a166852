// Package store has the stores of echocache: in memory, in Redis and in NATS JetStream.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
//	users := echocache.NewEchoCache(store.NewRedisCache[User](client, "users", time.Hour))
//
// It is a module of its own: no program that does without it depends on github.com/redis/go-redis
// or github.com/nats-io/nats.go. Require it beside docache:
//
//	go mod edit -require docache/echocache/store@v0.0.0 -replace docache/echocache/store=../docache/go/echocache/store
//
// The stores in memory are those of docache/echocache/memory.
//
// # The format
//
// Entries and locks are as github.com/logocomune/echocache has them, and as docache's stores for
// Rust have them, so that programs share them whichever they use:
//
//	            Redis              NATS
//	entry       prefix:key         prefix.MD5, where MD5 is that of the key, in hexadecimal
//	lock        prefix:lock:key    prefix.MD5, of lock:key
//	its value   the token          token|time, in RFC 3339 to the second
//
// Dots at the end of a NATS prefix are cut off. Values are what encoding/json makes of them; for an
// EchoCacheLazy, of {"Value": the value, "CreatedAt": the time}. What cannot be read as such is an
// error that is [ErrFormat], for which the caches compute the value anew. A key of your own that
// begins with "lock:" meets the lock of another one; that is part of the format.
//
// # Locks
//
// Redis compares the token and acts in one script. NATS takes writes that expect the revision that
// was read before, so that of several who want a lock one gets it.
//
// A lock in Redis ends with its time to live. In NATS it has none: whoever is refused it, and finds
// it unchanged for as long as the time to live that it asks for, by its own monotonic clock, takes
// it over. The time in the lock's value is not looked at.
//
// # Time to live
//
// In Redis it is given to the constructor. In NATS it is that of the bucket; one that the Rust
// stores wrote into a message's header is heeded by servers from 2.11 on, not by this package.
package store
