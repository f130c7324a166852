//! The groups of the C ABI, where memory has to be counted or two uses of one call have to meet.

mod common;

use common::allocations::{self, Counting};
use docache::ffi::*;
use std::cell::Cell;
use std::ptr::{null, null_mut};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[global_allocator]
static COUNTING: Counting = Counting;

/// A group that is freed with this.
struct Group(*mut docache_group);

// SAFETY: the library's functions may be called from any thread.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

impl Group {
    fn new() -> Group {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        assert_eq!(unsafe { docache_group_new(null(), &raw mut out, null_mut()) }, DOCACHE_OK);
        Group(out)
    }

    fn begin(&self, key: &[u8]) -> (docache_status, Call) {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe {
            docache_group_begin(self.0, key.as_ptr(), key.len(), &raw mut out, null_mut())
        };
        (status, Call(out))
    }

    fn lead(&self, key: &[u8]) -> Call {
        let (status, call) = self.begin(key);
        assert_eq!(status, DOCACHE_LEADER);
        call
    }

    fn join(&self, key: &[u8]) -> Call {
        let (status, call) = self.begin(key);
        assert_eq!(status, DOCACHE_PENDING);
        call
    }

    fn in_flight(&self) -> usize {
        // SAFETY: the handle is valid.
        unsafe { docache_group_in_flight(self.0) }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { docache_group_free(self.0) };
    }
}

/// A call that the test frees.
#[derive(Clone, Copy)]
struct Call(*mut docache_call);

// SAFETY: the library's functions may be called from any thread.
unsafe impl Send for Call {}
// SAFETY: as above.
unsafe impl Sync for Call {}

/// A share of a value.
struct Value(*mut docache_value);

// SAFETY: values may be used by any thread.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the share is ours.
        unsafe { docache_value_release(self.0) };
    }
}

impl Call {
    fn finish(self, value: &Value) -> bool {
        let mut shared = 9;
        // SAFETY: all pointers are valid.
        let status = unsafe {
            docache_call_finish(
                self.0,
                DOCACHE_OK,
                value.0,
                null_mut(),
                &raw mut shared,
                null_mut(),
            )
        };
        assert_eq!(status, DOCACHE_OK);
        shared == 1
    }

    fn on_ready(self, counter: &AtomicUsize) -> docache_status {
        let token = std::ptr::from_ref(counter) as usize;
        // SAFETY: all pointers are valid; tests keep the counter for as long as the call may be
        // notified.
        unsafe { docache_call_on_ready(self.0, Some(count_up), token, null_mut()) }
    }

    /// What poll says, without the value.
    fn poll(self) -> docache_status {
        let mut value = null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe { docache_call_poll(self.0, &raw mut value, null_mut(), null_mut()) };
        // SAFETY: the share is ours.
        unsafe { docache_value_release(value) };
        status
    }

    fn cancel(self) -> docache_status {
        // SAFETY: the call is valid.
        unsafe { docache_call_cancel(self.0) }
    }

    fn free(self) -> docache_status {
        // SAFETY: each test frees its calls once.
        unsafe { docache_call_free(self.0) }
    }
}

unsafe extern "C-unwind" fn count_up(counter: usize) {
    // SAFETY: see `on_ready`.
    unsafe { &*(counter as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
}

fn value(bytes: &[u8]) -> Value {
    let mut out = null_mut();
    // SAFETY: all pointers are valid.
    let made = unsafe { docache_value_new(bytes.as_ptr(), bytes.len(), &raw mut out, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    Value(out)
}

/// Finishes `leader` on another thread while `body` runs on this one.
fn race<R>(leader: Call, value: &Value, body: impl FnOnce() -> R) -> R {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            leader.finish(value)
        });
        start.wait();
        body()
    })
}

#[test]
fn a_warm_call_allocates_nothing() {
    let group = Group::new();
    let shared = value(b"shared");
    let told = AtomicUsize::new(0);
    let long = [b'k'; 300];
    let cycle = |key: &[u8]| {
        let leader = group.lead(key);
        let waiter = group.join(key);
        let leaver = group.join(key);
        assert_eq!(waiter.on_ready(&told), DOCACHE_PENDING);
        assert_eq!(leaver.on_ready(&told), DOCACHE_PENDING);
        assert_eq!(leaver.free(), DOCACHE_OK);
        assert!(leader.finish(&shared));
        assert_eq!(waiter.poll(), DOCACHE_OK);
        assert_eq!((leader.free(), waiter.free()), (DOCACHE_OK, DOCACHE_OK));
    };
    for key in [&b""[..], b"key", &long[..40], &long[..41], &long] {
        for _ in 0..3 {
            cycle(key);
        }
        let before = allocations::on_this_thread();
        for _ in 0..100 {
            cycle(key);
        }
        assert_eq!(allocations::on_this_thread() - before, 0, "a key of {} bytes", key.len());
    }
    assert_eq!(told.load(Ordering::SeqCst), 5 * 103);
}

