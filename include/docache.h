/* Generated from src/ffi by `cargo xtask header`; do not edit. MIT OR Apache-2.0. */

/**
 * docache for C: do expensive work once, and share the result.
 *
 * - docache_loop_: a loop cache calls a function of yours at an interval; readers get its last
 *   results and never wait.
 * - docache_group_: callers who want the same thing for the same key share one run of the work.
 * - docache_cache_: values by key, for a time and up to a limit; many who miss the same key share
 *   one fetch of it.
 * - docache_echo_, docache_store_: an echo cache keeps what is fetched in a store: memory, a Redis
 *   or NATS server that many processes share, or callbacks of yours; those who miss the same key,
 *   in all processes, share one fetch; and what is stale can be served while it is refreshed.
 * - docache_run_: groups of actors, which run side by side and end together; loops, which repeat
 *   theirs; calls that are made again when they fail.
 * - docache_scheduler_: calls that come later, and many loop caches, on a few threads.
 * - docache_call_, docache_wait_: runs, fetches and waits for those that must not block: begin, be
 *   notified, poll.
 * - docache_value_, docache_error_, docache_logger_: shared bytes, why something failed, who is
 *   told of it.
 *
 *     #include <docache.h>
 *     #include <stdio.h>
 *
 *     static docache_status render(uintptr_t ctx, const uint8_t *key, size_t key_len,
 *                                  docache_value **out_value, docache_error **out_error) {
 *       (void)ctx;
 *       return docache_value_new(key, key_len, out_value, out_error);
 *     }
 *
 *     int main(void) {
 *       docache_cache_options options = DOCACHE_CACHE_OPTIONS_INIT;
 *       docache_cache *pages = NULL;
 *       docache_value *page = NULL;
 *       docache_error *error = NULL;
 *       const uint8_t key[] = {'/', 'a'};
 *       options.time_to_live_ns = 30000000000; // 30 s; 0: 15 minutes
 *       options.capacity = 1000;
 *       docache_status status = docache_cache_new(&options, NULL, 0, NULL, &pages, &error);
 *       if (status == DOCACHE_OK) {
 *         status = docache_cache_fetch_key(pages, key, sizeof key, 0, DOCACHE_FOREVER, render, 0,
 *                                          &page, &error);
 *       }
 *       if (status == DOCACHE_OK) {
 *         printf("%.*s\n", (int)docache_value_len(page), (const char *)docache_value_data(page));
 *       } else {
 *         printf("%s: %s\n", docache_status_name(status),
 *                error != NULL ? docache_error_message(error, NULL) : "");
 *       }
 *       docache_error_release(error);
 *       docache_value_release(page);
 *       docache_cache_free(pages);
 *       return status == DOCACHE_OK ? 0 : 1;
 *     }
 *
 * Link libdocache.a with -lpthread -ldl -lm, or the shared library, whose name is libdocache.so.0.
 *
 * # Words
 * - The Doer is the `perform` of a loop. A loop can also be driven by its host, the program around
 *   it: docache_loop_drive.
 * - Of the callers who want the same key, the one that does the work leads; the others wait, and
 *   share what came of it.
 * - A share is one of the counted references to a value, an error, a logger or a snapshot.
 * - A version is the number of a loop's results so far; the sequence of a result is the version
 *   that it brought.
 * - An actor is a part of a docache_run_group or a docache_run_loop: work with a thread of its
 *   own, and what makes it return. (A docache_loop and a docache_group are other things: a loop
 *   cache, and runs that callers share.)
 *
 * # Errors
 * Every function that can fail returns a docache_status: 0 for success, positive for regular
 * outcomes such as MISS, negative for mistakes and defects. Statuses are written here without
 * their DOCACHE_. The last parameter takes a docache_error with a message, and with the number
 * that a callback gave; or NULL, if the status will do. An error that was given is the caller's to
 * release.
 *
 * A function's comment names the statuses with a meaning of their own. Besides, any function may
 * return INVALID_ARGUMENT for what it was given, PANIC for a defect of the library, and, if it
 * starts something, INTERNAL where the machine refuses a thread or memory. One whose comment names
 * it returns UNSUPPORTED if the library was built without what is asked for. VERSION_MISMATCH is
 * for the language bindings; no function returns it today.
 *
 * # Threads and the end
 * - The library starts threads when they are needed: docache-clock while caches are used,
 *   docache-timer while somebody waits with a deadline or a cache is to be swept, docache-sweep
 *   while one is, docache-echo while an echo cache refreshes or keeps its locks, docache-redis or
 *   docache-nats for a store on a server, docache-sched while a scheduler has something to do, and
 *   one for each loop that was started, unless that is on a scheduler.
 * - A docache_run_group that runs has one for each of its actors, which is named after it, and one
 *   for each interrupt.
 * - Their stacks have 2 MiB, unless the environment variable RUST_MIN_STACK says otherwise, in
 *   bytes. A callback that needs more starts a thread of its own.
 * - A program may simply end. One that looks for leaks, or that unloads the library, ends its
 *   docache_run_groups and docache_run_loops, waits and calls, drives, loops, schedulers, groups,
 *   caches and stores in this order, and calls docache_shutdown last.
 *
 * # Conventions
 * - Handles are opaque. `_new`/`_free` handles have one owner; `_retain`/`_release` handles are
 *   counted.
 * - Inputs come first, outputs last. Every output pointer is required unless its function says
 *   otherwise. An output handle is set to NULL first and written only where the function says so,
 *   with OK, PENDING or LEADER; other outputs are written only with OK unless their function says
 *   otherwise. What lay in an output before is not released.
 * - A `docache_error **out_error` may be NULL. It is set to NULL first, and to an error, which the
 *   caller releases, when the status is negative, TIMEOUT, CANCELLED, CLOSED, DOER_FAILED or BUSY.
 * - What a function is given stays the caller's, who may release it afterwards; what the library
 *   keeps is a share of its own, or a copy. See "Who releases what" for the exceptions.
 * - A pointer whose length is 0 is ignored. Texts are UTF-8 with a length and need no NUL.
 * - Option structs begin with their size; a field of zero means its default, and a part that this
 *   library does not know must be zero.
 * - A registration is a function, a `ctx` and a `drop`, which may be NULL: `drop(ctx)` is called
 *   exactly once, after the last use, also when the registration fails. A callback must return: it
 *   must not throw, unwind or longjmp.
 * - `timeout_ns`: negative is no limit, 0 does not wait. It limits waiting for others; a call that
 *   leads still runs its work to the end.
 * - A function's comment says [NC] if it never calls back, [CB] if it may call back, and
 *   [BLK] if it may block; without [BLK] it takes short locks at most. "Only `drop`": the call
 *   may release the last share of something, and then runs its `drop` on this thread; even a read
 *   of a loop can.
 * - All functions may be called from any thread, at any time and at once, with one exception: a
 *   handle with one owner must not be freed while another thread is in a call with it. (A call
 *   that a callback was called from may be, see below; and so may the run of a docache_run_group
 *   or a docache_run_loop.)
 *
 * # Who releases what
 * - Every `out_value`, `out_error` and other handle that a function writes: yours, release or free
 *   it.
 * - What `perform` writes: given away.
 * - What docache_drive_finish is given: given away, also when it fails.
 * - What docache_call_finish, docache_call_end and docache_echo_call_finish are given: yours,
 *   release it.
 * - What callbacks of a store write to a docache_found: given away.
 * - A docache_call: free it, also after docache_call_finish, but not after a docache_call_end that
 *   returned OK.
 * - What docache_run_group_add_group and docache_run_group_add_loop are given: given away with OK.
 * - What a callback is given, and the value and error in a docache_entry: borrowed.
 *
 * # Freeing
 * - When `_free` of a loop, a cache, an echo cache, a wait, a scheduler, a docache_run_group or a
 *   docache_run_loop has returned, none of the object's callbacks runs or will, and `drop` of its
 *   registrations has been called. So it waits for callbacks that run on the library's own
 *   threads, and must not be called with anything held, such as a mutex, that they need.
 * - Inside a callback of the object's own it returns at once: the object ends, and `drop` is
 *   called, when the call that the callback came from is over.
 * - Inside another object's callback it waits as well, except where threads would wait for each
 *   other in a circle: then one of them does not wait, and its object ends as if it had been freed
 *   inside a callback of its own.
 * - A docache_call outlives what it was begun at, its notification with it. Where calls are out
 *   when their cache is freed, `drop` of the cache's listener, if there is a listener, is called
 *   when the last of them is over; without a listener, at once. A docache_echo_call outlives its
 *   cache as well, and has a share of the store.
 * - Loops on a scheduler have shares of it: their callbacks are their own, and they go on when it
 *   is freed.
 * - A value's `drop` belongs to the value. Whoever gives the last share back calls it: if that is
 *   a cache, inside a write, its sweep or its free.
 *
 * # Signals
 * The library's threads block all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP. What a
 * Doer or an actor starts inherits that.
 *
 * # Fork
 * After `fork` (and `daemon`, but not `vfork` or a bare system call) the child can use and free
 * all handles that it has from its parent. Caches are whole; what expires does so and is swept;
 * what other threads were fetching or running is not waited for. A loop cache that ran counts as
 * stopped and can be started again; if the fork fell into a call of its Doer, that call has no end
 * in the child, and the Doer must cope with being called again on its data as they are. A loop
 * whose own thread forks goes on in the child. A docache_run_group or docache_run_loop that ran is
 * over, and can be freed; one that did not run yet can be run. A scheduler can be used, but what
 * it was to call is not called in the child; `drop` of that is, when it is cancelled, or when the
 * scheduler is freed or shut down, also if another thread was calling it. A docache_call, or a
 * wait, that was begun is to be polled, or freed, by the child itself: nobody notifies it of what
 * threads would have done that are not there. One that another thread was using at the moment of
 * the fork must not be used.
 *
 * # Safety
 * What a caller of every function promises:
 * - HANDLE: a handle is NULL or came from this library and has not been freed or released.
 * - SPAN: a pointer with a length of `n` leads to `n` readable elements (for outputs: writable).
 * - CALLBACK: a function pointer has the type in the header and may be called from any thread with
 *   its `ctx`.
 *
 * NULL, misaligned pointers, sizes, enumerations and texts are checked.
 */

#ifndef DOCACHE_H
#define DOCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The version of the ABI. It grows when something is added; nothing is ever changed or taken away.
 */
#define DOCACHE_ABI_VERSION 1

/**
 * The library's version, as the header was generated from it.
 */
#define DOCACHE_VERSION_MAJOR 0

/**
 * See DOCACHE_VERSION_MAJOR.
 */
#define DOCACHE_VERSION_MINOR 1

/**
 * See DOCACHE_VERSION_MAJOR.
 */
#define DOCACHE_VERSION_PATCH 0

/**
 * A length of time that does not end.
 */
#define DOCACHE_NEVER UINT64_MAX

/**
 * Why an entry left: there was no room for it beside others.
 */
#define DOCACHE_CAUSE_SIZE 0

/**
 * Its time was over.
 */
#define DOCACHE_CAUSE_EXPIRED 1

/**
 * It was removed, or the cache was cleared.
 */
#define DOCACHE_CAUSE_REMOVED 2

/**
 * The key got another value.
 */
#define DOCACHE_CAUSE_REPLACED 3

/**
 * It was never taken in: it is too heavy, or its shard is full (2^30 entries).
 */
#define DOCACHE_CAUSE_REFUSED 4

/**
 * A full cache evicts what is used least, by recency and frequency: scans do not wash out what is
 * used often.
 */
#define DOCACHE_POLICY_ADAPTIVE 0

/**
 * A full cache evicts what was used the longest time ago. Reads that hit take a short lock then.
 */
#define DOCACHE_POLICY_LRU 1

/**
 * Counts hits and misses, which costs each read a few nanoseconds.
 */
#define DOCACHE_CACHE_RECORD_STATS 1

/**
 * What has expired is still found until the sweep takes it out.
 */
#define DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY 2

/**
 * A value in the store is the bytes that the program gave, which must be JSON. Its age is not
 * known, so it is never stale: for caches of docache_echo_new.
 */
#define DOCACHE_FORMAT_JSON 0

/**
 * A value in the store is a JSON object of the bytes that the program gave, which must be JSON,
 * and the time at which they were loaded, `{"Value":...,"CreatedAt":"2026-11-21T09:19:01.93Z"}`:
 * for caches of docache_echo_lazy_new.
 */
#define DOCACHE_FORMAT_LAZY_JSON 1

/**
 * An age that is not known. What is of unknown age is never stale.
 */
#define DOCACHE_AGE_UNKNOWN UINT64_MAX

/**
 * A call to the store failed, and the fetch went on without it.
 */
#define DOCACHE_WARNING_STORE 1

/**
 * Another process held the key's refresh lock for longer than the lock wait, and the value was
 * loaded beside it.
 */
#define DOCACHE_WARNING_LOCK_WAIT 2

/**
 * The key's refresh lock was lost before the load was over, and its value was not written.
 */
#define DOCACHE_WARNING_LOCK_LOST 3

/**
 * A refresh in the background failed.
 */
#define DOCACHE_WARNING_REFRESH 4

/**
 * The key's refresh lock could not be renewed or given back in the background, since there was no
 * thread, or too many waited: it is held for its time to live at most.
 */
#define DOCACHE_WARNING_UNATTENDED 5

/**
 * What a store was asked to do: none of these.
 */
#define DOCACHE_OPERATION_NONE 0

/**
 * To read.
 */
#define DOCACHE_OPERATION_GET 1

/**
 * To take the lock.
 */
#define DOCACHE_OPERATION_BEGIN_REFRESH 2

/**
 * To go on holding the lock.
 */
#define DOCACHE_OPERATION_RENEW 3

/**
 * To write, and to give the lock back.
 */
#define DOCACHE_OPERATION_FINISH_REFRESH 4

/**
 * To give the lock back.
 */
#define DOCACHE_OPERATION_ABANDON_REFRESH 5

/**
 * To write.
 */
#define DOCACHE_OPERATION_PUT 6

/**
 * To remove.
 */
#define DOCACHE_OPERATION_REMOVE 7

/**
 * Counts hits, which costs each of them a few nanoseconds.
 */
#define DOCACHE_ECHO_RECORD_STATS 1

/**
 * Where a value comes from: the store had it.
 */
#define DOCACHE_FETCHED_FRESH 0

/**
 * The store had it, and it is due for a refresh, or it is past its time and the load failed.
 */
#define DOCACHE_FETCHED_STALE 1

/**
 * This call loaded it.
 */
#define DOCACHE_FETCHED_LOADED 2

/**
 * Another call loaded it, in this process or in another, and this one waited for that.
 */
#define DOCACHE_FETCHED_COALESCED 3

/**
 * The store had it, and it says that there is no such thing: see `negative_ttl_ns`.
 */
#define DOCACHE_FETCHED_NEGATIVE 4

/**
 * Something broke: a callback panicked.
 */
#define DOCACHE_LEVEL_ERROR 1

/**
 * Something failed and will be tried again.
 */
#define DOCACHE_LEVEL_WARN 2

/**
 * A change of state: started, stopped.
 */
#define DOCACHE_LEVEL_INFO 3

/**
 * Each success.
 */
#define DOCACHE_LEVEL_DEBUG 4

/**
 * Everything else.
 */
#define DOCACHE_LEVEL_TRACE 5

/**
 * A negative `timeout_ns`: no limit.
 */
#define DOCACHE_FOREVER (-1)

/**
 * The interval counts from the end of the last call.
 */
#define DOCACHE_FIXED_DELAY 0

/**
 * The interval counts from when the last call was due; ticks that pass during a call are skipped.
 */
#define DOCACHE_FIXED_RATE 1

/**
 * The longest delay doubles with every failure in a row.
 */
#define DOCACHE_BACKOFF_DOUBLING 0

/**
 * The longest delay is always the same.
 */
#define DOCACHE_BACKOFF_CONSTANT 1

/**
 * DOCACHE_JITTER_FULL for a backoff that doubles, DOCACHE_JITTER_NONE for a constant one.
 */
#define DOCACHE_JITTER_DEFAULT 0

/**
 * Each delay is the longest that it may be.
 */
#define DOCACHE_JITTER_NONE 1

/**
 * Each delay is drawn at random from 0 up to the longest that it may be, so that those who failed
 * together do not try again together.
 */
#define DOCACHE_JITTER_FULL 2

/**
 * All actors have returned, none with an error.
 */
#define DOCACHE_RUN_FINISHED 0

/**
 * An actor has returned, under DOCACHE_STOP_ON_RETURN.
 */
#define DOCACHE_RUN_RETURNED 1

/**
 * An actor has failed, or the system gave no thread for it.
 */
#define DOCACHE_RUN_FAILED 2

/**
 * An actor has returned DOCACHE_PANIC.
 */
#define DOCACHE_RUN_PANICKED 3

/**
 * The process was sent a signal.
 */
#define DOCACHE_RUN_SIGNAL 4

/**
 * It was told to stop, or freed.
 */
#define DOCACHE_RUN_STOPPED 5

/**
 * This process is the child of a fork, and the actors are the parent's.
 */
#define DOCACHE_RUN_FORKED 6

/**
 * The actor's `execute`, or its `on_failure` after it, still runs.
 */
#define DOCACHE_RUN_IN_EXECUTE 1

/**
 * The actor's `interrupt` still runs.
 */
#define DOCACHE_RUN_IN_INTERRUPT 2

/**
 * A group stops when the first actor fails, or when all have returned.
 */
#define DOCACHE_STOP_ON_FAILURE 0

/**
 * A group stops when the first actor returns, with an error or without.
 */
#define DOCACHE_STOP_ON_RETURN 1

/**
 * A keyed cache with expiry, whose reads never wait. Those who fetch the same missing key at the
 * same time share one run of the work.
 *
 * Keys are bytes, of which the library keeps copies; values are shared, not copied. A value that
 * was removed, replaced or evicted is released by a later write to the cache, by its sweep, by
 * docache_cache_flush or with the cache: never by a read.
 */
