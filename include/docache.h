/* Generated from src/ffi by `cargo xtask header`; do not edit. MIT OR Apache-2.0. */

/**
 * docache for C: do expensive work once, and share the result.
 *
 * - docache_loop_: a loop cache calls a function of yours at an interval; readers get its last
 *   results and never wait.
 * - docache_group_: callers who want the same thing for the same key share one run of the work.
 * - docache_cache_: values by key, for a time and up to a limit; many who miss the same key share
 *   one fetch of it.
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
 * starts something, INTERNAL where the machine refuses a thread or memory. CANCELLED and
 * VERSION_MISMATCH are for the language bindings; no function returns them today.
 *
 * # Threads and the end
 * - The library starts threads when they are needed: docache-clock while caches are used,
 *   docache-timer while somebody waits with a deadline or a cache is to be swept, docache-sweep
 *   while one is, and one for each loop that was started.
 * - A program may simply end. One that looks for leaks, or that unloads the library, ends its
 *   waits and calls, drives, loops, groups and caches in this order, and calls docache_shutdown
 *   last.
 *
 * # Conventions
 * - Handles are opaque. `_new`/`_free` handles have one owner; `_retain`/`_release` handles are
 *   counted.
 * - Inputs come first, outputs last. Every output pointer is required unless its function says
 *   otherwise. An output handle is set to NULL first and written only where the function says so,
 *   with OK, PENDING or LEADER; other outputs are written only with OK unless their function says
 *   otherwise. What lay in an output before is not released.
 * - A `docache_error **out_error` may be NULL. It is set to NULL first, and to an error, which the
 *   caller releases, when the status is negative, TIMEOUT, CLOSED, DOER_FAILED or BUSY.
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
 *   that a callback was called from may be, see below.)
 *
 * # Who releases what
 * - Every `out_value`, `out_error` and other handle that a function writes: yours, release or free
 *   it.
 * - What `perform` writes: given away.
 * - What docache_drive_finish is given: given away, also when it fails.
 * - What docache_call_finish and docache_call_end are given: yours, release it.
 * - A docache_call: free it, also after docache_call_finish, but not after a docache_call_end that
 *   returned OK.
 * - What a callback is given, and the value and error in a docache_entry: borrowed.
 *
 * # Freeing
 * - When `_free` of a loop, a cache or a wait has returned, none of the object's callbacks runs or
 *   will, and `drop` of its registration has been called. So it waits for callbacks that run on
 *   the library's own threads, and must not be called with anything held, such as a mutex, that
 *   they need.
 * - Inside a callback of the object's own it returns at once: the object ends, and `drop` is
 *   called, when the call that the callback came from is over.
 * - Inside another object's callback it waits as well, except where threads would wait for each
 *   other in a circle: then one of them does not wait, and its object ends as if it had been freed
 *   inside a callback of its own.
 * - A docache_call outlives what it was begun at, its notification with it. Where calls are out
 *   when their cache is freed, `drop` of the cache's listener, if there is a listener, is called
 *   when the last of them is over; without a listener, at once.
 * - A value's `drop` belongs to the value. Whoever gives the last share back calls it: if that is
 *   a cache, inside a write, its sweep or its free.
 *
 * # Signals
 * The library's threads block all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP. What a
 * Doer starts inherits that.
 *
 * # Fork
 * After `fork` (and `daemon`, but not `vfork` or a bare system call) the child can use and free
 * all handles that it has from its parent. Caches are whole; what expires does so and is swept;
 * what other threads were fetching or running is not waited for. A loop cache that ran counts as
 * stopped and can be started again; if the fork fell into a call of its Doer, that call has no end
 * in the child, and the Doer must cope with being called again on its data as they are. A loop
 * whose own thread forks goes on in the child. A call, or a wait, that was begun is to be polled,
 * or freed, by the child itself: nobody notifies it of what threads would have done that are not
 * there. One that another thread was using at the moment of the fork must not be used.
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
 * An immutable view of the results that a loop cache kept at one moment, oldest first. Shared by
 * reference counting; the count is atomic. It keeps its values and errors valid, also when the
 * loop cache is gone.
 */
typedef struct docache_snapshot docache_snapshot;

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
 * wait that it was given to, but not the call: whoever calls it may still be inside that; free the
 * call afterwards, elsewhere.
 */
typedef void (*docache_notify_fn)(uintptr_t token);

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
 * A docache_perform_fn that is also told the key, which is borrowed for the call.
 */
typedef docache_status (*docache_perform_key_fn)(uintptr_t ctx,
                                                 const uint8_t *key,
                                                 size_t key_len,
                                                 struct docache_value **out_value,
                                                 struct docache_error **out_error);

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
 * docache_cache_set for `count` keys and as many values. INVALID_ARGUMENT if one is too heavy: the
 * others have been put in all the same, and the error names the first; for any other reason:
 * nothing has happened. [CB] `on_evict` and `drop`
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
 * stops at INFO, of failures at WARN, of panics at ERROR, of each success at DEBUG; caches and
 * groups do not. `drop` may be NULL. [CB] only `drop`
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
 * Starts the loop on a thread of its own. A loop that is running is fine; one that is about to
 * stop runs again as soon as the Doer's call ends. On Unix the thread blocks all signals but
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP, as all threads of the library do; threads and
 * processes that the Doer starts inherit that. [CB] only the logger
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
 * Ends the threads that the library keeps for itself, and waits until they have ended. For
 * programs that are searched for leaks, and before the library is unloaded; others need not call
 * it. Free all handles first: loops have threads of their own, which end when they are freed. OK:
 * there are none left; a few hundred bytes stay reachable. BUSY, after a second at most: a cache
 * or a wait still needs one, or a callback on one of them has not returned, or the call comes from
 * such a callback. It may be called again, and what is used meanwhile or later starts them again.
 * [NC] [BLK]
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
  {sizeof(docache_loop_options), 0, 0, 0, 0, DOCACHE_INIT_NULL, 0, DOCACHE_INIT_NULL, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_GROUP_OPTIONS_INIT {sizeof(docache_group_options), 0, 0, 0}
/** See DOCACHE_LOOP_OPTIONS_INIT. */
#define DOCACHE_CACHE_OPTIONS_INIT {sizeof(docache_cache_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** All zero, and the size. */
#define DOCACHE_LOOP_COUNTERS_INIT {sizeof(docache_loop_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/** See DOCACHE_LOOP_COUNTERS_INIT. */
#define DOCACHE_CACHE_COUNTERS_INIT \
  {sizeof(docache_cache_counters), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

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

DOCACHE_LAYOUT(sizeof(docache_loop_options), 72);
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

#undef DOCACHE_LAYOUT
#undef DOCACHE_LAYOUT_AT
#undef DOCACHE_LAYOUT_AS
#endif

#endif /* DOCACHE_H */