/// Where `linger` has got to, and where it waits for leave to return.
static INSIDE: Barrier = Barrier::new(2);
static LEAVE: Barrier = Barrier::new(2);

unsafe extern "C-unwind" fn linger(counter: usize) {
    // SAFETY: see `on_ready`.
    unsafe { count_up(counter) };
    INSIDE.wait();
    LEAVE.wait();
}

#[test]
fn a_wake_of_an_earlier_use_is_no_notification_of_the_next() {
    let group = Group::new();
    let (first, lingering, second) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let shared = value(b"");
    let (leader, waiter, lingerer) = (group.lead(b"key"), group.join(b"key"), group.join(b"key"));
    assert_eq!(waiter.on_ready(&first), DOCACHE_PENDING);
    let token = &raw const lingering as usize;
    // SAFETY: all pointers are valid.
    let armed = unsafe { docache_call_on_ready(lingerer.0, Some(linger), token, null_mut()) };
    assert_eq!(armed, DOCACHE_PENDING);
    let (next_leader, again) = thread::scope(|scope| {
        scope.spawn(|| leader.finish(&shared));
        INSIDE.wait();
        // Both have their outcome, and the first's wake is still to come.
        assert_eq!((waiter.poll(), lingerer.cancel()), (DOCACHE_OK, DOCACHE_PENDING));
        let next_leader = group.lead(b"key");
        assert_eq!(waiter.free(), DOCACHE_OK);
        let again = group.join(b"key");
        assert_eq!(again.0, waiter.0, "the call is used again");
        assert_eq!(again.on_ready(&second), DOCACHE_PENDING);
        LEAVE.wait();
        (next_leader, again)
    });
    assert_eq!((again.poll(), second.load(Ordering::SeqCst)), (DOCACHE_PENDING, 0));
    assert!(next_leader.finish(&shared));
    let told = [&first, &lingering, &second].map(|told| told.load(Ordering::SeqCst));
    assert_eq!(told, [0, 1, 1], "the first was freed before it was called");
    for call in [leader, lingerer, next_leader, again] {
        assert_eq!(call.free(), DOCACHE_OK);
    }
}

#[test]
fn a_lead_that_is_given_up_goes_from_waiter_to_waiter_and_ends() {
    let (group, told) = (Group::new(), AtomicUsize::new(0));
    let mut leader = group.lead(b"key");
    let waiters: Vec<Call> = (0..40).map(|_| group.join(b"key")).collect();
    for waiter in &waiters {
        assert_eq!(waiter.on_ready(&told), DOCACHE_PENDING);
    }
    for (at, waiter) in waiters.iter().enumerate() {
        assert_eq!((leader.free(), group.in_flight()), (DOCACHE_OK, 1));
        assert_eq!((told.load(Ordering::SeqCst), waiter.poll()), (at + 1, DOCACHE_LEADER));
        leader = *waiter;
    }
    assert_eq!((leader.free(), group.in_flight()), (DOCACHE_LEADER_LOST, 0));
}

#[test]
fn calls_go_on_without_their_group() {
    let (group, told) = (Group::new(), AtomicUsize::new(0));
    let (leader, waiter) = (group.lead(&[1; 50]), group.join(&[1; 50]));
    assert_eq!(waiter.on_ready(&told), DOCACHE_PENDING);
    drop(group);
    let shared = value(b"late");
    assert!(leader.finish(&shared));
    assert_eq!((told.load(Ordering::SeqCst), waiter.poll()), (1, DOCACHE_OK));
    assert_eq!((leader.free(), waiter.free()), (DOCACHE_OK, DOCACHE_OK));
}

#[test]
fn a_cancelled_notification_and_an_outcome_that_race_agree() {
    const ROUNDS: usize = 2_000;
    let (group, shared) = (Group::new(), value(b""));
    for _ in 0..ROUNDS {
        let (leader, waiter, told) = (group.lead(b"key"), group.join(b"key"), AtomicUsize::new(0));
        assert_eq!(waiter.on_ready(&told), DOCACHE_PENDING);
        let taken_back = race(leader, &shared, || waiter.cancel() == DOCACHE_OK);
        assert_eq!(told.load(Ordering::SeqCst), usize::from(!taken_back));
        assert_eq!(waiter.poll(), DOCACHE_OK);
        assert_eq!((waiter.free(), leader.free()), (DOCACHE_OK, DOCACHE_OK));
    }
}

#[test]
fn arming_and_an_outcome_that_race_lose_no_notification() {
    const ROUNDS: usize = 2_000;
    let (group, shared) = (Group::new(), value(b""));
    for round in 0..ROUNDS {
        let (leader, waiter, told) = (group.lead(b"key"), group.join(b"key"), AtomicUsize::new(0));
        if round % 2 == 0 {
            // The bell is with the shard already, and nothing is armed.
            assert_eq!((waiter.on_ready(&told), waiter.cancel()), (DOCACHE_PENDING, DOCACHE_OK));
        }
        let armed = race(leader, &shared, || waiter.on_ready(&told));
        let expected = if armed == DOCACHE_PENDING { 1 } else { 0 };
        assert_eq!(told.load(Ordering::SeqCst), expected, "on_ready said {armed}");
        assert_eq!(
            (waiter.poll(), waiter.free(), leader.free()),
            (DOCACHE_OK, DOCACHE_OK, DOCACHE_OK)
        );
    }
}