typedef struct docache_cache docache_cache;

/**
 * One caller's part in a run. It has one owner and keeps what it needs, also when its group or its
 * cache is freed. docache_call_on_ready, _poll and _cancel may be called from any thread and at
 * once; nothing else may be going on with the call while it is finished or freed.
 *
 * (Aligned, so that calls of different callers share no cache line.)
 */
typedef struct docache_call docache_call;

/**
 * A run of a loop cache that its host drives. One owner, who uses it on one thread at a time;
 * which one may change.
 */
typedef struct docache_drive docache_drive;

/**
 * A cache over a store. What the store does not have is fetched once, however many ask: callers in
 * one process share one run of the work, and processes that share the store take turns.
 *
 * Keys are UTF-8, of which the library keeps copies; values are shared, not copied, as far as the
 * store is memory.
 */
typedef struct docache_echo docache_echo;

/**
 * A call of docache_echo_begin or docache_echo_refresh_begin. One owner; its functions may be
 * called from any thread.
 */
typedef struct docache_echo_call docache_echo_call;

/**
 * An error: a status, a code and a message. Immutable, shared by reference counting; the count is
 * atomic.
 */
typedef struct docache_error docache_error;

/**
 * A group: callers who want the same thing for the same key share one run of the work. Nothing is
 * kept: a call after a run's end begins a new run.
 */
typedef struct docache_group docache_group;

/**
 * A logger, shared by reference counting; the count is atomic. An object that was given it gives
 * its share back when it is freed, before the free returns, or when it ends, if it was freed
 * inside a callback of its own.
 */
typedef struct docache_logger docache_logger;

/**
 * A loop cache: calls a Doer at an interval and keeps its last results for readers.
 */
typedef struct docache_loop docache_loop;

/**
 * An attempt's handle on the attempts to come. Borrowed for the call of the attempt, on whose
 * thread alone it may be used.
 */
typedef struct docache_retrier docache_retrier;

/**
 * A group: actors that run together and stop together. It is run once, and then only good for
 * being freed.
 */
typedef struct docache_run_group docache_run_group;

/**
 * Stops a group or a loop from anywhere: another thread, a callback, one of its own actors. Shared
 * by reference counting; the count is atomic. It may outlive its group; then it does nothing.
 */
typedef struct docache_run_handle docache_run_handle;

/**
 * A loop: actors that are repeated until it is stopped, whatever they fail with. It is run once,
 * and then only good for being freed.
 */
typedef struct docache_run_loop docache_run_loop;

/**
 * How a group or a loop ended. One owner; immutable, so any thread may read it. What is read is
 * borrowed, for as long as the report is there.
 */
typedef struct docache_run_report docache_run_report;

/**
 * A call that a scheduler is to make. It keeps nothing going, and may outlive its scheduler.
 */
typedef struct docache_scheduled docache_scheduled;

/**
 * A scheduler: makes calls when they are due, and runs loop caches, on a few threads that they
 * share.
 */
typedef struct docache_scheduler docache_scheduler;

/**
 * An immutable view of the results that a loop cache kept at one moment, oldest first. Shared by
 * reference counting; the count is atomic. It keeps its values and errors valid, also when the
 * loop cache is gone.
 */
typedef struct docache_snapshot docache_snapshot;

/**
 * Tells an actor that it is to stop. Borrowed for the call of `execute` that it is given to, where
 * any thread may use it.
 */
typedef struct docache_stop_token docache_stop_token;

/**
 * A store: values by key, and a refresh lock for each key, so that of the processes which share it
 * one loads what is missing. Shared by reference counting; the count is atomic. Caches, and stores
 * that are made of others, have shares of their own, and give them back when they end.
 *
 * What fails in a store fails no fetch that can be computed: see docache_echo_new.
 */
typedef struct docache_store docache_store;

/**
 * An immutable blob of bytes, shared by reference counting. The count is atomic.
 */
typedef struct docache_value docache_value;

/**
 * A wait under way. One owner; its functions may be called from any thread.
 */
typedef struct docache_wait docache_wait;

/**
 * What a function has to say: 0 for success, positive for other regular outcomes, negative for
 * mistakes and defects. The list grows; numbers never change.
 */
typedef int32_t docache_status;

/**
 * How a cache is to be. Begin with DOCACHE_CACHE_OPTIONS_INIT and set what you need.
 */
