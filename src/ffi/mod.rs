//! docache for C: do expensive work once, and share the result.
//!
//! - docache_loop_: a loop cache calls a function of yours at an interval; readers get its last
//!   results and never wait.
//! - docache_group_: callers who want the same thing for the same key share one run of the work.
//! - docache_cache_: values by key, for a time and up to a limit; many who miss the same key share
//!   one fetch of it.
//! - docache_echo_, docache_store_: an echo cache keeps what is fetched in a store: memory, a Redis
//!   or NATS server that many processes share, or callbacks of yours; those who miss the same key,
//!   in all processes, share one fetch; and what is stale can be served while it is refreshed.
//! - docache_run_: groups of actors, which run side by side and end together; loops, which repeat
//!   theirs; calls that are made again when they fail.
//! - docache_scheduler_: calls that come later, and many loop caches, on a few threads.
//! - docache_call_, docache_wait_: runs, fetches and waits for those that must not block: begin, be
//!   notified, poll.
//! - docache_value_, docache_error_, docache_logger_: shared bytes, why something failed, who is
//!   told of it.
//!
//! ```c
//! #include <docache.h>
//! #include <stdio.h>
//!
//! static docache_status render(uintptr_t ctx, const uint8_t *key, size_t key_len,
//!                              docache_value **out_value, docache_error **out_error) {
//!   (void)ctx;
//!   return docache_value_new(key, key_len, out_value, out_error);
//! }
//!
//! int main(void) {
//!   docache_cache_options options = DOCACHE_CACHE_OPTIONS_INIT;
//!   docache_cache *pages = NULL;
//!   docache_value *page = NULL;
//!   docache_error *error = NULL;
//!   const uint8_t key[] = {'/', 'a'};
//!   options.time_to_live_ns = 30000000000; // 30 s; 0: 15 minutes
//!   options.capacity = 1000;
//!   docache_status status = docache_cache_new(&options, NULL, 0, NULL, &pages, &error);
//!   if (status == DOCACHE_OK) {
//!     status = docache_cache_fetch_key(pages, key, sizeof key, 0, DOCACHE_FOREVER, render, 0,
//!                                      &page, &error);
//!   }
//!   if (status == DOCACHE_OK) {
//!     printf("%.*s\n", (int)docache_value_len(page), (const char *)docache_value_data(page));
//!   } else {
//!     printf("%s: %s\n", docache_status_name(status),
//!            error != NULL ? docache_error_message(error, NULL) : "");
//!   }
//!   docache_error_release(error);
//!   docache_value_release(page);
//!   docache_cache_free(pages);
//!   return status == DOCACHE_OK ? 0 : 1;
//! }
//! ```
//!
//! Link libdocache.a with -lpthread -ldl -lm, or the shared library, whose name is libdocache.so.0.
//!
//! # Words
//! - The Doer is the `perform` of a loop. A loop can also be driven by its host, the program around
//!   it: docache_loop_drive.
//! - Of the callers who want the same key, the one that does the work leads; the others wait, and
//!   share what came of it.
//! - A share is one of the counted references to a value, an error, a logger or a snapshot.
//! - A version is the number of a loop's results so far; the sequence of a result is the version
//!   that it brought.
//! - An actor is a part of a docache_run_group or a docache_run_loop: work with a thread of its
//!   own, and what makes it return. (A docache_loop and a docache_group are other things: a loop
//!   cache, and runs that callers share.)
//!
//! # Errors
//! Every function that can fail returns a docache_status: 0 for success, positive for regular
//! outcomes such as MISS, negative for mistakes and defects. Statuses are written here without
//! their DOCACHE_. The last parameter takes a docache_error with a message, and with the number
//! that a callback gave; or NULL, if the status will do. An error that was given is the caller's to
//! release.
//!
//! A function's comment names the statuses with a meaning of their own. Besides, any function may
//! return INVALID_ARGUMENT for what it was given, PANIC for a defect of the library, and, if it
//! starts something, INTERNAL where the machine refuses a thread or memory. One whose comment names
//! it returns UNSUPPORTED if the library was built without what is asked for. VERSION_MISMATCH is
//! for the language bindings; no function returns it today.
//!
//! # Threads and the end
//! - The library starts threads when they are needed: docache-clock while caches are used,
//!   docache-timer while somebody waits with a deadline or a cache is to be swept, docache-sweep
//!   while one is, docache-echo while an echo cache refreshes or keeps its locks, docache-redis or
//!   docache-nats for a store on a server, docache-sched while a scheduler has something to do, and
//!   one for each loop that was started, unless that is on a scheduler.
//! - A docache_run_group that runs has one for each of its actors, which is named after it, and one
//!   for each interrupt.
//! - Their stacks have 2 MiB, unless the environment variable RUST_MIN_STACK says otherwise, in
//!   bytes. A callback that needs more starts a thread of its own.
//! - A program may simply end. One that looks for leaks, or that unloads the library, ends its
//!   docache_run_groups and docache_run_loops, waits and calls, drives, loops, schedulers, groups,
//!   caches and stores in this order, and calls docache_shutdown last.
//!
//! # Conventions
//! - Handles are opaque. `_new`/`_free` handles have one owner; `_retain`/`_release` handles are
//!   counted.
//! - Inputs come first, outputs last. Every output pointer is required unless its function says
//!   otherwise. An output handle is set to NULL first and written only where the function says so,
//!   with OK, PENDING or LEADER; other outputs are written only with OK unless their function says
//!   otherwise. What lay in an output before is not released.
//! - A `docache_error **out_error` may be NULL. It is set to NULL first, and to an error, which the
//!   caller releases, when the status is negative, TIMEOUT, CANCELLED, CLOSED, DOER_FAILED or BUSY.
//! - What a function is given stays the caller's, who may release it afterwards; what the library
//!   keeps is a share of its own, or a copy. See "Who releases what" for the exceptions.
//! - A pointer whose length is 0 is ignored. Texts are UTF-8 with a length and need no NUL.
//! - Option structs begin with their size; a field of zero means its default, and a part that this
//!   library does not know must be zero.
//! - A registration is a function, a `ctx` and a `drop`, which may be NULL: `drop(ctx)` is called
//!   exactly once, after the last use, also when the registration fails. A callback must return: it
//!   must not throw, unwind or longjmp.
//! - `timeout_ns`: negative is no limit, 0 does not wait. It limits waiting for others; a call that
//!   leads still runs its work to the end.
//! - A function's comment says \[NC\] if it never calls back, \[CB\] if it may call back, and
//!   \[BLK\] if it may block; without \[BLK\] it takes short locks at most. "Only `drop`": the call
//!   may release the last share of something, and then runs its `drop` on this thread; even a read
//!   of a loop can.
//! - All functions may be called from any thread, at any time and at once, with one exception: a
//!   handle with one owner must not be freed while another thread is in a call with it. (A call
//!   that a callback was called from may be, see below; and so may the run of a docache_run_group
//!   or a docache_run_loop.)
//!
//! # Who releases what
//! - Every `out_value`, `out_error` and other handle that a function writes: yours, release or free
//!   it.
//! - What `perform` writes: given away.
//! - What docache_drive_finish is given: given away, also when it fails.
//! - What docache_call_finish, docache_call_end and docache_echo_call_finish are given: yours,
//!   release it.
//! - What callbacks of a store write to a docache_found: given away.
//! - A docache_call: free it, also after docache_call_finish, but not after a docache_call_end that
//!   returned OK.
//! - What docache_run_group_add_group and docache_run_group_add_loop are given: given away with OK.
//! - What a callback is given, and the value and error in a docache_entry: borrowed.
//!
//! # Freeing
//! - When `_free` of a loop, a cache, an echo cache, a wait, a scheduler, a docache_run_group or a
//!   docache_run_loop has returned, none of the object's callbacks runs or will, and `drop` of its
//!   registrations has been called. So it waits for callbacks that run on the library's own
//!   threads, and must not be called with anything held, such as a mutex, that they need.
//! - Inside a callback of the object's own it returns at once: the object ends, and `drop` is
//!   called, when the call that the callback came from is over.
//! - Inside another object's callback it waits as well, except where threads would wait for each
//!   other in a circle: then one of them does not wait, and its object ends as if it had been freed
//!   inside a callback of its own.
//! - A docache_call outlives what it was begun at, its notification with it. Where calls are out
//!   when their cache is freed, `drop` of the cache's listener, if there is a listener, is called
//!   when the last of them is over; without a listener, at once. A docache_echo_call outlives its
//!   cache as well, and has a share of the store.
//! - Loops on a scheduler have shares of it: their callbacks are their own, and they go on when it
//!   is freed.
//! - A value's `drop` belongs to the value. Whoever gives the last share back calls it: if that is
//!   a cache, inside a write, its sweep or its free.
//!
//! # Signals
//! The library's threads block all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP. What a
//! Doer or an actor starts inherits that.
//!
//! # Fork
//! After `fork` (and `daemon`, but not `vfork` or a bare system call) the child can use and free
//! all handles that it has from its parent. Caches are whole; what expires does so and is swept;
//! what other threads were fetching or running is not waited for. A loop cache that ran counts as
//! stopped and can be started again; if the fork fell into a call of its Doer, that call has no end
//! in the child, and the Doer must cope with being called again on its data as they are. A loop
//! whose own thread forks goes on in the child. A docache_run_group or docache_run_loop that ran is
//! over, and can be freed; one that did not run yet can be run. A scheduler can be used, but what
//! it was to call is not called in the child; `drop` of that is, when it is cancelled, or when the
//! scheduler is freed or shut down, also if another thread was calling it. A docache_call, or a
//! wait, that was begun is to be polled, or freed, by the child itself: nobody notifies it of what
//! threads would have done that are not there. One that another thread was using at the moment of
//! the fork must not be used.
//!
//! # Safety
//! What a caller of every function promises:
//! - HANDLE: a handle is NULL or came from this library and has not been freed or released.
//! - SPAN: a pointer with a length of `n` leads to `n` readable elements (for outputs: writable).
//! - CALLBACK: a function pointer has the type in the header and may be called from any thread with
//!   its `ctx`.
//!
//! NULL, misaligned pointers, sizes, enumerations and texts are checked.

#![allow(non_camel_case_types, reason = "these are the names that C sees")]

// cbindgen writes the header in the order of these declarations.
mod version;

mod cache;
mod call;
mod echo;
mod error;
mod gate;
mod group;
mod logger;
mod loop_cache;
mod notify;
mod perform;
mod perform_key;
mod polled;
mod run;
mod scheduler;
mod shutdown;
mod store;

mod boundary;

mod value;
mod wait;

pub use boundary::*;
pub use cache::*;
pub use call::*;
pub use echo::*;
pub use error::*;
pub use group::*;
pub use logger::*;
pub use loop_cache::*;
pub use notify::docache_notify_fn;
pub use perform::docache_perform_fn;
pub use perform_key::*;
pub use run::*;
pub use scheduler::*;
pub use shutdown::docache_shutdown;
pub use value::*;
pub use version::*;
pub use wait::*;