/// Gives up its lead in one of three cases, else finishes: whether it finished.
fn finish_or_give_up(call: Call, value: &Value, turn: usize) -> bool {
    if turn % 3 != 0 {
        call.finish(value);
        assert_eq!(call.poll(), DOCACHE_OK);
    }
    let freed = call.free();
    assert!(freed == DOCACHE_OK || (turn % 3 == 0 && freed == DOCACHE_LEADER_LOST));
    turn % 3 != 0
}

#[test]
fn no_lead_and_no_notification_is_lost_in_a_crowd() {
    const TURNS: usize = 3_000;
    let (group, shared, finished) = (Group::new(), value(b""), AtomicUsize::new(0));
    let member = |seed: usize| {
        for turn in seed..seed + TURNS {
            let (status, call) = group.begin(b"key");
            let told = AtomicUsize::new(0);
            let led = match status {
                DOCACHE_LEADER => true,
                DOCACHE_PENDING if turn % 5 == 0 => false,
                DOCACHE_PENDING => {
                    if call.on_ready(&told) == DOCACHE_PENDING {
                        while told.load(Ordering::SeqCst) == 0 {
                            thread::yield_now();
                        }
                    }
                    let seen = call.poll();
                    assert!(seen == DOCACHE_LEADER || seen == DOCACHE_OK, "told of {seen}");
                    seen == DOCACHE_LEADER
                }
                other => panic!("begin said {other}"),
            };
            if led {
                finished.fetch_add(
                    usize::from(finish_or_give_up(call, &shared, turn)),
                    Ordering::SeqCst,
                );
            } else {
                let freed = call.free();
                assert!(freed == DOCACHE_OK || (turn % 5 == 0 && freed == DOCACHE_LEADER_LOST));
            }
        }
    };
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || member(seed * 7));
        }
    });
    assert_eq!(group.in_flight(), 0);
    assert!(finished.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_call_may_be_looked_at_by_many_while_it_is_told() {
    let (group, shared) = (Group::new(), value(b""));
    for _ in 0..500 {
        let (leader, waiter, told) = (group.lead(b"key"), group.join(b"key"), AtomicUsize::new(0));
        assert_eq!(waiter.on_ready(&told), DOCACHE_PENDING);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while waiter.poll() != DOCACHE_OK {
                        thread::yield_now();
                    }
                });
            }
            leader.finish(&shared);
        });
        assert_eq!((told.load(Ordering::SeqCst), waiter.cancel()), (1, DOCACHE_PENDING));
        assert_eq!((waiter.free(), leader.free()), (DOCACHE_OK, DOCACHE_OK));
    }
}

/// What a run's caller and the call that waits for it come to.
struct Joining<'a> {
    group: &'a Group,
    waiter: Cell<Call>,
}

unsafe extern "C-unwind" fn joins_and_panics(
    joining: usize,
    _: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the test below gives its own, and waits.
    let joining = unsafe { &*(joining as *const Joining<'_>) };
    let group = joining.group;
    let waiter = thread::scope(|scope| scope.spawn(|| group.join(b"key")).join().unwrap());
    joining.waiter.set(waiter);
    panic!("a callback broke its contract");
}

#[test]
fn a_panic_that_unwinds_out_of_a_callback_is_every_callers_status() {
    let group = Group::new();
    let joining = Joining { group: &group, waiter: Cell::new(Call(null_mut())) };
    let (mut out, mut error) = (null_mut(), null_mut());
    let ctx = &raw const joining as usize;
    // SAFETY: all pointers are valid.
    let status = unsafe {
        docache_group_run(
            group.0,
            b"key".as_ptr(),
            3,
            DOCACHE_FOREVER,
            Some(joins_and_panics),
            ctx,
            &raw mut out,
            null_mut(),
            &raw mut error,
        )
    };
    assert_eq!((status, out), (DOCACHE_PANIC, null_mut()));
    let mut joined = null_mut();
    // SAFETY: all pointers are valid.
    let polled = unsafe {
        docache_call_poll(joining.waiter.get().0, &raw mut out, null_mut(), &raw mut joined)
    };
    assert_eq!((polled, out), (DOCACHE_PANIC, null_mut()));
    for error in [error, joined] {
        // SAFETY: the share is ours.
        let message = unsafe { docache_error_message(error, null_mut()) };
        // SAFETY: the library's text, which ends with a NUL and lives as long as the share.
        let message = unsafe { std::ffi::CStr::from_ptr(message) };
        assert!(message.to_str().unwrap().ends_with("panicked: a callback broke its contract"));
        // SAFETY: the share is ours.
        unsafe { docache_error_release(error) };
    }
    assert_eq!((joining.waiter.get().free(), group.in_flight()), (DOCACHE_OK, 0));
}