typedef struct docache_cache_options {
  /**
   * sizeof(docache_cache_options), as the caller was compiled.
   */
  size_t size;
  /**
   * How long entries live that are not given a time of their own, to within two milliseconds. 0:
   * 15 minutes; DOCACHE_NEVER: for ever.
   */
  uint64_t time_to_live_ns;
  /**
   * How often what has expired is taken out, 1 ms at least. 0: every 20 minutes; DOCACHE_NEVER:
   * when it is asked for.
   */
  uint64_t sweep_interval_ns;
  /**
   * For how long failures of fetches are kept, and given to those who fetch; 0: not at all. They
   * are no entries: reads, the length and the limit know nothing of them.
   */
  uint64_t negative_ttl_ns;
  /**
   * The most entries. 0: no limit. Not together with `max_weight`.
   */
  uint64_t capacity;
  /**
   * The most bytes, of keys and values together; from 4 GiB on all values are as heavy as one of
   * 4 GiB. 0: no limit.
   */
  uint64_t max_weight;
  /**
   * Over how many locks writers are spread: rounded up to a power of two, up to 65,536. Each
   * shard has an equal part of the limit, so that a shard may be full before the cache is, and a
   * value may be too heavy for its part. 0: as many as keep that rare. 1: the limit is exact.
   */
  size_t shards;
  /**
   * A DOCACHE_POLICY. LRU needs a limit.
   */
  uint32_t policy;
  /**
   * By up to how many thousandths, 0 to 1,000, times to live are shortened at random.
   */
  uint32_t jitter_permille;
  /**
   * DOCACHE_CACHE_ flags.
   */
  uint32_t flags;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_cache_options;

/**
 * Told of an entry that has left, or was not taken in, with a DOCACHE_CAUSE: on the thread that
 * brought it about, a writer's or the sweep's, with no lock held; never a reader's. Key and value
 * are borrowed for the call; docache_value_retain keeps the value. It must return; it may use the
 * cache, and free it: then it is not called any more, and the cache ends when the write or the
 * sweep is over that it was called from.
 */
typedef void (*docache_evict_fn)(uintptr_t ctx,
                                 const uint8_t *key,
                                 size_t key_len,
                                 const struct docache_value *value,
                                 int32_t cause);

/**
 * Called once with the `ctx` of a registration, after its last use.
 */
typedef void (*docache_drop_fn)(uintptr_t ctx);

/**
 * Does the work once. Returns DOCACHE_OK with a value in `out_value`, or DOCACHE_DOER_FAILED, or
 * DOCACHE_PANIC for a defect, with an error in `out_error` or none; both places are NULL when it
 * is called, and the shares that it writes there are given away. Any other status counts as
 * DOER_FAILED, and so does OK without a value; where there is no error the library makes one that
 * says so. A value beside a failure, or an error beside OK, is released.
 *
 * A loop calls it on one thread at a time. A group or a cache calls it on the thread of the call
 * that leads, with that call's `ctx`, and never after that call has returned. It must not throw,
 * unwind or longjmp. It may free its own loop, group or cache, if nobody else uses that: the call
 * goes on, its caller gets what this returns, and the object ends when that call, or a loop's run,
 * is over.
 */
typedef docache_status (*docache_perform_fn)(uintptr_t ctx,
                                             struct docache_value **out_value,
                                             struct docache_error **out_error);

/**
 * Bytes that are the caller's. A pointer whose length is 0 is ignored.
 */
typedef struct docache_bytes {
  /**
   * The first byte.
   */
  const uint8_t *data;
  /**
   * How many there are.
   */
  size_t len;
} docache_bytes;

/**
 * Looks at one entry, whose key and value are borrowed for the call. Anything but 0 ends the
 * visit. It may free the cache, which ends when the visit is over; the visit goes on until then.
 */
typedef int32_t (*docache_visit_fn)(uintptr_t ctx,
                                    const uint8_t *key,
                                    size_t key_len,
                                    const struct docache_value *value);

/**
 * Counters of a cache since it was made. New ones are added at the end.
 */
typedef struct docache_cache_counters {
  /**
   * sizeof(docache_cache_counters), set by the caller.
   */
  size_t size;
  /**
   * Reads (get, try_get, get_many, fetch) that found something; 0 without
   * DOCACHE_CACHE_RECORD_STATS.
   */
  uint64_t hits;
  /**
   * Reads that did not; 0 without DOCACHE_CACHE_RECORD_STATS.
   */
  uint64_t misses;
  /**
   * Loads that fetches ran, to their end.
   */
  uint64_t loads;
  /**
   * Those of them that failed, panicked or were given up by their callers.
   */
  uint64_t load_failures;
  /**
   * The time that loads took in all, by a clock of one millisecond.
   */
  uint64_t load_time_ns;
  /**
   * Fetches that shared what somebody else loaded.
   */
  uint64_t coalesced;
  /**
   * Values taken in.
   */
  uint64_t inserted;
  /**
   * Entries that left for DOCACHE_CAUSE_SIZE.
   */
  uint64_t evicted;
  /**
   * Entries that left for DOCACHE_CAUSE_EXPIRED.
   */
  uint64_t expired;
  /**
   * Entries that left for DOCACHE_CAUSE_REMOVED.
   */
  uint64_t removed;
  /**
   * Entries that left for DOCACHE_CAUSE_REPLACED.
   */
  uint64_t replaced;
  /**
   * Values that were not taken in: DOCACHE_CAUSE_REFUSED.
   */
  uint64_t refused;
  /**
   * Entries, those included that have expired and were not yet swept.
   */
  uint64_t len;
  /**
   * Their weight; without `max_weight`, their number.
   */
  uint64_t weight;
  /**
   * Entries that have left and whose values are not released yet, because readers may still see
   * them or nobody came by.
   */
  uint64_t retired;
  /**
   * Bytes that the cache itself takes, without keys and values.
   */
  uint64_t memory;
} docache_cache_counters;

/**
 * Called once with its token when there is something to see, on whichever thread finds it: the one
 * that brought it about, or one that polls. It must return, and must not block. It may free the
 * docache_wait or the docache_echo_call that it was given to, but not the docache_call: whoever
 * calls it may still be inside that; free that afterwards, elsewhere.
 */
typedef void (*docache_notify_fn)(uintptr_t token);

/**
 * How a store in memory is to be. Begin with DOCACHE_STORE_MEMORY_OPTIONS_INIT and set what you
 * need.
 */
typedef struct docache_store_memory_options {
  /**
   * sizeof(docache_store_memory_options), as the caller was compiled.
   */
  size_t size;
  /**
   * The most entries. 0: no limit.
   */
  uint64_t capacity;
  /**
   * How long entries live at most, whatever their cache says; 0 and DOCACHE_NEVER: as long as
   * the cache says.
   */
  uint64_t time_to_live_ns;
  /**
   * As in docache_cache_options.
   */
  size_t shards;
  /**
   * A DOCACHE_POLICY. LRU needs a capacity.
   */
  uint32_t policy;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_store_memory_options;

/**
 * How a store on a server is to be. Begin with DOCACHE_STORE_REMOTE_OPTIONS_INIT and set what you
 * need.
 */
typedef struct docache_store_remote_options {
  /**
   * sizeof(docache_store_remote_options), as the caller was compiled.
   */
  size_t size;
  /**
   * What keys begin with on the server; a text without NUL. NULL with length 0: `docache`.
   */
  const char *prefix;
  /**
   * The length of `prefix`.
   */
  size_t prefix_len;
  /**
   * How long one try to connect may take. No call waits for it longer than its own time. 0: a
   * default of half a second or more.
   */
  uint64_t connect_timeout_ns;
  /**
   * A DOCACHE_FORMAT.
   */
  uint32_t format;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_store_remote_options;

/**
 * What a store has under a key.
 */
typedef struct docache_found {
  /**
   * sizeof(docache_found), as the library knows it. Not to be changed.
   */
  size_t size;
  /**
   * The value, whose share is given away; NULL: there is nothing.
   */
  struct docache_value *value;
  /**
   * How long ago it was loaded. DOCACHE_AGE_UNKNOWN if nothing is written.
   */
  uint64_t age_ns;
  /**
   * How long the store will keep it still. DOCACHE_NEVER, which is not known, if nothing is
   * written.
   */
  uint64_t left_ns;
} docache_found;

/**
 * Reads the key: OK with what there is in `out`, or MISS.
 */
typedef docache_status (*docache_store_get_fn)(uintptr_t ctx,
                                               const uint8_t *key,
                                               size_t key_len,
                                               int64_t timeout_ns,
                                               struct docache_found *out,
                                               struct docache_error **out_error);

/**
 * A claim on the refresh lock of a key.
 */
typedef struct docache_refresh_lock {
  /**
   * sizeof(docache_refresh_lock), as the library knows it.
   */
  size_t size;
  /**
   * A text that no other claim has, of characters A-Z, a-z, 0-9, - and _, without NUL.
   */
  const char *token;
  /**
   * The length of `token`: 22.
   */
  uintptr_t token_len;
  /**
   * How long the lock is held, from when it is granted or renewed, if it is not given back.
   */
  uint64_t ttl_ns;
} docache_refresh_lock;

/**
 * Takes the key's lock if nobody has it, and reads the key, in one step if the store can, else the
 * lock first. OK: the lock is granted, also to one who has it already. BUSY: another has it, and
 * `out_holder`, which is 0, may be set to a number that tells who has it from others. In `out`,
 * with both, what there is; what cannot be read counts as nothing there.
 */
typedef docache_status (*docache_store_begin_refresh_fn)(uintptr_t ctx,
                                                         const uint8_t *key,
                                                         size_t key_len,
                                                         const struct docache_refresh_lock *lock,
                                                         int64_t timeout_ns,
                                                         struct docache_found *out,
                                                         uint64_t *out_holder,
                                                         struct docache_error **out_error);

/**
 * Does something with a lock. `renew`: holds it for its time to live from now on; OK, or MISS if
 * it is not the caller's any more. `abandon_refresh`: gives it back if it is the caller's; OK or
 * MISS.
 */
typedef docache_status (*docache_store_lock_fn)(uintptr_t ctx,
                                                const uint8_t *key,
                                                size_t key_len,
                                                const struct docache_refresh_lock *lock,
                                                int64_t timeout_ns,
                                                struct docache_error **out_error);

/**
 * Writes the value, which is borrowed, to be kept for `ttl_ns` (DOCACHE_NEVER: as long as the
 * store can), and notes that it is `age_ns` old, which may be DOCACHE_AGE_UNKNOWN.
 *
 * `finish_refresh`: writes, and gives the lock back, in one step if the store can: OK. MISS if the
 * lock is not the caller's any more: nothing is written. `put`: `lock` is NULL; writes, and takes
 * the lock away from whoever has it, since what he loads is older.
 */
typedef docache_status (*docache_store_write_fn)(uintptr_t ctx,
                                                 const uint8_t *key,
                                                 size_t key_len,
                                                 const struct docache_value *value,
                                                 uint64_t ttl_ns,
                                                 uint64_t age_ns,
                                                 const struct docache_refresh_lock *lock,
                                                 int64_t timeout_ns,
                                                 struct docache_error **out_error);

/**
 * Takes the value out, and the lock away from whoever has it: OK or MISS.
 */
typedef docache_status (*docache_store_remove_fn)(uintptr_t ctx,
                                                  const uint8_t *key,
                                                  size_t key_len,
                                                  int64_t timeout_ns,
                                                  struct docache_error **out_error);

/**
 * A store of your own. Set `size`, and all of the functions.
 *
 * They are called from any thread, several at once, with no lock of the library held, and should
 * return within `timeout_ns`, which is never negative; those of docache_echo_begin are called on
 * its thread. Keys, locks and values are borrowed for the call. What they return that is no status
 * of theirs is a failure: TIMEOUT if the store did not answer in time, PANIC for a defect,
 * INVALID_ARGUMENT if what it has is no value, DOER_FAILED else; with an error in `out_error`,
 * whose share is given away, or none. A failure fails no fetch that can be computed; `on_warning`
 * of the cache is told.
 */
typedef struct docache_store_callbacks {
  /**
   * sizeof(docache_store_callbacks), as the caller was compiled.
   */
  size_t size;
  /**
   * Reads.
   */
  docache_store_get_fn get;
  /**
   * Takes the lock and reads.
   */
  docache_store_begin_refresh_fn begin_refresh;
  /**
   * Goes on holding the lock.
   */
  docache_store_lock_fn renew;
  /**
   * Writes and gives the lock back.
   */
  docache_store_write_fn finish_refresh;
  /**
   * Gives the lock back.
   */
  docache_store_lock_fn abandon_refresh;
  /**
   * Writes.
   */
  docache_store_write_fn put;
  /**
   * Removes.
   */
  docache_store_remove_fn remove;
} docache_store_callbacks;

/**
 * Something that has failed. Its texts are UTF-8, not NUL-terminated, and valid only during the
 * call.
 */
typedef struct docache_echo_warning {
  /**
   * The size of this struct as the library knows it.
   */
  size_t size;
  /**
   * The key.
   */
  const uint8_t *key;
  /**
   * The length of `key`.
   */
  size_t key_len;
  /**
   * Why; a sentence.
   */
  const char *message;
  /**
   * The length of `message`.
   */
  size_t message_len;
  /**
   * A DOCACHE_WARNING.
   */
  int32_t kind;
  /**
   * A DOCACHE_OPERATION.
   */
  int32_t operation;
} docache_echo_warning;

/**
 * Told of what has failed and fails no fetch, with the `ctx` of the cache, on whichever thread is
 * at it, perhaps on several at once, with no lock held. It must return. It may use the cache, and
 * free it: then it is not called any more, and the cache ends when the call, or the refresh, is
 * over that it was called from.
 */
typedef void (*docache_echo_warning_fn)(uintptr_t ctx, const struct docache_echo_warning *warning);

/**
 * How a cache of docache_echo_new is to be. Begin with DOCACHE_ECHO_OPTIONS_INIT and set what you
 * need.
 */
typedef struct docache_echo_options {
  /**
   * sizeof(docache_echo_options), as the caller was compiled.
   */
  size_t size;
  /**
   * How long values live. 0: 15 minutes; DOCACHE_NEVER: as long as the store keeps them.
   */
  uint64_t time_to_live_ns;
  /**
   * How long values live that say that there is no such thing; they are those of no bytes, and,
   * in a store of JSON, `null`. 0: there are no such values.
   */
  uint64_t negative_ttl_ns;
  /**
   * How long a refresh lock is held if its holder dies; while that lives the lock is renewed. 0:
   * 10 s.
   */
  uint64_t lock_ttl_ns;
  /**
   * How long a fetch waits for another process that loads the value, before it loads beside it.
   * 0: the time to live of the lock, and 50 ms.
   */
  uint64_t lock_wait_ns;
  /**
   * How long the calls of one fetch to its store may take together. 0: 50 ms.
   */
  uint64_t store_budget_ns;
  /**
   * Told of what fails and fails no fetch; NULL: nobody is.
   */
  docache_echo_warning_fn on_warning;
  /**
   * DOCACHE_ECHO_ flags.
   */
  uint32_t flags;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_echo_options;

/**
 * How a cache of docache_echo_lazy_new is to be. Begin with DOCACHE_ECHO_LAZY_OPTIONS_INIT and set
 * what you need. The three ages count from the load of a value, each at least the one before.
 */
typedef struct docache_echo_lazy_options {
  /**
   * sizeof(docache_echo_lazy_options), as the caller was compiled.
   */
  size_t size;
  /**
   * From this age on a value is served as stale and refreshed in the background. 0: 1 minute.
   */
  uint64_t refresh_after_ns;
  /**
   * From this age on a fetch waits for the load, and gets the stale value only if that fails. 0:
   * 15 minutes, or `refresh_after_ns` if that is more; DOCACHE_NEVER: never.
   */
  uint64_t expires_ns;
  /**
   * From this age on a value is gone. 0: `expires_ns`; DOCACHE_NEVER: never.
   */
  uint64_t stale_until_ns;
  /**
   * As in docache_echo_options.
   */
  uint64_t negative_ttl_ns;
  /**
   * As in docache_echo_options, at least `refresh_timeout_ns`. 0: that, and 1 s.
   */
  uint64_t lock_ttl_ns;
  /**
   * As in docache_echo_options.
   */
  uint64_t lock_wait_ns;
  /**
   * As in docache_echo_options.
   */
  uint64_t store_budget_ns;
  /**
   * How long a refresh may take. One that takes longer is not stopped, but its lock is not
   * renewed any more; one that its host performs is given up. 0: 30 s.
   */
  uint64_t refresh_timeout_ns;
  /**
   * After a load has failed, it is not tried again while something stale can be served, for a
   * time at random of up to this long, doubled with each failure in a row. 0: it is tried again
   * at once.
   */
  uint64_t backoff_first_ns;
  /**
   * The most that it is doubled to, up to a day. 0: `backoff_first_ns`.
   */
  uint64_t backoff_most_ns;
  /**
   * How many refreshes can wait for a worker, or be with their host; what finds no room is
   * dropped and counted. 0: 1,000.
   */
  size_t queue_size;
  /**
   * How many threads refresh at most. 0: 1.
   */
  size_t workers;
  /**
   * As in docache_echo_options.
   */
  docache_echo_warning_fn on_warning;
  /**
   * Refreshes values before they are stale, by chance, the sooner the longer their loads take
   * (XFetch), by a weight in thousandths: 1,000 suits most. 0: not.
   */
  uint32_t early_refresh_permille;
  /**
   * DOCACHE_ECHO_ flags.
   */
  uint32_t flags;
} docache_echo_lazy_options;

/**
 * A docache_perform_fn that is also told the key, which is borrowed for the call.
 */
typedef docache_status (*docache_perform_key_fn)(uintptr_t ctx,
                                                 const uint8_t *key,
                                                 size_t key_len,
                                                 struct docache_value **out_value,
                                                 struct docache_error **out_error);

/**
 * What a cache has counted since it was made; each number by itself. Begin with
 * DOCACHE_ECHO_COUNTERS_INIT.
 */
typedef struct docache_echo_counters {
  /**
   * sizeof(docache_echo_counters), as the caller was compiled.
   */
  size_t size;
  /**
   * Fetches that the store answered, but for stale ones; 0 without DOCACHE_ECHO_RECORD_STATS.
   */
  uint64_t hits;
  /**
   * Fetches that were answered with a stale value; 0 without DOCACHE_ECHO_RECORD_STATS.
   */
  uint64_t stale_hits;
  /**
   * Fetches that shared what another call loaded.
   */
  uint64_t coalesced;
  /**
   * Loads, those of refreshes included, and those that were given up.
   */
  uint64_t loads;
  /**
   * Those that failed.
   */
  uint64_t load_failures;
  /**
   * Calls to the store that failed or came too late.
   */
  uint64_t store_errors;
  /**
   * Fetches that waited for another process to load.
   */
  uint64_t lock_waits;
  /**
   * Values that were not written since their lock was lost.
   */
  uint64_t lost_writes;
  /**
   * Refreshes in the background that were begun.
   */
  uint64_t refreshes;
  /**
   * Those that failed.
   */
  uint64_t refresh_failures;
  /**
   * Those that were dropped: there was no room, or no thread, or the cache was shut down.
   */
  uint64_t refused;
  /**
   * Locks that were not renewed or given back in the background: there was no thread, or too
   * many waited.
   */
  uint64_t unattended;
  /**
   * Refreshes that wait or run now.
   */
  uint64_t refreshing;
} docache_echo_counters;

/**
 * How a group is to be. Begin with DOCACHE_GROUP_OPTIONS_INIT and set what you need.
 */
typedef struct docache_group_options {
  /**
   * sizeof(docache_group_options), as the caller was compiled.
   */
  size_t size;
  /**
   * Over how many locks the runs are spread, up to 65,536; 0: sixteen for each processor.
   */
  size_t shards;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * 0.
   */
  uint32_t reserved2;
} docache_group_options;

/**
 * A message. Its texts are UTF-8, not NUL-terminated, and valid only during the call.
 */
typedef struct docache_log_record {
  /**
   * The size of this struct as the library knows it.
   */
  size_t size;
  /**
   * The name of the object that speaks.
   */
  const char *target;
  /**
   * The length of `target`.
   */
  size_t target_len;
  /**
   * The text.
   */
  const char *message;
  /**
   * The length of `message`.
   */
  size_t message_len;
  /**
   * A DOCACHE_LEVEL.
   */
  int32_t level;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_log_record;

/**
 * Receives messages, on any thread, perhaps on several at once. It must return. It may free the
 * object that speaks, which then ends when its call or its run is over, and may say so. Of an
 * object that was freed elsewhere it receives nothing more.
 */
typedef void (*docache_log_fn)(uintptr_t ctx, const struct docache_log_record *record);

/**
 * How a loop cache is to run. Begin with DOCACHE_LOOP_OPTIONS_INIT and set what you need.
 */
typedef struct docache_loop_options {
  /**
   * sizeof(docache_loop_options), as the caller was compiled.
   */
  size_t size;
  /**
   * The time between calls. Required: 0 is refused.
   */
  uint64_t interval_ns;
  /**
   * How long after a start the first call comes; 0: at once.
   */
  uint64_t first_delay_ns;
  /**
   * Each wait is lengthened by a random time of up to this.
   */
  uint64_t jitter_ns;
  /**
   * How many results a snapshot shows at most; they take memory as they come. 0: snapshots are
   * empty, and only the latest success is kept.
   */
  size_t capacity;
  /**
   * The thread's name, of which the system may show 15 bytes, and the target of log records;
   * copied. "docache-loop" if `name_len` is 0.
   */
  const char *name;
  /**
   * The length of `name`.
   */
  size_t name_len;
  /**
   * Who is told of failures, starts and stops, and, at DOCACHE_LEVEL_DEBUG, of each success; the
   * loop takes a share of its own. NULL: nobody.
   */
  struct docache_logger *logger;
  /**
   * DOCACHE_FIXED_DELAY or DOCACHE_FIXED_RATE.
   */
  uint32_t schedule;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * What docache_loop_start runs the loop on, instead of a thread of its own; the loop takes a
   * share. The Doer may then be called on different threads, one at a time. NULL: a thread.
   */
  const struct docache_scheduler *scheduler;
} docache_loop_options;

/**
 * Counters since the loop cache was made.
 */
typedef struct docache_loop_counters {
  /**
   * In: sizeof(docache_loop_counters), as the caller was compiled. Stays as it is.
   */
  size_t size;
  /**
   * Calls of the Doer that have ended.
   */
  uint64_t calls;
  /**
   * Those that failed or panicked.
   */
  uint64_t failures;
  /**
   * Those that panicked.
   */
  uint64_t panics;
  /**
   * Failures since the last success.
   */
  uint64_t consecutive_failures;
  /**
   * Ticks of a fixed rate that were left out because they had passed when a call ended.
   */
  uint64_t skipped_ticks;
  /**
   * How long the last call took.
   */
  uint64_t last_duration_ns;
  /**
   * How long after it was due the last call began.
   */
  uint64_t last_lateness_ns;
  /**
   * The greatest lateness of all calls.
   */
  uint64_t max_lateness_ns;
  /**
   * 1 while the loop is running.
   */
  uint32_t running;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_loop_counters;

/**
 * One result of a Doer. The layout never changes.
 */
typedef struct docache_entry {
  /**
   * 1 for the loop cache's first result, then one more each; also the version that published it.
   */
  uint64_t sequence;
  /**
   * The wall clock when the Doer's call began, in nanoseconds since the Unix epoch.
   */
  int64_t timestamp_ns;
  /**
   * How long the Doer took.
   */
  uint64_t duration_ns;
  /**
   * The monotonic time since the Doer's call began: how old the data is at most.
   */
  uint64_t age_ns;
  /**
   * The value, borrowed; NULL unless `status` is OK.
   */
  const struct docache_value *value;
  /**
   * The error, borrowed; NULL if `status` is OK.
   */
  const struct docache_error *error;
  /**
   * OK, DOER_FAILED, or PANIC.
   */
  docache_status status;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_entry;

/**
 * Why a group or a loop stops. What it points to is borrowed: for the call of an interrupt, or for
 * as long as the report is there that it is of. Texts are UTF-8, not NUL-terminated.
 */
typedef struct docache_run_cause {
  /**
   * The size of this struct: as the library knows it, where it fills one of its own, else
   * sizeof(docache_run_cause), as the caller was compiled.
   */
  size_t size;
  /**
   * The name of the actor that returned, failed or panicked; NULL if that is not the cause. Of
   * an actor in a group inside another one a path: "outer/inner".
   */
  const char *actor;
  /**
   * The length of `actor`.
   */
  size_t actor_len;
  /**
   * What that actor failed with: the error that its callback gave, or one that the library made;
   * NULL if that is not the cause.
   */
  const struct docache_error *error;
  /**
   * The cause as a sentence.
   */
  const char *message;
  /**
   * The length of `message`.
   */
  size_t message_len;
  /**
   * A DOCACHE_RUN_ cause.
   */
  int32_t kind;
  /**
   * What that actor's failure counts as: DOER_FAILED, PANIC or INTERNAL; TIMEOUT for a group
   * whose own actors have not stopped in time. OK if that is not the cause.
   */
  docache_status status;
  /**
   * The number of the signal; 0 if that is not the cause.
   */
  int32_t signal;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_run_cause;

/**
 * How a group is to be. Begin with DOCACHE_RUN_GROUP_OPTIONS_INIT and set what you need.
 */
typedef struct docache_run_group_options {
  /**
   * sizeof(docache_run_group_options), as the caller was compiled.
   */
  size_t size;
  /**
   * The target of log records; copied. "docache-run" if `name_len` is 0.
   */
  const char *name;
  /**
   * The length of `name`.
   */
  size_t name_len;
  /**
   * Who is told why the group stops, of failures, and of who has not stopped; the group takes a
   * share of its own. NULL: nobody.
   */
  struct docache_logger *logger;
  /**
   * How long the actors of each stage may take to stop, counted from their interrupts. 0: any
   * time. See docache_run_group_stage_deadline.
   */
  uint64_t deadline_ns;
  /**
   * DOCACHE_STOP_ON_FAILURE or DOCACHE_STOP_ON_RETURN.
   */
  uint32_t stop_on;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_run_group_options;

/**
 * Does the work of an actor, on a thread of the library that is named after it. Returns OK, or
 * DOER_FAILED, or PANIC for a defect, with an error in `out_error`, whose share is given away, or
 * none; the place is NULL when it is called. Any other status counts as DOER_FAILED; where there
 * is no error the library makes one that says so. An error beside OK is released.
 *
 * `stop` is set when the actor is to be interrupted; see docache_stop_token_wait. It must not
 * throw, unwind or longjmp. It may stop and free its own group or loop.
 */
typedef docache_status (*docache_run_execute_fn)(uintptr_t ctx,
                                                 const struct docache_stop_token *stop,
                                                 struct docache_error **out_error);

/**
 * Makes `execute` return soon, and need not wait for that. Called at most once, on a thread of its
 * own, when the group or loop stops, if the execute has begun: perhaps just before its first
 * statement, perhaps after it has returned.
 */
typedef void (*docache_run_interrupt_fn)(uintptr_t ctx, const struct docache_run_cause *cause);

/**
 * Told what `execute` failed with, on the actor's thread; the error is borrowed: the one that
 * `execute` gave, or one that the library made.
 */
typedef void (*docache_run_failure_fn)(uintptr_t ctx, const struct docache_error *error);

/**
 * An actor of a group. Begin with DOCACHE_RUN_ACTOR_INIT and set what you need.
 */
typedef struct docache_run_actor {
  /**
   * sizeof(docache_run_actor), as the caller was compiled.
   */
  size_t size;
  /**
   * What reports call it, and the name of its thread, of which the system may show 15 bytes;
   * copied. Required.
   */
  const char *name;
  /**
   * The length of `name`.
   */
  size_t name_len;
  /**
   * Does the work. Required.
   */
  docache_run_execute_fn execute;
  /**
   * Makes `execute` return. NULL: it watches its `stop`, or is only waited for.
   */
  docache_run_interrupt_fn interrupt;
  /**
   * Told what `execute` failed with, once the group has begun to stop; the actor has stopped
   * when it has returned. NULL: nobody is.
   */
  docache_run_failure_fn on_failure;
  /**
   * The stage in which it is interrupted. Stages go in the order of their numbers, each when all
   * actors of the one before have stopped, or its deadline has passed. All start together.
   */
  uint32_t stage;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_run_actor;

/**
 * How a loop is to be. Begin with DOCACHE_RUN_LOOP_OPTIONS_INIT and set what you need.
 */
typedef struct docache_run_loop_options {
  /**
   * sizeof(docache_run_loop_options), as the caller was compiled.
   */
  size_t size;
  /**
   * The target of log records; copied. "docache-loop" if `name_len` is 0.
   */
  const char *name;
  /**
   * The length of `name`.
   */
  size_t name_len;
  /**
   * As in docache_run_group_options.
   */
  struct docache_logger *logger;
  /**
   * As in docache_run_group_options.
   */
  uint64_t deadline_ns;
} docache_run_loop_options;

/**
 * How the delays between tries grow. Begin with DOCACHE_BACKOFF_INIT and set what you need.
 */
typedef struct docache_backoff {
  /**
   * sizeof(docache_backoff), as the caller was compiled.
   */
  size_t size;
  /**
   * The longest delay after the first failure. Required: 0 is refused.
   */
  uint64_t first_ns;
  /**
   * The longest that there may ever be, at least `first_ns`. 0: no limit.
   */
  uint64_t most_ns;
  /**
   * DOCACHE_BACKOFF_DOUBLING or DOCACHE_BACKOFF_CONSTANT.
   */
  uint32_t growth;
  /**
   * DOCACHE_JITTER_DEFAULT, _NONE or _FULL.
   */
  uint32_t jitter;
} docache_backoff;

/**
 * An actor of a loop: `execute` is called again and again. Begin with DOCACHE_RUN_LOOP_ACTOR_INIT
 * and set what you need.
 */
typedef struct docache_run_loop_actor {
  /**
   * sizeof(docache_run_loop_actor), as the caller was compiled.
   */
  size_t size;
  /**
   * As in docache_run_actor.
   */
  const char *name;
  /**
   * The length of `name`.
   */
  size_t name_len;
  /**
   * Does the work once. Required.
   */
  docache_run_execute_fn execute;
  /**
   * Makes a call of `execute` that is under way return. It may also come between two calls;
   * after it no other begins. NULL as in docache_run_actor.
   */
  docache_run_interrupt_fn interrupt;
  /**
   * Told of each failure of `execute`. NULL: nobody is.
   */
  docache_run_failure_fn on_failure;
  /**
   * How long to wait between the end of a call and the next one, at least.
   */
  uint64_t pause_ns;
  /**
   * How long to wait after a failure, by the number of failures since the last success; a longer
   * pause wins. Copied. NULL: only the pause.
   */
  const struct docache_backoff *backoff;
  /**
   * At most so many failures in any span of `failure_span_ns`: after as many, the next call
   * waits until the first of them is so long ago. 0: no limit.
   */
  size_t failure_limit;
  /**
   * See `failure_limit`; required with it.
   */
  uint64_t failure_span_ns;
  /**
   * As in docache_run_actor.
   */
  uint32_t stage;
  /**
   * 0.
   */
  uint32_t reserved;
} docache_run_loop_actor;

/**
 * How a call is to be retried. Begin with DOCACHE_RUN_RETRY_OPTIONS_INIT and set what you need.
 */
typedef struct docache_run_retry_options {
  /**
   * sizeof(docache_run_retry_options), as the caller was compiled.
   */
  size_t size;
  /**
   * How long to wait between attempts. NULL: not at all.
   */
  const struct docache_backoff *backoff;
  /**
   * Ends waiting at once, and all further attempts, when it is set: that of the actor that
   * retries. NULL: nothing does.
   */
  const struct docache_stop_token *stop;
  /**
   * How much time there is from the beginning of the first attempt: no other begins when it is
   * spent, and none is waited for that would. An attempt under way is not ended. 0: any time.
   */
  uint64_t budget_ns;
  /**
   * How many attempts there may be. 0: any number.
   */
  uint64_t max_attempts;
} docache_run_retry_options;

/**
 * Makes one attempt: OK, or DOER_FAILED, or PANIC for a defect, after which there is no other
 * attempt; with an error in `out_error`, whose share is given away, or none; the place is NULL
 * when it is called. Any other status counts as DOER_FAILED; where there is no error the library
 * makes one that says so. An error beside OK is released. It must not throw, unwind or longjmp.
 */
typedef docache_status (*docache_run_attempt_fn)(uintptr_t ctx,
                                                 struct docache_retrier *retrier,
                                                 struct docache_error **out_error);

/**
 * How a scheduler is to be. Begin with DOCACHE_SCHEDULER_OPTIONS_INIT and set what you need.
 */
typedef struct docache_scheduler_options {
  /**
   * sizeof(docache_scheduler_options), as the caller was compiled.
   */
  size_t size;
  /**
   * The name of the threads, of which the system may show 15 bytes; copied. "docache-sched" if
   * `name_len` is 0.
   */
  const char *name;
  /**
   * The length of `name`.
   */
  size_t name_len;
  /**
   * For how long all workers may be in callbacks while something is due, before they count as
   * stuck and there is one more. 0: 20 ms.
   */
  uint64_t grace_ns;
  /**
   * How many threads there are at most while none of them is stuck. 0: 2.
   */
  size_t workers;
  /**
   * How many there may be when others are stuck, at least `workers`. A callback that stops or
   * frees a loop on the same scheduler needs another worker to be there. 0: 64, or `workers` if
   * that is more.
   */
  size_t max_workers;
} docache_scheduler_options;

/**
 * What a scheduler calls. It must not throw, unwind or longjmp.
 */
typedef void (*docache_scheduler_call_fn)(uintptr_t ctx);

/**
 * What a scheduler has now, and counters since it was made.
 */
typedef struct docache_scheduler_counters {
  /**
   * In: sizeof(docache_scheduler_counters), as the caller was compiled. Stays as it is.
   */
  size_t size;
  /**
   * Worker threads.
   */
  uint64_t workers;
  /**
   * Those that are in a callback.
   */
  uint64_t busy;
  /**
   * Loops and calls that are scheduled, including those that are called now.
   */
  uint64_t scheduled;
  /**
   * Calls that have ended, those of loops included.
   */
  uint64_t calls;
  /**
   * Callbacks that unwound, against their contract; those of loops are in docache_loop_counters.
   */
  uint64_t panics;
  /**
   * The greatest time by which a call began after it was due.
   */
  uint64_t max_lateness_ns;
  /**
   * How often something was due, and all workers had been in callbacks that did not return for
   * longer than the grace.
   */
  uint64_t stuck;
  /**
   * Workers started because of that, beyond the usual number.
   */
  uint64_t grown;
} docache_scheduler_counters;

/**
 * Done.
 */
#define DOCACHE_OK 0

/**
 * There is nothing there.
 */
#define DOCACHE_MISS 1

/**
 * The caller leads and must finish.
 */
#define DOCACHE_LEADER 2

/**
 * Not yet.
 */
#define DOCACHE_PENDING 3

/**
 * The time allowed ran out; what was waited for may still happen.
 */
#define DOCACHE_TIMEOUT 4

/**
 * Cancelled.
 */
#define DOCACHE_CANCELLED 5

/**
 * Closed, stopped or not running: what was asked for will not happen.
 */
#define DOCACHE_CLOSED 6

/**
 * The callback reported a failure.
 */
#define DOCACHE_DOER_FAILED 7

/**
 * The leader went away without a result.
 */
#define DOCACHE_LEADER_LOST 8

/**
 * It is being done already, for somebody else.
 */
#define DOCACHE_BUSY 9

/**
 * An argument is not acceptable; the error names it.
 */
#define DOCACHE_INVALID_ARGUMENT (-1)

/**
 * Called from inside the very work whose end it would wait for.
 */
#define DOCACHE_REENTRANT (-2)

/**
 * Something panicked.
 */
#define DOCACHE_PANIC (-3)

/**
 * The caller was built for an ABI that this library does not have.
 */
#define DOCACHE_VERSION_MISMATCH (-4)

/**
 * The buffer is too small; the length needed was written.
 */
#define DOCACHE_BUFFER_TOO_SMALL (-5)

/**
 * The machine refused something that is needed, such as a thread.
 */
#define DOCACHE_INTERNAL (-6)

/**
 * This library was built without what was asked for.
 */
#define DOCACHE_UNSUPPORTED (-7)

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library that is loaded. [NC]
 */
uint32_t docache_abi_version(void);

/**
 * The version of the library that is loaded, such as "0.1.0", NUL-terminated and static. [NC]
 */
const char *docache_version(void);

/**
 * Makes a cache. `options` may be NULL: all defaults, so entries live for 15 minutes and there is
 * no limit; nothing that they point to is needed afterwards. `on_evict` may be NULL, and so may
 * `drop`; `drop(ctx)` is called exactly once, when the cache is gone or when this function fails.
 * INTERNAL if the machine refuses something. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_cache_new(const struct docache_cache_options *options,
                                 docache_evict_fn on_evict,
                                 uintptr_t ctx,
                                 docache_drop_fn drop,
                                 struct docache_cache **out,
                                 struct docache_error **out_error);

/**
 * Frees the handle, and with it the cache and its shares of values, without telling `on_evict`.
 * Waits for a sweep under way on another thread; so when this has returned `on_evict` is not being
 * called, nor will be, its `drop` has been called, and the cache's shares are given back. Inside a
 * callback of the cache's own (`on_evict`, the `perform` of a docache_cache_fetch, the `visit` of
 * a docache_cache_each, and the `drop` of a value that the cache lets go) it returns at once, and
 * all that happens when the outermost call on the cache, or the sweep, is over that the callback
 * came from. Inside callbacks of other objects it waits, unless the thread that it waits for is
 * freeing that object.
 *
 * Calls of docache_cache_fetch_begin that are out are the exception: they stay valid and go on
 * among themselves, with their notifications. They tell `on_evict` nothing, but its `drop`, and
 * that of values, then waits for the last of them to be freed, and not this function. NULL is
 * fine. [CB] only `drop` [BLK]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
 * freed.
 */
void docache_cache_free(struct docache_cache *cache);

/**
 * The key's value: a share, which the caller releases. If it is not there, runs `perform(ctx,
 * ...)` on this thread and keeps what that returns for `ttl_ns` (0 is the cache's own time,
 * DOCACHE_NEVER for ever), or waits for the run of the key that is under way and shares its
 * outcome; the value is then kept for the `ttl_ns` of the call that leads. DOER_FAILED or PANIC
 * with the error that the run reported, which all of its callers share; with `negative_ttl_ns` a
 * failure is kept for that time, a panic is not. TIMEOUT: the run is not over after `timeout_ns`,
 * and goes on without this caller. The time limits only waiting for others: a call that leads runs
 * `perform` to its end. REENTRANT inside `perform` of the same key. A thread whose call of a
 * `_begin` leads must not wait for that key with the blocking form: that is a deadlock, which is
 * not detected. What is written, removed or cleared while `perform` runs wins: the callers get
 * what they fetched, the cache does not keep it. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_cache_fetch(const struct docache_cache *cache,
                                   const uint8_t *key,
                                   size_t key_len,
                                   uint64_t ttl_ns,
                                   int64_t timeout_ns,
                                   docache_perform_fn perform,
                                   uintptr_t ctx,
                                   struct docache_value **out_value,
                                   struct docache_error **out_error);

/**
 * Begins a fetch without blocking. OK: the value, a share that the caller releases; there is no
 * call. LEADER, with a call: nobody is fetching the key; do the work, then docache_call_finish,
 * which puts the value into the cache for `ttl_ns` and notifies the others. PENDING, with a call:
 * somebody is; see docache_call_on_ready and docache_call_poll, which may say LEADER later.
 * DOER_FAILED: a failure that the cache keeps (`negative_ttl_ns`); there is no call, as with any
 * other status. `owner` names the caller, by a number that no other caller has at the time; 0:
 * nobody. REENTRANT if a call of the same owner (not 0) leads, or inside `perform` of the same
 * key. A thread whose call of a `_begin` leads must not wait for that key with the blocking form:
 * that is a deadlock, which is not detected. Calls of docache_cache_fetch share their runs with
 * these. The caller frees the call. [CB] others' `notify`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_fetch_begin(const struct docache_cache *cache,
                                         const uint8_t *key,
                                         size_t key_len,
                                         uint64_t ttl_ns,
                                         uint64_t owner,
                                         struct docache_value **out_value,
                                         struct docache_call **out_call,
                                         struct docache_error **out_error);

/**
 * The copying form of docache_cache_get: writes the key's value to `buffer` and its length to
 * `out_len`. MISS if it is not there or has expired. BUFFER_TOO_SMALL if it is longer than
 * `capacity`: then only `out_len` is written. Lock-free, but for LRU. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_try_get(const struct docache_cache *cache,
                                     const uint8_t *key,
                                     size_t key_len,
                                     uint8_t *buffer,
                                     size_t capacity,
                                     size_t *out_len,
                                     struct docache_error **out_error);

/**
 * The key's value, shared, not copied: a share that the caller releases. MISS if it is not there
 * or has expired. Lock-free, but for LRU. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_get(const struct docache_cache *cache,
                                 const uint8_t *key,
                                 size_t key_len,
                                 struct docache_value **out_value,
                                 struct docache_error **out_error);

/**
 * OK if the key is there and has not expired, else MISS. Does not count as a use. Lock-free.
 * [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_contains(const struct docache_cache *cache,
                                      const uint8_t *key,
                                      size_t key_len,
                                      struct docache_error **out_error);

/**
 * docache_cache_get for `count` keys, which may be 0: the array `out_values` of as many gets a
 * share of each value, which the caller releases, and NULL for what is not there; all NULL after a
 * negative status. How many there are goes to `out_found`, which may be NULL. OK, also if none is
 * there. Lock-free, but for LRU. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_get_many(const struct docache_cache *cache,
                                      const struct docache_bytes *keys,
                                      size_t count,
                                      struct docache_value **out_values,
                                      size_t *out_found,
                                      struct docache_error **out_error);

/**
 * Calls `visit` for each entry that has not expired, in no order, until it returns something else
 * than 0. It sees those that were there when this function was called; what is written meanwhile
 * it may see or not. No lock is held, so `visit` may use the cache. Takes time, and memory for
 * copies of the keys, in proportion to the entries. [CB]
 *
 * # Safety
 * HANDLE, CALLBACK.
 */
docache_status docache_cache_each(const struct docache_cache *cache,
                                  docache_visit_fn visit,
                                  uintptr_t ctx,
                                  struct docache_error **out_error);

/**
 * How many entries there are, those included that have expired and were not yet swept; 0 for NULL.
 * Takes short locks. [NC]
 *
 * # Safety
 * HANDLE.
 */
uint64_t docache_cache_len(const struct docache_cache *cache);

/**
 * The bytes of all keys and values if there is a `max_weight`, else the number of entries; 0 for
 * NULL. Takes short locks. [NC]
 *
 * # Safety
 * HANDLE.
 */
uint64_t docache_cache_weight(const struct docache_cache *cache);

/**
 * Fills `out`; a part of it that this library does not know becomes zero. Takes short locks.
 * [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_stats(const struct docache_cache *cache,
                                   struct docache_cache_counters *out,
                                   struct docache_error **out_error);

/**
 * Puts a copy of `len` bytes in, to live for `ttl_ns`: 0 is the cache's own time, DOCACHE_NEVER
 * for ever. An earlier value of the key is replaced; what is being fetched for the key meanwhile
 * goes to those who asked and is not kept. INVALID_ARGUMENT also if the value is heavier than a
 * shard's part of `max_weight`: then the earlier one is gone as well. [CB] `on_evict` and `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_set(const struct docache_cache *cache,
                                 const uint8_t *key,
                                 size_t key_len,
                                 const uint8_t *data,
                                 size_t len,
                                 uint64_t ttl_ns,
                                 struct docache_error **out_error);

/**
 * docache_cache_set of a value that is shared instead of copied: the cache takes a share of its
 * own. [CB] `on_evict` and `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_set_value(const struct docache_cache *cache,
                                       const uint8_t *key,
                                       size_t key_len,
                                       const struct docache_value *value,
                                       uint64_t ttl_ns,
                                       struct docache_error **out_error);

/**
 * docache_cache_set for `count` keys and as many values, in their order: of several with one key
 * the last stays. More keys than the cache has shards cost less than as many calls: a lock is
 * taken for up to 6 of them at a time, and other threads may see a later key of the list before an
 * earlier one. INVALID_ARGUMENT if a value is too heavy: the others have been put in all the same,
 * and the error names the first; for any other reason: nothing has happened. INTERNAL if there is
 * no memory for a value: those before it have been put in. [CB] `on_evict` and `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_set_many(const struct docache_cache *cache,
                                      const struct docache_bytes *keys,
                                      const struct docache_bytes *values,
                                      size_t count,
                                      uint64_t ttl_ns,
                                      struct docache_error **out_error);

/**
 * Takes the key out. OK if it was there and had not expired, else MISS. A share of the value goes
 * to `out_value`, which may be NULL. A failure that is kept for the key is forgotten as well, and
 * what is being fetched for it meanwhile goes to those who asked and is not kept. [CB]
 * `on_evict` and `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_remove(const struct docache_cache *cache,
                                    const uint8_t *key,
                                    size_t key_len,
                                    struct docache_value **out_value,
                                    struct docache_error **out_error);

/**
 * docache_cache_remove for `count` keys, which may be 0. OK, also if none was there; how many were
 * goes to `out_removed`, which may be NULL. [CB] `on_evict` and `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_remove_many(const struct docache_cache *cache,
                                         const struct docache_bytes *keys,
                                         size_t count,
                                         size_t *out_removed,
                                         struct docache_error **out_error);

/**
 * Takes everything out, and forgets the failures that are kept. What is being fetched meanwhile
 * goes to those who asked and is not kept. [CB] `on_evict` and `drop`
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_cache_clear(const struct docache_cache *cache,
                                   struct docache_error **out_error);

/**
 * Takes out what has expired, as the sweep does from time to time. How much that was goes to
 * `out_purged`, which may be NULL. [CB] `on_evict` and `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_cache_purge_expired(const struct docache_cache *cache,
                                           size_t *out_purged,
                                           struct docache_error **out_error);

/**
 * Releases the values that were taken out and that no reader can see any more. PENDING if readers
 * still hold some. [CB] `drop`
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_cache_flush(const struct docache_cache *cache,
                                   struct docache_error **out_error);

/**
 * Ends the run that the call leads: later calls of the key begin a new one, and those that wait
 * are notified. `status` is DOCACHE_OK with a value, or DOCACHE_DOER_FAILED, or DOCACHE_PANIC for
 * a defect, with an error or NULL; what is not given is NULL. The library takes shares of its own.
 * `out_shared`, which may be NULL, becomes 1 if others got the outcome, else 0. INVALID_ARGUMENT,
 * also if the call does not lead or was finished already, or if it is one of a cache and was not
 * polled since the lead came to it (in a cache: when notified, poll before you finish): nothing
 * has happened. [CB] others' `notify`; for a cache also `on_evict` and `drop`
 *
 * A call of a cache first puts the value there, unless the key was written, removed or cleared
 * since the call was LEADER; a failure, but not PANIC, if the cache keeps those.
 *
 * # Safety
 * HANDLE; nothing else may be going on with the call.
 */
docache_status docache_call_finish(struct docache_call *call,
                                   docache_status status,
                                   struct docache_value *value,
                                   struct docache_error *error,
                                   uint32_t *out_shared,
                                   struct docache_error **out_error);

/**
 * docache_call_finish and then docache_call_free, at a lower price: for a caller that will not
 * poll any more. `value` and `error` stay the caller's, who releases them after this has returned,
 * whatever it returns. OK: the call is freed. INVALID_ARGUMENT, also if the call does not lead or
 * was finished already: nothing has happened, and the call is still to be freed. [CB] as
 * docache_call_finish
 *
 * # Safety
 * HANDLE; nothing else may be going on with the call.
 */
docache_status docache_call_end(struct docache_call *call,
                                docache_status status,
                                struct docache_value *value,
                                struct docache_error *error,
                                uint32_t *out_shared,
                                struct docache_error **out_error);

/**
 * Has `notify(token)` called once when docache_call_poll has something to say, an outcome or the
 * lead: PENDING. OK if it has already: then `notify` is not called. One notification at a time: a
 * second one is refused unless the first was cancelled. A call that was LEADER from the beginning
 * is refused. [NC]
 *
 * # Safety
 * HANDLE, CALLBACK.
 */
docache_status docache_call_on_ready(struct docache_call *call,
                                     docache_notify_fn notify,
                                     uintptr_t token,
                                     struct docache_error **out_error);

/**
 * Looks: PENDING; LEADER if the call leads, from the beginning or because the lead was handed to
 * it; or what came of the run. OK: a share of the value, which the caller releases, and in
 * `out_shared`, which may be NULL, 1 if others got it too, else 0. DOER_FAILED or PANIC with the
 * error that the leader reported. May be called again and says the same, with one more share each
 * time. A call of a cache that is handed the lead, and finds that the value has come meanwhile,
 * ends the run with that. [NC] for a group; for a cache [CB] others' `notify`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_call_poll(struct docache_call *call,
                                 struct docache_value **out_value,
                                 uint32_t *out_shared,
                                 struct docache_error **out_error);

/**
 * Takes the notification back; the call itself goes on (docache_call_free gives it up). OK: it
 * will not be called; another may be given. PENDING: it has been called, or is being called now.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_call_cancel(struct docache_call *call);

/**
 * Frees the call, and so gives it up: one that waits leaves its run, which goes on. One that leads
 * and was not finished hands its lead on, or, if nobody waits, the run is over: LEADER_LOST. In
 * all other cases, also for NULL: OK. The notification is cancelled, but, unlike
 * docache_wait_free, this does not wait for one that is being called: what `token` leads to must
 * stay valid until docache_call_cancel has said OK or `notify` has returned. [CB] others'
 * `notify`, and `drop`
 *
 * # Safety
 * HANDLE; nothing else may be going on with the call.
 */
docache_status docache_call_free(struct docache_call *call);

/**
 * Takes one more share; returns its argument. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
struct docache_store *docache_store_retain(const struct docache_store *store);

/**
 * Gives a share back. With the last one the store goes, and with it what it keeps in memory. NULL
 * is fine. [CB] only `drop`
 *
 * # Safety
 * HANDLE.
 */
void docache_store_release(const struct docache_store *store);

/**
 * Makes a store in this process's memory. Values are shared, not copied, and reads never wait.
 * `options` may be NULL: no limit. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_store_memory_new(const struct docache_store_memory_options *options,
                                        struct docache_store **out,
                                        struct docache_error **out_error);

/**
 * Makes a store in memory that has one entry, whatever the key: for what there is one of, such as
 * a configuration. `time_to_live_ns` is as in docache_store_memory_options. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_store_single_new(uint64_t time_to_live_ns,
                                        struct docache_store **out,
                                        struct docache_error **out_error);

/**
 * Makes a store of two: what the near one has is served from there and asks nobody else; the far
 * one has the truth, and the locks. What is found in the far one is copied into the near one for
 * `most_ns` at most: for so long this process may not see what another one writes or removes;
 * DOCACHE_NEVER is for as long as it lives. Writes go to the far store first. A near store that
 * fails is done without. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_store_tiered_new(const struct docache_store *near,
                                        const struct docache_store *far,
                                        uint64_t most_ns,
                                        struct docache_store **out,
                                        struct docache_error **out_error);

/**
 * Makes a store that is not asked while it is known to be down: after `failures` in a row (0: 5)
 * calls fail at once, so that a fetch computes and pays next to nothing for the store; after
 * `pause_ns` (0: 500 ms) one call finds out whether it is back. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_store_breaker_new(const struct docache_store *store,
                                         uint32_t failures,
                                         uint64_t pause_ns,
                                         struct docache_store **out,
                                         struct docache_error **out_error);

/**
 * Makes a store in the Redis server, or one that speaks its protocol, at `url`:
 * `redis://[user][:password@]host[:port][/database]`, `rediss://...` for TLS, if the library was
 * built with that, or `unix:///path`. `options` may be NULL. It connects when it is first used, so
 * the server need not be there yet, and again in the background when the connection breaks; calls
 * never wait longer than the time for the store of their cache.
 *
 * Keys, values and locks are as the Go library logocomune/echocache has them: the entry is at
 * `prefix:key`, its lock at `prefix:lock:key`. Values are JSON; what is not, is refused with
 * INVALID_ARGUMENT where it is put in, or where `perform` returns it.
 *
 * UNSUPPORTED if this library was built without Redis. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_store_redis_new(const char *url,
                                       size_t url_len,
                                       const struct docache_store_remote_options *options,
                                       struct docache_store **out,
                                       struct docache_error **out_error);

/**
 * Makes a store in a key-value bucket of NATS JetStream, at `url`:
 * `nats://[user:password@]host[:port]`. `options` may be NULL. The bucket is created when it is
 * first used, if it is not there. Else as docache_store_redis_new; the entry is at the prefix, a
 * dot and the MD5 of the key.
 *
 * UNSUPPORTED if this library was built without NATS. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_store_nats_new(const char *url,
                                      size_t url_len,
                                      const char *bucket,
                                      size_t bucket_len,
                                      const struct docache_store_remote_options *options,
                                      struct docache_store **out,
                                      struct docache_error **out_error);

/**
 * Makes a store of callbacks. `drop` may be NULL; `drop(ctx)` is called exactly once, when nobody
 * has the store any more or when this function fails. When docache_echo_free of the last cache
 * that uses it has returned, none of the callbacks is being called for that. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_store_custom_new(const struct docache_store_callbacks *callbacks,
                                        uintptr_t ctx,
                                        docache_drop_fn drop,
                                        struct docache_store **out,
                                        struct docache_error **out_error);

/**
 * Makes a cache whose values live for a time. `options` may be NULL: all defaults, so values live
 * for 15 minutes. The cache takes a share of the store. `drop(ctx)` is called exactly once, when
 * the cache is gone or when this function fails; `ctx` is also what `on_warning` gets.
 *
 * What fails in the store fails no fetch that can be computed: `on_warning` is told, and `perform`
 * is called. A fetch spends no more than `store_budget_ns` on a store that keeps to its time.
 * [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_echo_new(const struct docache_store *store,
                                const struct docache_echo_options *options,
                                uintptr_t ctx,
                                docache_drop_fn drop,
                                struct docache_echo **out,
                                struct docache_error **out_error);

/**
 * Makes a cache that does not let callers wait for what can be served stale: such a value is
 * returned at once, and refreshed in the background. `options` may be NULL: all defaults. The
 * cache takes a share of the store. `drop(ctx)` is called exactly once, when the cache is gone or
 * when this function fails; `ctx` is also what `on_warning` and `perform` get.
 *
 * `perform`, which is told the key, refreshes on threads of the library, and loads for fetches
 * that are given none of their own. With NULL refreshes are left to the program around:
 * docache_echo_refresh_begin.
 *
 * A store that does not know the ages of its values, such as one on a server with
 * DOCACHE_FORMAT_JSON, has nothing that is ever stale. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_echo_lazy_new(const struct docache_store *store,
                                     const struct docache_echo_lazy_options *options,
                                     docache_perform_key_fn perform,
                                     uintptr_t ctx,
                                     docache_drop_fn drop,
                                     struct docache_echo **out,
                                     struct docache_error **out_error);

/**
 * Frees the handle, and with it the cache and its share of the store. Refreshes that wait are
 * dropped; those under way, and calls of a store of callbacks, are waited for; so when this has
 * returned no callback of the cache is being called, nor will be, and `drop` has been called. See
 * docache_echo_shutdown for letting refreshes end. Inside a callback of the cache's own
 * (`on_warning`, `perform`, those of its store, and the `drop` of a value that it lets go) it
 * returns at once, and all that happens when the outermost call on the cache, or the refresh, is
 * over that the callback came from. Inside callbacks of other objects it waits, unless the thread
 * that it waits for is freeing that object.
 *
 * Calls of docache_echo_begin and docache_echo_refresh_begin that are out are the exception: they
 * stay valid and go on among themselves, with their notifications, but without a store of
 * callbacks: what they fetch is not kept there. They tell `on_warning` nothing, and have shares of
 * the store until they are freed. NULL is fine. [CB] only `drop` [BLK]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
 * freed.
 */
void docache_echo_free(struct docache_echo *echo);

/**
 * The key's value: a share, which the caller releases. What the store does not have is loaded by
 * `perform(ctx, key, ...)` on this thread and put there, or waited for if another call or another
 * process is loading it. A lazy cache returns what is stale at once and has it refreshed; its own
 * work loads if `perform` is NULL.
 *
 * `out_fetched`, which may be NULL, gets a DOCACHE_FETCHED, and `out_age_ns`, which may be NULL,
 * how long ago a stale value was loaded, else 0.
 *
 * DOER_FAILED or PANIC with the error that the load reported, which all who waited for it share;
 * INVALID_ARGUMENT also if the store keeps JSON and `perform` returned none. TIMEOUT: the load is
 * not over after `timeout_ns`, and goes on without this caller; with 0 nothing is loaded, and a
 * store on a server is not asked. A call that leads runs `perform` to its end. REENTRANT inside
 * `perform` of the same key. What fails in the store fails no fetch: see docache_echo_new. [CB]
 * [BLK]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_echo_fetch(const struct docache_echo *echo,
                                  const uint8_t *key,
                                  size_t key_len,
                                  int64_t timeout_ns,
                                  docache_perform_key_fn perform,
                                  uintptr_t ctx,
                                  struct docache_value **out_value,
                                  int32_t *out_fetched,
                                  uint64_t *out_age_ns,
                                  struct docache_error **out_error);

/**
 * Puts a value into the store, which takes a share of it or writes its bytes, as if it had just
 * been loaded: it lives, and is refreshed, as that would be. What is being loaded for the key
 * meanwhile, in any process, goes to those who asked and is not kept. INVALID_ARGUMENT also if the
 * store keeps JSON and the value is none. DOER_FAILED, TIMEOUT after the time for the store, or
 * PANIC if the store could not do it: the value may be there or not. [CB] callbacks of a store,
 * and `drop` [BLK]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_put(const struct docache_echo *echo,
                                const uint8_t *key,
                                size_t key_len,
                                const struct docache_value *value,
                                struct docache_error **out_error);

/**
 * Takes the key out of the store, also if it was not there. What is being loaded for it meanwhile,
 * in any process, goes to those who asked and is not kept, and whoever asks from now on gets
 * another load. Fails as docache_echo_put. [CB] callbacks of a store, and `drop` [BLK]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_remove(const struct docache_echo *echo,
                                   const uint8_t *key,
                                   size_t key_len,
                                   struct docache_error **out_error);

/**
 * Begins a fetch without blocking. OK: the value, as docache_echo_fetch has it; there is no call.
 * LEADER, with a call: do the work, then docache_echo_call_finish, which puts the value into the
 * store. PENDING, with a call: the store has not answered yet, or somebody else does the work; see
 * docache_echo_call_on_ready and docache_echo_call_poll, which may say LEADER later. With any
 * other status there is no call. The caller frees the call; to stop waiting after some time, free
 * it then. A thread whose call leads must not wait for that key with docache_echo_fetch: that is a
 * deadlock, which is not detected.
 *
 * Callbacks of a store are called on this thread, and on one of the library's. [CB] callbacks of
 * a store, `on_warning`, and others' `notify`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_begin(const struct docache_echo *echo,
                                  const uint8_t *key,
                                  size_t key_len,
                                  struct docache_value **out_value,
                                  int32_t *out_fetched,
                                  uint64_t *out_age_ns,
                                  struct docache_echo_call **out_call,
                                  struct docache_error **out_error);

/**
 * Has `notify(token)` called once when docache_echo_call_poll has something to say, an outcome or
 * the lead: PENDING. OK if it has already: then `notify` is not called. One notification at a
 * time: a second one is refused unless the first was cancelled, or the call was finished since.
 * [NC]
 *
 * # Safety
 * HANDLE, CALLBACK.
 */
docache_status docache_echo_call_on_ready(struct docache_echo_call *call,
                                          docache_notify_fn notify,
                                          uintptr_t token,
                                          struct docache_error **out_error);

/**
 * Looks: PENDING; LEADER if the call is to do the work and was not finished; or what came of it.
 * OK: as docache_echo_fetch has it; for a refresh there is no value, `out_value` becomes NULL, and
 * the other outputs are not written. May be called again and says the same, with one more share
 * each time. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_call_poll(struct docache_echo_call *call,
                                      struct docache_value **out_value,
                                      int32_t *out_fetched,
                                      uint64_t *out_age_ns,
                                      struct docache_error **out_error);

/**
 * The key of the call, valid until it is freed; its length goes to `out_len`, which may be NULL.
 * NULL for NULL. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
const uint8_t *docache_echo_call_key(const struct docache_echo_call *call, size_t *out_len);

/**
 * Takes the notification back; the call itself goes on. OK: it will not be called; another may be
 * given. PENDING: it has been called, or is being called now. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_echo_call_cancel(struct docache_echo_call *call);

/**
 * Ends the work of a call that leads. `status` is DOCACHE_OK with a value, or DOCACHE_DOER_FAILED,
 * or DOCACHE_PANIC for a defect, with an error or NULL; what is not given is NULL. The library
 * takes shares of its own. OK: it is over, and those who waited have been notified. PENDING: the
 * value is on its way into the store, which the call may be polled for; it goes on also if the
 * call is freed. CLOSED: the time for a refresh was over. INVALID_ARGUMENT, also if the call does
 * not lead or was finished already, or if the store keeps JSON and the value is none: nothing has
 * happened. [CB] callbacks of a store, `on_warning`, and others' `notify`
 *
 * # Safety
 * HANDLE; nothing else may be going on with the call.
 */
docache_status docache_echo_call_finish(struct docache_echo_call *call,
                                        docache_status status,
                                        struct docache_value *value,
                                        struct docache_error *error,
                                        struct docache_error **out_error);

/**
 * Frees the call, and so gives it up, unless it was finished: one that waits leaves its load,
 * which goes on; one that leads hands its lead on, or, if nobody waits, gives the key's lock back.
 * A notification that is being called on another thread at this moment is waited for; inside the
 * notification this returns at once. NULL is fine. [CB] callbacks of a store, `on_warning`,
 * others' `notify` and `drop` [BLK] only for that
 *
 * # Safety
 * HANDLE; nothing else may be going on with the call, but what calls the notification.
 */
void docache_echo_call_free(struct docache_echo_call *call);

/**
 * Has `notify(token)` called once when a refresh is due: PENDING. OK if one is already: then
 * `notify` is not called. It is called on the thread of the fetch that finds its value stale, and
 * must not block; after it was called another may be given, also inside of it. One notification at
 * a time. [NC]
 *
 * # Safety
 * HANDLE, CALLBACK.
 */
docache_status docache_echo_on_refresh(const struct docache_echo *echo,
                                       docache_notify_fn notify,
                                       uintptr_t token,
                                       struct docache_error **out_error);

/**
 * Takes the notification of docache_echo_on_refresh back. OK: it will not be called. PENDING:
 * there is none: it has been called, or is being called now. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_echo_on_refresh_cancel(const struct docache_echo *echo,
                                              struct docache_error **out_error);

/**
 * Begins the refresh that has been due for the longest time. MISS: none is due. LEADER, with a
 * call: do the work for docache_echo_call_key, then docache_echo_call_finish within
 * `refresh_timeout_ns`. PENDING, with a call: the store has not answered yet; poll says LEADER, or
 * OK if another process is at it or was. The caller frees the call; one that was not finished
 * gives the refresh up. A failure that is finished with counts for the backoff, and `on_warning`
 * is told. [CB] callbacks of a store, and `on_warning`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_refresh_begin(const struct docache_echo *echo,
                                          struct docache_echo_call **out_call,
                                          struct docache_error **out_error);

/**
 * Fills `out`; a part of it that this library does not know becomes zero. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_stats(const struct docache_echo *echo,
                                  struct docache_echo_counters *out,
                                  struct docache_error **out_error);

/**
 * Takes no refreshes any more, and gives those that wait or run until `timeout_ns` to end. OK:
 * none runs any more. TIMEOUT: some still do, and go on. What has not begun by then is dropped.
 * How many ended, were dropped and still run goes to the outputs, each of which may be NULL; they
 * are written with TIMEOUT as well. Fetches still work afterwards: what is stale stays so, and
 * what is missing is loaded. A later call, and one of a cache that is not lazy, has nothing to do
 * and says OK. Called inside a refresh it waits in vain for that one. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_echo_shutdown(const struct docache_echo *echo,
                                     int64_t timeout_ns,
                                     size_t *out_drained,
                                     size_t *out_dropped,
                                     size_t *out_running,
                                     struct docache_error **out_error);

/**
 * Makes an error for a callback to report: any code, and a message. Bytes that are not UTF-8 are
 * replaced. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_error_new(int64_t code,
                                 const char *message,
                                 size_t message_len,
                                 struct docache_error **out,
                                 struct docache_error **out_error);

/**
 * Takes one more share; returns its argument. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
struct docache_error *docache_error_retain(const struct docache_error *error);

/**
 * Gives a share back. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
void docache_error_release(const struct docache_error *error);

/**
 * The code that docache_error_new was given, also of a failure that a loop or a cache keeps or
 * that a run shared; 0 for any other error and for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
int64_t docache_error_code(const struct docache_error *error);

/**
 * The status that the error stands for: DOER_FAILED for one of docache_error_new, OK for NULL.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_error_status(const struct docache_error *error);

/**
 * The message: UTF-8, NUL-terminated, valid while the caller has a share; NULL for NULL. Its
 * length without the NUL is written to `out_len`, which may be NULL. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
const char *docache_error_message(const struct docache_error *error, size_t *out_len);

/**
 * Makes a group. `options` may be NULL: all defaults. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_group_new(const struct docache_group_options *options,
                                 struct docache_group **out,
                                 struct docache_error **out_error);

/**
 * Frees the handle. Inside `perform` of a docache_group_run of its own it returns at once; that
 * run's outcome goes to all who wait for it, and the group ends when the last of their calls is
 * over. No other docache_group_run may be under way. Calls of docache_group_begin that are out
 * stay valid, and go on among themselves, with their notifications. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
 * freed.
 */
void docache_group_free(struct docache_group *group);

/**
 * Runs `perform(ctx, ...)` on this thread, or waits for the run of the key that is under way and
 * shares its outcome. OK: the value, whose share the caller releases, and in `out_shared`, which
 * may be NULL, 1 if others got it too, else 0. DOER_FAILED or PANIC with the error that the run
 * reported, which all of its callers share. TIMEOUT: the run is not over after `timeout_ns`, and
 * goes on without this caller. The time limits only waiting for others: a call that leads runs
 * `perform` to its end, however long that takes. REENTRANT inside `perform` of the same key. A
 * thread whose call of a `_begin` leads must not wait for that key with the blocking form: that is
 * a deadlock, which is not detected. If a run that was begun with docache_group_begin is given up,
 * one of those who wait runs its own `perform`. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_group_run(struct docache_group *group,
                                 const uint8_t *key,
                                 size_t key_len,
                                 int64_t timeout_ns,
                                 docache_perform_fn perform,
                                 uintptr_t ctx,
                                 struct docache_value **out_value,
                                 uint32_t *out_shared,
                                 struct docache_error **out_error);

/**
 * Lets later calls of the key begin a new run; those in the one under way still get its outcome.
 * OK, or MISS if there is no run that a call could join. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_group_forget(struct docache_group *group,
                                    const uint8_t *key,
                                    size_t key_len,
                                    struct docache_error **out_error);

/**
 * How many runs are under way that a call could join; 0 for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
size_t docache_group_in_flight(const struct docache_group *group);

/**
 * Begins a call without blocking. LEADER, with a call in `out`: nobody is at it; do the work, then
 * docache_call_finish. PENDING, with a call in `out`: somebody is; see docache_call_on_ready and
 * docache_call_poll, which may say LEADER later, if who leads gives its call up: then do the work,
 * or free the call as well. With any other status there is no call. Calls of docache_group_run
 * share their runs with these. REENTRANT inside `perform` of the same key. A thread whose call of
 * a `_begin` leads must not wait for that key with the blocking form: that is a deadlock, which is
 * not detected. The caller frees the call; to stop waiting after some time, free it then. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_group_begin(struct docache_group *group,
                                   const uint8_t *key,
                                   size_t key_len,
                                   struct docache_call **out,
                                   struct docache_error **out_error);

/**
 * docache_group_begin for callers that threads do not tell apart, such as fibers, tasks and
 * goroutines: `owner` names the caller, by a number that no other caller has at the time; 0:
 * nobody. REENTRANT also if a call of the same owner leads the run that this one would wait for,
 * on whatever thread. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_group_begin_as(struct docache_group *group,
                                      const uint8_t *key,
                                      size_t key_len,
                                      uint64_t owner,
                                      struct docache_call **out,
                                      struct docache_error **out_error);

/**
 * Makes a logger of messages up to `max_level`, a DOCACHE_LEVEL from 1. Loops speak: of starts and
 * stops at INFO, of failures at WARN, of panics at ERROR, of each success at DEBUG. So do
 * docache_run_groups and docache_run_loops: of why they stop at INFO, of failures and of who has
 * not stopped at WARN, of panics at ERROR. Caches and docache_groups do not. `drop` may be NULL.
 * [CB] only `drop`
 *
 * # Safety
 * HANDLE, CALLBACK.
 */
docache_status docache_logger_new(docache_log_fn log,
                                  uintptr_t ctx,
                                  docache_drop_fn drop,
                                  int32_t max_level,
                                  struct docache_logger **out,
                                  struct docache_error **out_error);

/**
 * Takes one more share; returns its argument. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
struct docache_logger *docache_logger_retain(const struct docache_logger *logger);

/**
 * Gives a share back. NULL is fine. [CB] only `drop`
 *
 * # Safety
 * HANDLE.
 */
void docache_logger_release(const struct docache_logger *logger);

/**
 * Makes a loop cache, not yet started. `drop(ctx)`, if there is a `drop`, is called exactly once,
 * after the last call of `perform`, the Doer of this loop, also when this function fails. Without
 * a `perform` only its host can drive it: see docache_loop_drive. Nothing that `options` point to
 * is needed afterwards. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_loop_new(const struct docache_loop_options *options,
                                docache_perform_fn perform,
                                uintptr_t ctx,
                                docache_drop_fn drop,
                                struct docache_loop **out,
                                struct docache_error **out_error);

/**
 * Stops the loop, waits for the Doer's call under way, and frees the handle. When it has returned
 * the Doer was dropped, and the logger hears nothing more of the loop. Called from inside the
 * Doer, or from the logger while that hears of this loop, it does not wait: the Doer, which must
 * not use the handle any more, is called no more, and is dropped when the run ends; that of
 * docache_loop_run before that returns. Called from inside callbacks of other objects it waits,
 * unless the thread that it waits for is freeing that object. Called from elsewhere, the caller
 * sees to it that the Doer no longer uses the handle either. Snapshots, values and waits stay
 * valid. NULL is fine. [CB] [BLK]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
 * freed.
 */
void docache_loop_free(struct docache_loop *handle);

/**
 * Starts the loop on a thread of its own, or on its scheduler. A loop that is running is fine; one
 * that is about to stop runs again as soon as the Doer's call ends. On Unix the thread blocks all
 * signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP, as all threads of the library do;
 * threads and processes that the Doer starts inherit that. CLOSED if its scheduler was shut down.
 * [CB] only the logger
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_loop_start(const struct docache_loop *handle,
                                  struct docache_error **out_error);

/**
 * Runs the loop on the calling thread until it is stopped; BUSY if it is running already. [CB]
 * [BLK]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_loop_run(const struct docache_loop *handle,
                                struct docache_error **out_error);

/**
 * Stops the loop and waits until the Doer's call under way has ended, or until the host that
 * drives it has freed the drive; a loop that is not running is fine. TIMEOUT: that is not so yet,
 * and the loop stops when it is. From inside the Doer it asks and returns OK at once. A refresh
 * that has been asked for and not been served gets CLOSED. [BLK]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_loop_stop(const struct docache_loop *handle,
                                 int64_t timeout_ns,
                                 struct docache_error **out_error);

/**
 * Whether the loop is running; false for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
bool docache_loop_is_running(const struct docache_loop *handle);

/**
 * Fills `out`; a part of it that this library does not know becomes zero. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_stats(const struct docache_loop *handle,
                                  struct docache_loop_counters *out,
                                  struct docache_error **out_error);

/**
 * The last failure's error, also after later successes; MISS if there was none. The caller
 * releases it. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_last_error(const struct docache_loop *handle,
                                       struct docache_error **out,
                                       struct docache_error **out_error);

/**
 * Begins a run that the caller, the host, drives with its own threads and timers: it asks
 * docache_drive_begin whether a call is due, does the work itself, and hands in what came of it
 * with docache_drive_finish. The loop's `perform` is not called, and may be NULL. BUSY if the loop
 * is running already. [CB] only the logger
 *
 * In a program that sleeps in poll():
 *
 *     for (;;) {
 *       docache_status status = docache_drive_begin(drive, &wait_ns, NULL);
 *       if (status == DOCACHE_CLOSED) break;
 *       if (status == DOCACHE_OK) {
 *         ... do the work; docache_drive_finish(drive, DOCACHE_OK, value, NULL, NULL);
 *       } else if (docache_drive_called(drive, &called, NULL) == DOCACHE_PENDING) {
 *         if (docache_wait_on_ready(called, write_to_pipe, pipe, NULL) == DOCACHE_PENDING)
 *           ... poll(pipe, wait_ns);
 *         docache_wait_free(called);
 *       }
 *     }
 *     docache_drive_free(drive);
 *
 * Waits of docache_drive_called are freed before or after the drive, and the drive before the
 * loop. While the host drives it, docache_loop_stop, _refresh and _changed wait for the host: on
 * the thread that drives use their _begin forms, or a timeout of 0. A stop is over, and a refresh
 * that it overtook gets CLOSED, when the drive has been freed. docache_loop_free does not wait for
 * a run that the host drives: the host frees the loop on the thread that drives, or after the
 * drive.
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_drive(const struct docache_loop *handle,
                                  struct docache_drive **out,
                                  struct docache_error **out_error);

/**
 * Begins a call if one is due: OK, and docache_drive_finish has to follow. PENDING if none is: ask
 * again after `out_wait_ns`, or as soon as the wait of docache_drive_called is over. CLOSED if the
 * run has been asked to stop: free the drive. `out_wait_ns` is written with PENDING only.
 * REENTRANT while a call is under way. [NC]
 *
 * # Safety
 * HANDLE, SPAN; nothing else may be going on with the drive.
 */
docache_status docache_drive_begin(struct docache_drive *drive,
                                   uint64_t *out_wait_ns,
                                   struct docache_error **out_error);

/**
 * Ends the call under way and publishes what came of it: `status`, `value` and `error` are what a
 * docache_perform_fn would return and write, and count as there. The shares of `value` and `error`
 * are given away, also if this fails. INVALID_ARGUMENT if no call is under way. [CB] `drop` of
 * what nobody can see any more, the logger, notifications
 *
 * # Safety
 * HANDLE; nothing else may be going on with the drive.
 */
docache_status docache_drive_finish(struct docache_drive *drive,
                                    docache_status status,
                                    struct docache_value *value,
                                    struct docache_error *error,
                                    struct docache_error **out_error);

/**
 * Begins a wait for one event: somebody asks for a refresh or a stop. OK if one has already been
 * asked for and docache_drive_begin has not answered it yet; else PENDING with a wait in `out`,
 * which comes to OK with the event, and to CLOSED if the run ends first. That a call becomes due
 * is no event: for that there is `out_wait_ns`. It is one wait for one event: when it is over,
 * free it and begin another. Several may be out. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_drive_called(const struct docache_drive *drive,
                                    struct docache_wait **out,
                                    struct docache_error **out_error);

/**
 * Ends the run and frees the drive; a call under way stays without a result. Who waits for the end
 * of the run is notified. NULL is fine. [CB] the logger, notifications; `drop` if the loop cache
 * was freed
 *
 * # Safety
 * HANDLE; nothing else may be going on with the drive.
 */
void docache_drive_free(struct docache_drive *drive);

/**
 * The last success: its value, whose share the caller releases, and in `out_entry`, which may be
 * NULL, what is known of it. MISS before the first. Lock-free. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_latest(const struct docache_loop *handle,
                                   struct docache_value **out_value,
                                   struct docache_entry *out_entry,
                                   struct docache_error **out_error);

/**
 * Copies the bytes of the last success into `buffer` and their number into `out_len`. MISS before
 * the first. BUFFER_TOO_SMALL if there are more than `capacity`: then only `out_len` is written.
 * `out_entry` may be NULL; its pointers are NULL here. Lock-free. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_latest_copy(const struct docache_loop *handle,
                                        uint8_t *buffer,
                                        size_t capacity,
                                        size_t *out_len,
                                        struct docache_entry *out_entry,
                                        struct docache_error **out_error);

/**
 * Takes a snapshot: O(1), sharing the results and not copying them. Lock-free. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_snapshot(const struct docache_loop *handle,
                                     struct docache_snapshot **out,
                                     struct docache_error **out_error);

/**
 * Takes one more share; returns its argument. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
struct docache_snapshot *docache_snapshot_retain(const struct docache_snapshot *snapshot);

/**
 * Gives a share back. With the last one, results that nobody else has are released. NULL is fine.
 * [CB]
 *
 * # Safety
 * HANDLE.
 */
void docache_snapshot_release(const struct docache_snapshot *snapshot);

/**
 * How many results there are; 0 for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
size_t docache_snapshot_len(const struct docache_snapshot *snapshot);

/**
 * The version that the snapshot shows; 0 for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
uint64_t docache_snapshot_version(const struct docache_snapshot *snapshot);

/**
 * Copies up to `count` entries from the `first` on, oldest first, into the array `out`, and their
 * number into `out_count`. Their values and errors are borrowed from the snapshot; their ages
 * count up to when it was taken. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_snapshot_read(const struct docache_snapshot *snapshot,
                                     size_t first,
                                     struct docache_entry *out,
                                     size_t count,
                                     size_t *out_count,
                                     struct docache_error **out_error);

/**
 * How many results have been published; 0 for NULL. Wait-free. [NC]
 *
 * # Safety
 * HANDLE.
 */
uint64_t docache_loop_version(const struct docache_loop *handle);

/**
 * The version word itself, so that a binding can keep its own copy of the latest value and cross
 * the boundary only when there is a newer one. Load it atomically with acquire ordering; never
 * write it. Valid until the loop cache is freed. NULL for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
const uint64_t *docache_loop_version_word(const struct docache_loop *handle);

/**
 * Waits for the first success: OK, or TIMEOUT. A loop that is not running is waited for: somebody
 * may start it. REENTRANT inside the Doer. To be able to end it, give a timeout, or use
 * docache_loop_wait_first_begin, whose wait comes to CLOSED when the loop cache is freed. [BLK]
 * [CB] only `drop`
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_loop_wait_first(const struct docache_loop *handle,
                                       int64_t timeout_ns,
                                       struct docache_error **out_error);

/**
 * Waits for a version later than `since` and writes it to `out_version`: OK, or TIMEOUT. A stop
 * does not end this wait: somebody may start the loop again. To be able to end it, give a timeout,
 * or use docache_loop_changed_begin, whose wait comes to CLOSED when the loop cache is freed.
 * REENTRANT inside the Doer. [BLK] [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_changed(const struct docache_loop *handle,
                                    uint64_t since,
                                    int64_t timeout_ns,
                                    uint64_t *out_version,
                                    struct docache_error **out_error);

/**
 * Asks for a call of the Doer that begins after this one, waits until it has ended, and writes the
 * version of its result, or of a later one, to `out_version`: OK, whether or not the Doer
 * succeeded; TIMEOUT; or CLOSED if the loop is not running. Requests that meet while the Doer is
 * busy share its next call. REENTRANT inside the Doer. [BLK] [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_refresh(const struct docache_loop *handle,
                                    int64_t timeout_ns,
                                    uint64_t *out_version,
                                    struct docache_error **out_error);

/**
 * Begins docache_loop_wait_first: OK if there is a success already, else PENDING with a wait in
 * `out`, which may outlive the loop cache and then comes to CLOSED. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_wait_first_begin(const struct docache_loop *handle,
                                             struct docache_wait **out,
                                             struct docache_error **out_error);

/**
 * Begins docache_loop_changed: OK if there is a later version already, else PENDING with a wait in
 * `out`, which may outlive the loop cache and then comes to CLOSED. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_changed_begin(const struct docache_loop *handle,
                                          uint64_t since,
                                          struct docache_wait **out,
                                          struct docache_error **out_error);

/**
 * Begins docache_loop_refresh: PENDING with a wait in `out`, or CLOSED. Freeing the wait does not
 * take the request back. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_refresh_begin(const struct docache_loop *handle,
                                          struct docache_wait **out,
                                          struct docache_error **out_error);

/**
 * Asks the loop to stop: OK if it is not running, else PENDING with a wait in `out` for the end of
 * the Doer's call. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_loop_stop_begin(const struct docache_loop *handle,
                                       struct docache_wait **out,
                                       struct docache_error **out_error);

/**
 * docache_group_run with work that is told the key. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_group_run_key(struct docache_group *group,
                                     const uint8_t *key,
                                     size_t key_len,
                                     int64_t timeout_ns,
                                     docache_perform_key_fn perform,
                                     uintptr_t ctx,
                                     struct docache_value **out_value,
                                     uint32_t *out_shared,
                                     struct docache_error **out_error);

/**
 * docache_cache_fetch with work that is told the key. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_cache_fetch_key(const struct docache_cache *cache,
                                       const uint8_t *key,
                                       size_t key_len,
                                       uint64_t ttl_ns,
                                       int64_t timeout_ns,
                                       docache_perform_key_fn perform,
                                       uintptr_t ctx,
                                       struct docache_value **out_value,
                                       struct docache_error **out_error);

/**
 * Whether it is set: the actor is to stop. False for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
bool docache_stop_token_is_set(const struct docache_stop_token *token);

/**
 * Waits until it is set: OK. TIMEOUT: that is not so after `timeout_ns`. [NC] [BLK]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_stop_token_wait(const struct docache_stop_token *token,
                                       int64_t timeout_ns,
                                       struct docache_error **out_error);

/**
 * Why it stopped. Set `size` in `out` before: DOCACHE_RUN_CAUSE_INIT. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_report_cause(const struct docache_run_report *report,
                                        struct docache_run_cause *out,
                                        struct docache_error **out_error);

/**
 * What ended the wait for the actors before they had stopped and before their deadlines: a second
 * signal, or docache_run_handle_stop_waiting. MISS if nothing did. Set `size` in `out` before.
 * [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_report_cut_short(const struct docache_run_report *report,
                                            struct docache_run_cause *out,
                                            struct docache_error **out_error);

/**
 * How many executions failed; in a loop there may be many of one actor. 0 for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
uint64_t docache_run_report_failures(const struct docache_run_report *report);

/**
 * How many actors failed; with the one that was the cause, those of the teardown. 0 for NULL.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
size_t docache_run_report_error_count(const struct docache_run_report *report);

/**
 * The name of the actor whose failure has this number, in the order in which the actors were
 * added; its length goes to `out_len`, which may be NULL. NULL if there is none. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
const char *docache_run_report_error_actor(const struct docache_run_report *report,
                                           size_t index,
                                           size_t *out_len);

/**
 * The last failure of that actor: the error that its callback gave, or one that the library made.
 * What it counts as goes to `out_status`, which may be NULL: DOER_FAILED, PANIC or INTERNAL. NULL
 * if there is none. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
const struct docache_error *docache_run_report_error(const struct docache_run_report *report,
                                                     size_t index,
                                                     docache_status *out_status);

/**
 * How many actors had not stopped in time, those of groups inside this one included. 0 for NULL.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
size_t docache_run_report_unfinished_count(const struct docache_run_report *report);

/**
 * The name of the one of this number; its length goes to `out_len`, and what of it still ran,
 * DOCACHE_RUN_IN_ flags, to `out_parts`; both may be NULL. NULL if there is none. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
const char *docache_run_report_unfinished(const struct docache_run_report *report,
                                          size_t index,
                                          size_t *out_len,
                                          uint32_t *out_parts);

/**
 * Frees the report. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the report.
 */
void docache_run_report_free(struct docache_run_report *report);

/**
 * Has the group or loop stop: its actors are interrupted, stage by stage. One that does not run
 * yet will not start any. Returns at once: OK, or MISS if it was stopping, or had stopped,
 * already. It takes a lock, so it is not for signal handlers: see docache_run_group_add_signals.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_run_handle_stop(const struct docache_run_handle *handle,
                                       struct docache_error **out_error);

/**
 * The same, and ends the wait for the actors: those of later stages are still interrupted, but the
 * run waits for nobody any more, not in groups inside it either, and its report says so. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_run_handle_stop_waiting(const struct docache_run_handle *handle,
                                               struct docache_error **out_error);

/**
 * Whether it is to stop, or has stopped; false for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
bool docache_run_handle_is_stopping(const struct docache_run_handle *handle);

/**
 * Takes one more share; returns its argument. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
struct docache_run_handle *docache_run_handle_retain(const struct docache_run_handle *handle);

/**
 * Gives a share back; it stops nothing. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
void docache_run_handle_release(const struct docache_run_handle *handle);

/**
 * Makes a group without actors. `options` may be NULL: all defaults. Nothing that they point to is
 * needed afterwards. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_group_new(const struct docache_run_group_options *options,
                                     struct docache_run_group **out,
                                     struct docache_error **out_error);

/**
 * Adds an actor, to a group that has not run yet; else BUSY or CLOSED. `drop(ctx)`, if there is a
 * `drop`, is called exactly once, when the group is gone or when this function fails; `ctx` is
 * what the actor's callbacks get. Nothing that `actor` points to is needed afterwards. [CB] only
 * `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_run_group_add(const struct docache_run_group *group,
                                     const struct docache_run_actor *actor,
                                     uintptr_t ctx,
                                     docache_drop_fn drop,
                                     struct docache_error **out_error);

/**
 * Adds another group, `inner`, as an actor of this one, with stages and deadlines of its own. It
 * is interrupted when the outer group stops; its actors appear in reports as "name/actor"; its
 * failures and signals are the outer group's too.
 *
 * OK: `inner` belongs to the outer group and must not be used any more, nor freed; its handles of
 * docache_run_group_handle go on stopping it. With any other status it stays the caller's: BUSY or
 * CLOSED if one of the two runs, or has run. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_group_add_group(const struct docache_run_group *group,
                                           const char *name,
                                           size_t name_len,
                                           uint32_t stage,
                                           struct docache_run_group *inner,
                                           struct docache_error **out_error);

/**
 * Adds a loop as an actor of the group, in the manner of docache_run_group_add_group. It stops
 * only when it is interrupted. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_group_add_loop(const struct docache_run_group *group,
                                          const char *name,
                                          size_t name_len,
                                          uint32_t stage,
                                          struct docache_run_loop *inner,
                                          struct docache_error **out_error);

/**
 * Has the group stop, without a failure, when the process is sent one of `signals`, by number;
 * with a `count` of 0: SIGINT (Ctrl-C) or SIGTERM. A second one while it stops ends the wait for
 * its actors at once, and the report says so.
 *
 * They are listened to from this call on, until the group is over; then they do what they did
 * before. Handlers of the program's own are called as well. In a group inside another one it stops
 * that one, too, but hears nothing after its own group's end: it belongs in the outermost.
 *
 * BUSY or CLOSED as docache_run_group_add. UNSUPPORTED if the library was built without the
 * feature `signals`, or for a system without them. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_group_add_signals(const struct docache_run_group *group,
                                             const int *signals,
                                             size_t count,
                                             struct docache_error **out_error);

/**
 * Gives a stage a deadline of its own: how long its actors may take to stop, counted from their
 * interrupts. BUSY or CLOSED as docache_run_group_add. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_run_group_stage_deadline(const struct docache_run_group *group,
                                                uint32_t stage,
                                                int64_t timeout_ns,
                                                struct docache_error **out_error);

/**
 * Writes a share of what stops the group from anywhere, also after it was freed. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_group_handle(const struct docache_run_group *group,
                                        struct docache_run_handle **out,
                                        struct docache_error **out_error);

/**
 * docache_run_handle_stop for the group. It may come from anywhere, one of its actors included.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_run_group_stop(const struct docache_run_group *group,
                                      struct docache_error **out_error);

/**
 * Runs the actors, each on a thread of its own, and blocks until they have stopped or been given
 * up. The group stops when the first actor fails (or returns: `stop_on`), when it is told to, at a
 * signal, or when it is freed. Then its actors are interrupted, stage by stage, and waited for,
 * each stage until its deadline. An actor that has not begun by then does not begin.
 *
 * OK: it has stopped without a failure. DOER_FAILED or PANIC: an actor has failed, and that was
 * why it stopped; INTERNAL: the system gave no thread for one; the error has the actor's name, and
 * the number that it gave. TIMEOUT: actors have not stopped by their deadlines; the error names
 * them; their threads go on, and so the group cannot be freed before they return, but see
 * docache_run_group_detach. The report, which the caller frees, is written with all of these;
 * `out_report` may be NULL. A panic in an interrupt is PANIC, too.
 *
 * BUSY: the group runs already. CLOSED: it has run; each group is run once. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_group_run(const struct docache_run_group *group,
                                     struct docache_run_report **out_report,
                                     struct docache_error **out_error);

/**
 * Frees the handle. If the group runs, it is told to stop; this waits until the run is over and
 * all callbacks have returned, those of actors that were left behind included. When this has
 * returned none of them runs or will, and every `drop` has been called. It is fine while a
 * docache_run_group_run is under way, whose caller gets the report.
 *
 * Inside a callback of the group's own, or of a group inside it, it returns at once, and all that
 * happens when the run and the callback are over. Inside callbacks of other objects it waits,
 * unless a thread that it waits for is freeing that object, or runs it. NULL is fine. [CB] only
 * `drop` [BLK]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but a docache_run_group_run that has begun
 * to call its actors, and calls from inside of which it is freed.
 */
void docache_run_group_free(struct docache_run_group *group);

/**
 * Frees the handle without waiting: for programs that go on although an actor is stuck. What runs
 * goes on until it is over, with all that its callbacks use, and then each `drop` is called. NULL
 * is fine. [CB] only `drop`
 *
 * # Safety
 * As docache_run_group_free.
 */
void docache_run_group_detach(struct docache_run_group *group);

/**
 * Makes a loop without actors; running, it waits to be stopped. `options` may be NULL: all
 * defaults. Nothing that they point to is needed afterwards. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_loop_new(const struct docache_run_loop_options *options,
                                    struct docache_run_loop **out,
                                    struct docache_error **out_error);

/**
 * Adds an actor, to a loop that has not run yet; else BUSY or CLOSED. `drop(ctx)` is called as by
 * docache_run_group_add. Nothing that `actor` points to is needed afterwards. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_run_loop_add(const struct docache_run_loop *handle,
                                    const struct docache_run_loop_actor *actor,
                                    uintptr_t ctx,
                                    docache_drop_fn drop,
                                    struct docache_error **out_error);

/**
 * As docache_run_group_stage_deadline. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_run_loop_stage_deadline(const struct docache_run_loop *handle,
                                               uint32_t stage,
                                               int64_t timeout_ns,
                                               struct docache_error **out_error);

/**
 * Writes a share of what stops the loop from anywhere, also after it was freed. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_loop_handle(const struct docache_run_loop *handle,
                                       struct docache_run_handle **out,
                                       struct docache_error **out_error);

/**
 * docache_run_handle_stop for the loop. It may come from anywhere, one of its actors included.
 * [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_run_loop_stop(const struct docache_run_loop *handle,
                                     struct docache_error **out_error);

/**
 * Repeats the actors, each on a thread of its own, and blocks until the loop was told to stop (or
 * was freed) and they have stopped, or been given up. A wait between two calls ends at once then,
 * and no call begins any more, but for actors of later stages, which go on until it is their turn.
 *
 * OK: so it has stopped; the report has the failures. TIMEOUT, INTERNAL, PANIC, BUSY and CLOSED,
 * and the report, as docache_run_group_run has them. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_run_loop_run(const struct docache_run_loop *handle,
                                    struct docache_run_report **out_report,
                                    struct docache_error **out_error);

/**
 * Frees the handle, as docache_run_group_free. [CB] only `drop` [BLK]
 *
 * # Safety
 * As docache_run_group_free.
 */
void docache_run_loop_free(struct docache_run_loop *handle);

/**
 * Frees the handle without waiting, as docache_run_group_detach. [CB] only `drop`
 *
 * # Safety
 * As docache_run_group_free.
 */
void docache_run_loop_detach(struct docache_run_loop *handle);

/**
 * Calls `attempt(ctx, ...)` until it succeeds, on this thread, with waits in between. `options`
 * may be NULL: at once, any number of times. How many attempts there were goes to `out_attempts`,
 * which may be NULL, unless this returns INVALID_ARGUMENT.
 *
 * OK: the last one succeeded. Else the error says why there was no other, and has the number of
 * the last one's error. DOER_FAILED: `max_attempts` or docache_retrier_stop. PANIC: the attempt
 * said so. TIMEOUT: the next one would begin after the budget is spent. CANCELLED: `stop` was set;
 * if it is set already there is no attempt. [CB] [BLK]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_run_retry(const struct docache_run_retry_options *options,
                                 docache_run_attempt_fn attempt,
                                 uintptr_t ctx,
                                 uint64_t *out_attempts,
                                 struct docache_error **out_error);

/**
 * The number of this attempt; the first is 1. 0 for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
uint64_t docache_retrier_iteration(const struct docache_retrier *retrier);

/**
 * What is left of the budget now, for a timeout of the attempt's own; DOCACHE_FOREVER if there is
 * no limit, and for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
int64_t docache_retrier_remaining_ns(const struct docache_retrier *retrier);

/**
 * The next attempt does not begin sooner than after `delay_ns`, such as what a server asks for
 * with Retry-After. It holds for one wait, in which a longer backoff still counts. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_retrier_set_delay(struct docache_retrier *retrier,
                                         uint64_t delay_ns,
                                         struct docache_error **out_error);

/**
 * There is to be no other attempt: if this one fails, its error is the last. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_retrier_stop(struct docache_retrier *retrier,
                                    struct docache_error **out_error);

/**
 * docache_retrier_stop, in one with the status that the attempt returns, for an error that would
 * be the same again: `return docache_retrier_permanent(retrier, DOCACHE_DOER_FAILED);`. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_retrier_permanent(struct docache_retrier *retrier, docache_status status);

/**
 * The backoff of this wait and the following ones; NULL: none. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_retrier_set_backoff(struct docache_retrier *retrier,
                                           const struct docache_backoff *given,
                                           struct docache_error **out_error);

/**
 * How much time there is from the beginning of the first attempt; 0: any. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_retrier_set_budget(struct docache_retrier *retrier,
                                          uint64_t budget_ns,
                                          struct docache_error **out_error);

/**
 * How many attempts there may be; 0: any number. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_retrier_set_max_attempts(struct docache_retrier *retrier,
                                                uint64_t attempts,
                                                struct docache_error **out_error);

/**
 * Makes a scheduler, without a thread yet. `options` may be NULL: all defaults. Nothing that they
 * point to is needed afterwards. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_scheduler_new(const struct docache_scheduler_options *options,
                                     struct docache_scheduler **out,
                                     struct docache_error **out_error);

/**
 * Has `callback(ctx)` called once after `delay_ns`, on a thread of the scheduler's: never sooner,
 * and up to 1.5 ms later when others are due close to it. `drop(ctx)`, if there is a
 * `drop`, is called exactly once: after the callback, on its thread, or when it will not be called
 * any more, also when this function fails.
 *
 * `out` may be NULL; what is written there can cancel the call, and is the caller's to free. The
 * callback may be called before this has returned; it may free the scheduler even then.
 *
 * CLOSED after a docache_scheduler_shutdown. [CB] only `drop`
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_scheduler_call_after(const struct docache_scheduler *scheduler,
                                            uint64_t delay_ns,
                                            docache_scheduler_call_fn callback,
                                            uintptr_t ctx,
                                            docache_drop_fn drop,
                                            struct docache_scheduled **out,
                                            struct docache_error **out_error);

/**
 * Ends the scheduler, for loops that run on it as well: calls that wait are not made, and their
 * `drop` is called; loops stop, and cannot be started again; this waits until the callbacks under
 * way are over, those of loops included. OK: so it is. TIMEOUT: some are not; nothing else is
 * called any more. The handle is still to be freed.
 *
 * Inside a callback of the scheduler's own, or of a loop on it, it does not wait. Inside callbacks
 * of other objects give a timeout, unless no loop on the scheduler waits for these. [CB] only
 * `drop`, and the loggers and Doers' `drop` of loops [BLK]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_scheduler_shutdown(const struct docache_scheduler *scheduler,
                                          int64_t timeout_ns,
                                          struct docache_error **out_error);

/**
 * Frees the handle. Calls that wait are not made; this waits for the callbacks under way, and when
 * it has returned none of them runs or will, and every `drop` has been called. Loops on the
 * scheduler have shares of it, and go on; its threads end with the last of them.
 *
 * Inside a callback of the scheduler's own it returns at once, and all that happens when the
 * callback is over. Inside callbacks of other objects it waits, unless a thread that it waits for
 * is freeing that object. NULL is fine. [CB] only `drop` [BLK]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
 * freed.
 */
void docache_scheduler_free(struct docache_scheduler *scheduler);

/**
 * Takes the call back: OK: it will never be made, and its `drop` has been called. MISS: it is too
 * late for that: it has been made, or is under way, or was dropped with its scheduler. O(log n);
 * it never waits for a callback. [CB] only `drop`
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_scheduled_cancel(const struct docache_scheduled *scheduled,
                                        struct docache_error **out_error);

/**
 * Whether the call is still to be made; false for NULL. In the child of a fork this is true of
 * what waited in the parent, until it is cancelled or the scheduler freed. [NC]
 *
 * # Safety
 * HANDLE.
 */
bool docache_scheduled_is_waiting(const struct docache_scheduled *scheduled);

/**
 * Frees the handle, and leaves the call scheduled. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
 * freed.
 */
void docache_scheduled_free(struct docache_scheduled *scheduled);

/**
 * Fills `out`; a part of it that this library does not know becomes zero. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_scheduler_stats(const struct docache_scheduler *scheduler,
                                       struct docache_scheduler_counters *out,
                                       struct docache_error **out_error);

/**
 * Ends the threads that the library keeps for itself, and waits until they have ended. For
 * programs that are searched for leaks, and before the library is unloaded; others need not call
 * it. Free all handles first: loops have threads of their own, which end when they are freed. OK:
 * there are none left; a few hundred bytes stay reachable. BUSY, after three seconds at most: a
 * cache or a wait still needs one, or a callback on one of them has not returned, or the call
 * comes from such a callback. It may be called again, and what is used meanwhile or later starts
 * them again. [NC] [BLK]
 */
docache_status docache_shutdown(void);

/**
 * The name of a status, such as "TIMEOUT"; "UNKNOWN" for any other number. NUL-terminated and
 * static. [NC]
 */
const char *docache_status_name(docache_status status);

/**
 * Makes a value by copying `len` bytes. [NC]
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_value_new(const uint8_t *data,
                                 size_t len,
                                 struct docache_value **out,
                                 struct docache_error **out_error);

/**
 * Makes a value of the caller's own memory, without copying. The memory must stay as it is until
 * `drop(ctx)`, which is called exactly once, when nobody has the value any more or when this
 * function fails. `drop` may be NULL. [CB]
 *
 * # Safety
 * HANDLE, SPAN, CALLBACK.
 */
docache_status docache_value_wrap(const uint8_t *data,
                                  size_t len,
                                  uintptr_t ctx,
                                  docache_drop_fn drop,
                                  struct docache_value **out,
                                  struct docache_error **out_error);

/**
 * Takes one more share; returns its argument. NULL is fine. [NC]
 *
 * # Safety
 * HANDLE.
 */
struct docache_value *docache_value_retain(const struct docache_value *value);

/**
 * Gives a share back. NULL is fine. [CB]
 *
 * # Safety
 * HANDLE.
 */
void docache_value_release(const struct docache_value *value);

/**
 * The bytes, valid while the caller has a share; NULL for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
const uint8_t *docache_value_data(const struct docache_value *value);

/**
 * The number of bytes; 0 for NULL. [NC]
 *
 * # Safety
 * HANDLE.
 */
size_t docache_value_len(const struct docache_value *value);

/**
 * Has `notify(token)` called once when the wait is over: PENDING. OK if it is over already: then
 * `notify` is not called. One notification at a time: a second one is refused unless the first was
 * cancelled. [CB] only `drop`
 *
 * # Safety
 * HANDLE, CALLBACK.
 */
docache_status docache_wait_on_ready(struct docache_wait *wait,
                                     docache_notify_fn notify,
                                     uintptr_t token,
                                     struct docache_error **out_error);

/**
 * Looks: PENDING, or what the wait came to. With OK the version it came to (0 where there is none)
 * is written to `out_version`, which may be NULL. May be called again. [CB] only `drop` and the
 * wait's own notification
 *
 * # Safety
 * HANDLE, SPAN.
 */
docache_status docache_wait_poll(struct docache_wait *wait,
                                 uint64_t *out_version,
                                 struct docache_error **out_error);

/**
 * Takes the notification back. OK: it will not be called; another may be given. PENDING: it has
 * been called, or is being called now. [NC]
 *
 * # Safety
 * HANDLE.
 */
docache_status docache_wait_cancel(struct docache_wait *wait);

/**
 * Cancels and frees the wait. A notification that is being called on another thread at this moment
 * is waited for; inside the notification this returns at once. NULL is fine. [CB] only `drop`
 * [BLK] only for that
 *
 * # Safety
 * HANDLE; nothing else may be going on with the handle, but what calls the notification.
 */
void docache_wait_free(struct docache_wait *wait);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/**
 * Initialisers: all defaults, and the size. A loop also needs an `interval_ns`.
 *
 *     docache_loop_options options = DOCACHE_LOOP_OPTIONS_INIT;
 *     options.interval_ns = 100000000;
 */
#define DOCACHE_LOOP_OPTIONS_INIT \
  {sizeof(docache_loop_options), 0, 0, 0, 0, DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, 0, 0, \
   DOCACHE_INIT_NULL}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_GROUP_OPTIONS_INIT {sizeof(docache_group_options), 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_CACHE_OPTIONS_INIT {sizeof(docache_cache_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_STORE_MEMORY_OPTIONS_INIT {sizeof(docache_store_memory_options), 0, 0, 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_STORE_REMOTE_OPTIONS_INIT \
  {sizeof(docache_store_remote_options), DOCACHE_INIT_NULL, 0, 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_ECHO_OPTIONS_INIT \
  {sizeof(docache_echo_options), 0, 0, 0, 0, 0, DOCACHE_INIT_NULL, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_ECHO_LAZY_OPTIONS_INIT \
  {sizeof(docache_echo_lazy_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, DOCACHE_INIT_NULL, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_RUN_GROUP_OPTIONS_INIT \
  {sizeof(docache_run_group_options), DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_RUN_LOOP_OPTIONS_INIT \
  {sizeof(docache_run_loop_options), DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, 0}
/** An actor also needs a `name` and an `execute`. */
#define DOCACHE_RUN_ACTOR_INIT \
  {sizeof(docache_run_actor), DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, DOCACHE_INIT_NULL, \
   DOCACHE_INIT_NULL, 0, 0}
/** See DOCACHE_RUN_ACTOR_INIT. */
#define DOCACHE_RUN_LOOP_ACTOR_INIT \
  {sizeof(docache_run_loop_actor), DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, DOCACHE_INIT_NULL, \
   DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, 0, 0, 0, 0}
/** A backoff also needs a `first_ns`. */
#define DOCACHE_BACKOFF_INIT {sizeof(docache_backoff), 0, 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_RUN_RETRY_OPTIONS_INIT \
  {sizeof(docache_run_retry_options), DOCACHE_INIT_NULL, DOCACHE_INIT_NULL, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_SCHEDULER_OPTIONS_INIT \
  {sizeof(docache_scheduler_options), DOCACHE_INIT_NULL, 0, 0, 0, 0}
/** All zero, and the size. */
#define DOCACHE_RUN_CAUSE_INIT \
  {sizeof(docache_run_cause), DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, DOCACHE_INIT_NULL, 0, 0, \
   0, 0, 0}
/** All zero, and the size. */
#define DOCACHE_LOOP_COUNTERS_INIT {sizeof(docache_loop_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** See DOCACHE_LOOP_COUNTERS_INIT. */
#define DOCACHE_CACHE_COUNTERS_INIT \
  {sizeof(docache_cache_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** See DOCACHE_LOOP_COUNTERS_INIT. */
#define DOCACHE_ECHO_COUNTERS_INIT \
  {sizeof(docache_echo_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** See DOCACHE_LOOP_COUNTERS_INIT. */
#define DOCACHE_SCHEDULER_COUNTERS_INIT \
  {sizeof(docache_scheduler_counters), 0, 0, 0, 0, 0, 0, 0, 0}

#if defined(__cplusplus) && __cplusplus >= 201103L
#define DOCACHE_INIT_NULL nullptr
#else
#define DOCACHE_INIT_NULL NULL
#endif

#if UINTPTR_MAX == 0xFFFFFFFFFFFFFFFF
/* An array of -1 elements where a figure is not what is expected; C99 has no other assertion. */
#define DOCACHE_LAYOUT(figure, expected) DOCACHE_LAYOUT_AT(figure, expected, __LINE__)
#define DOCACHE_LAYOUT_AT(figure, expected, line) DOCACHE_LAYOUT_AS(figure, expected, line)
#define DOCACHE_LAYOUT_AS(figure, expected, line) \
  typedef char docache_layout_##line[(figure) == (expected) ? 1 : -1]

DOCACHE_LAYOUT(sizeof(docache_log_record), 48);
DOCACHE_LAYOUT(offsetof(docache_log_record, size), 0);
DOCACHE_LAYOUT(offsetof(docache_log_record, target), 8);
DOCACHE_LAYOUT(offsetof(docache_log_record, target_len), 16);
DOCACHE_LAYOUT(offsetof(docache_log_record, message), 24);
DOCACHE_LAYOUT(offsetof(docache_log_record, message_len), 32);
DOCACHE_LAYOUT(offsetof(docache_log_record, level), 40);
DOCACHE_LAYOUT(offsetof(docache_log_record, reserved), 44);

DOCACHE_LAYOUT(sizeof(docache_loop_options), 80);
DOCACHE_LAYOUT(offsetof(docache_loop_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_loop_options, interval_ns), 8);
DOCACHE_LAYOUT(offsetof(docache_loop_options, first_delay_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_loop_options, jitter_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_loop_options, capacity), 32);
DOCACHE_LAYOUT(offsetof(docache_loop_options, name), 40);
DOCACHE_LAYOUT(offsetof(docache_loop_options, name_len), 48);
DOCACHE_LAYOUT(offsetof(docache_loop_options, logger), 56);
DOCACHE_LAYOUT(offsetof(docache_loop_options, schedule), 64);
DOCACHE_LAYOUT(offsetof(docache_loop_options, reserved), 68);
DOCACHE_LAYOUT(offsetof(docache_loop_options, scheduler), 72);

DOCACHE_LAYOUT(sizeof(docache_entry), 56);
DOCACHE_LAYOUT(offsetof(docache_entry, sequence), 0);
DOCACHE_LAYOUT(offsetof(docache_entry, timestamp_ns), 8);
DOCACHE_LAYOUT(offsetof(docache_entry, duration_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_entry, age_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_entry, value), 32);
DOCACHE_LAYOUT(offsetof(docache_entry, error), 40);
DOCACHE_LAYOUT(offsetof(docache_entry, status), 48);
DOCACHE_LAYOUT(offsetof(docache_entry, reserved), 52);

DOCACHE_LAYOUT(sizeof(docache_loop_counters), 80);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, size), 0);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, calls), 8);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, failures), 16);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, panics), 24);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, consecutive_failures), 32);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, skipped_ticks), 40);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, last_duration_ns), 48);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, last_lateness_ns), 56);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, max_lateness_ns), 64);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, running), 72);
DOCACHE_LAYOUT(offsetof(docache_loop_counters, reserved), 76);

DOCACHE_LAYOUT(sizeof(docache_group_options), 24);
DOCACHE_LAYOUT(offsetof(docache_group_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_group_options, shards), 8);
DOCACHE_LAYOUT(offsetof(docache_group_options, reserved), 16);
DOCACHE_LAYOUT(offsetof(docache_group_options, reserved2), 20);

DOCACHE_LAYOUT(sizeof(docache_bytes), 16);
DOCACHE_LAYOUT(offsetof(docache_bytes, data), 0);
DOCACHE_LAYOUT(offsetof(docache_bytes, len), 8);

DOCACHE_LAYOUT(sizeof(docache_cache_options), 72);
DOCACHE_LAYOUT(offsetof(docache_cache_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_cache_options, time_to_live_ns), 8);
DOCACHE_LAYOUT(offsetof(docache_cache_options, sweep_interval_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_cache_options, negative_ttl_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_cache_options, capacity), 32);
DOCACHE_LAYOUT(offsetof(docache_cache_options, max_weight), 40);
DOCACHE_LAYOUT(offsetof(docache_cache_options, shards), 48);
DOCACHE_LAYOUT(offsetof(docache_cache_options, policy), 56);
DOCACHE_LAYOUT(offsetof(docache_cache_options, jitter_permille), 60);
DOCACHE_LAYOUT(offsetof(docache_cache_options, flags), 64);
DOCACHE_LAYOUT(offsetof(docache_cache_options, reserved), 68);

DOCACHE_LAYOUT(sizeof(docache_cache_counters), 136);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, size), 0);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, hits), 8);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, misses), 16);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, loads), 24);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, load_failures), 32);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, load_time_ns), 40);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, coalesced), 48);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, inserted), 56);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, evicted), 64);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, expired), 72);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, removed), 80);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, replaced), 88);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, refused), 96);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, len), 104);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, weight), 112);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, retired), 120);
DOCACHE_LAYOUT(offsetof(docache_cache_counters, memory), 128);

DOCACHE_LAYOUT(sizeof(docache_store_memory_options), 40);
DOCACHE_LAYOUT(offsetof(docache_store_memory_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_store_memory_options, capacity), 8);
DOCACHE_LAYOUT(offsetof(docache_store_memory_options, time_to_live_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_store_memory_options, shards), 24);
DOCACHE_LAYOUT(offsetof(docache_store_memory_options, policy), 32);
DOCACHE_LAYOUT(offsetof(docache_store_memory_options, reserved), 36);

DOCACHE_LAYOUT(sizeof(docache_store_remote_options), 40);
DOCACHE_LAYOUT(offsetof(docache_store_remote_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_store_remote_options, prefix), 8);
DOCACHE_LAYOUT(offsetof(docache_store_remote_options, prefix_len), 16);
DOCACHE_LAYOUT(offsetof(docache_store_remote_options, connect_timeout_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_store_remote_options, format), 32);
DOCACHE_LAYOUT(offsetof(docache_store_remote_options, reserved), 36);

DOCACHE_LAYOUT(sizeof(docache_found), 32);
DOCACHE_LAYOUT(offsetof(docache_found, size), 0);
DOCACHE_LAYOUT(offsetof(docache_found, value), 8);
DOCACHE_LAYOUT(offsetof(docache_found, age_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_found, left_ns), 24);

DOCACHE_LAYOUT(sizeof(docache_refresh_lock), 32);
DOCACHE_LAYOUT(offsetof(docache_refresh_lock, size), 0);
DOCACHE_LAYOUT(offsetof(docache_refresh_lock, token), 8);
DOCACHE_LAYOUT(offsetof(docache_refresh_lock, token_len), 16);
DOCACHE_LAYOUT(offsetof(docache_refresh_lock, ttl_ns), 24);

DOCACHE_LAYOUT(sizeof(docache_store_callbacks), 64);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, size), 0);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, get), 8);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, begin_refresh), 16);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, renew), 24);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, finish_refresh), 32);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, abandon_refresh), 40);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, put), 48);
DOCACHE_LAYOUT(offsetof(docache_store_callbacks, remove), 56);

DOCACHE_LAYOUT(sizeof(docache_echo_warning), 48);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, size), 0);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, key), 8);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, key_len), 16);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, message), 24);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, message_len), 32);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, kind), 40);
DOCACHE_LAYOUT(offsetof(docache_echo_warning, operation), 44);

DOCACHE_LAYOUT(sizeof(docache_echo_options), 64);
DOCACHE_LAYOUT(offsetof(docache_echo_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_echo_options, time_to_live_ns), 8);
DOCACHE_LAYOUT(offsetof(docache_echo_options, negative_ttl_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_echo_options, lock_ttl_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_echo_options, lock_wait_ns), 32);
DOCACHE_LAYOUT(offsetof(docache_echo_options, store_budget_ns), 40);
DOCACHE_LAYOUT(offsetof(docache_echo_options, on_warning), 48);
DOCACHE_LAYOUT(offsetof(docache_echo_options, flags), 56);
DOCACHE_LAYOUT(offsetof(docache_echo_options, reserved), 60);

DOCACHE_LAYOUT(sizeof(docache_echo_lazy_options), 120);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, refresh_after_ns), 8);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, expires_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, stale_until_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, negative_ttl_ns), 32);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, lock_ttl_ns), 40);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, lock_wait_ns), 48);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, store_budget_ns), 56);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, refresh_timeout_ns), 64);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, backoff_first_ns), 72);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, backoff_most_ns), 80);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, queue_size), 88);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, workers), 96);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, on_warning), 104);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, early_refresh_permille), 112);
DOCACHE_LAYOUT(offsetof(docache_echo_lazy_options, flags), 116);

DOCACHE_LAYOUT(sizeof(docache_echo_counters), 112);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, size), 0);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, hits), 8);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, stale_hits), 16);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, coalesced), 24);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, loads), 32);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, load_failures), 40);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, store_errors), 48);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, lock_waits), 56);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, lost_writes), 64);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, refreshes), 72);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, refresh_failures), 80);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, refused), 88);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, unattended), 96);
DOCACHE_LAYOUT(offsetof(docache_echo_counters, refreshing), 104);

DOCACHE_LAYOUT(sizeof(docache_run_cause), 64);
DOCACHE_LAYOUT(offsetof(docache_run_cause, size), 0);
DOCACHE_LAYOUT(offsetof(docache_run_cause, actor), 8);
DOCACHE_LAYOUT(offsetof(docache_run_cause, actor_len), 16);
DOCACHE_LAYOUT(offsetof(docache_run_cause, error), 24);
DOCACHE_LAYOUT(offsetof(docache_run_cause, message), 32);
DOCACHE_LAYOUT(offsetof(docache_run_cause, message_len), 40);
DOCACHE_LAYOUT(offsetof(docache_run_cause, kind), 48);
DOCACHE_LAYOUT(offsetof(docache_run_cause, status), 52);
DOCACHE_LAYOUT(offsetof(docache_run_cause, signal), 56);
DOCACHE_LAYOUT(offsetof(docache_run_cause, reserved), 60);

DOCACHE_LAYOUT(sizeof(docache_backoff), 32);
DOCACHE_LAYOUT(offsetof(docache_backoff, size), 0);
DOCACHE_LAYOUT(offsetof(docache_backoff, first_ns), 8);
DOCACHE_LAYOUT(offsetof(docache_backoff, most_ns), 16);
DOCACHE_LAYOUT(offsetof(docache_backoff, growth), 24);
DOCACHE_LAYOUT(offsetof(docache_backoff, jitter), 28);

DOCACHE_LAYOUT(sizeof(docache_run_actor), 56);
DOCACHE_LAYOUT(offsetof(docache_run_actor, size), 0);
DOCACHE_LAYOUT(offsetof(docache_run_actor, name), 8);
DOCACHE_LAYOUT(offsetof(docache_run_actor, name_len), 16);
DOCACHE_LAYOUT(offsetof(docache_run_actor, execute), 24);
DOCACHE_LAYOUT(offsetof(docache_run_actor, interrupt), 32);
DOCACHE_LAYOUT(offsetof(docache_run_actor, on_failure), 40);
DOCACHE_LAYOUT(offsetof(docache_run_actor, stage), 48);
DOCACHE_LAYOUT(offsetof(docache_run_actor, reserved), 52);

DOCACHE_LAYOUT(sizeof(docache_run_loop_actor), 88);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, size), 0);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, name), 8);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, name_len), 16);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, execute), 24);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, interrupt), 32);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, on_failure), 40);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, pause_ns), 48);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, backoff), 56);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, failure_limit), 64);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, failure_span_ns), 72);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, stage), 80);
DOCACHE_LAYOUT(offsetof(docache_run_loop_actor, reserved), 84);

DOCACHE_LAYOUT(sizeof(docache_run_group_options), 48);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, name), 8);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, name_len), 16);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, logger), 24);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, deadline_ns), 32);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, stop_on), 40);
DOCACHE_LAYOUT(offsetof(docache_run_group_options, reserved), 44);

DOCACHE_LAYOUT(sizeof(docache_run_loop_options), 40);
DOCACHE_LAYOUT(offsetof(docache_run_loop_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_run_loop_options, name), 8);
DOCACHE_LAYOUT(offsetof(docache_run_loop_options, name_len), 16);
DOCACHE_LAYOUT(offsetof(docache_run_loop_options, logger), 24);
DOCACHE_LAYOUT(offsetof(docache_run_loop_options, deadline_ns), 32);

DOCACHE_LAYOUT(sizeof(docache_run_retry_options), 40);
DOCACHE_LAYOUT(offsetof(docache_run_retry_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_run_retry_options, backoff), 8);
DOCACHE_LAYOUT(offsetof(docache_run_retry_options, stop), 16);
DOCACHE_LAYOUT(offsetof(docache_run_retry_options, budget_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_run_retry_options, max_attempts), 32);

DOCACHE_LAYOUT(sizeof(docache_scheduler_options), 48);
DOCACHE_LAYOUT(offsetof(docache_scheduler_options, size), 0);
DOCACHE_LAYOUT(offsetof(docache_scheduler_options, name), 8);
DOCACHE_LAYOUT(offsetof(docache_scheduler_options, name_len), 16);
DOCACHE_LAYOUT(offsetof(docache_scheduler_options, grace_ns), 24);
DOCACHE_LAYOUT(offsetof(docache_scheduler_options, workers), 32);
DOCACHE_LAYOUT(offsetof(docache_scheduler_options, max_workers), 40);

DOCACHE_LAYOUT(sizeof(docache_scheduler_counters), 72);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, size), 0);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, workers), 8);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, busy), 16);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, scheduled), 24);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, calls), 32);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, panics), 40);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, max_lateness_ns), 48);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, stuck), 56);
DOCACHE_LAYOUT(offsetof(docache_scheduler_counters, grown), 64);

#undef DOCACHE_LAYOUT
#undef DOCACHE_LAYOUT_AT
#undef DOCACHE_LAYOUT_AS
#endif

#endif /* DOCACHE_H */
