//! Flights of groups and caches: who leads or waits in another thread is neither joined nor waited
//! for nor touched.

use std::cell::Cell;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context as TaskContext, Poll, Wake};

use docache::{Cache, Context, Group, KeyedGroup};

use crate::process::{fork, in_child, status_of, until};

/// The same call of each kind of flight, by a number.
struct Kinds {
    group: Group<u64>,
    keyed: KeyedGroup<u64, u64>,
    cache: Cache<u64, u64>,
}

impl Kinds {
    fn new() -> Kinds {
        let keyed = KeyedGroup::builder().shards(1).build().unwrap();
        Kinds { group: Group::new(), keyed, cache: Cache::builder().shards(1).build().unwrap() }
    }

    fn run(&self, kind: usize, work: impl FnOnce() -> u64) -> u64 {
        match kind {
            0 => self.group.run(work).into_inner(),
            1 => self.keyed.run(&1, work).into_inner(),
            _ => self.cache.fetch(&1, work),
        }
    }
}

/// Uses stacks such as those of threads that are gone.
fn use_stacks() {
    let fill = || std::hint::black_box([0x5A_u8; 1 << 14])[7];
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(fill)).collect();
    threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 0x5A));
}

pub(crate) fn flights_of_others() {
    let kinds = Kinds::new();
    let go = AtomicBool::new(false);
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for kind in 0..3 {
            let (kinds, go, barrier) = (&kinds, &go, &barrier);
            scope.spawn(move || {
                let work = || {
                    barrier.wait();
                    until(|| go.load(Ordering::SeqCst));
                    7
                };
                assert_eq!(kinds.run(kind, work), 7);
            });
        }
        barrier.wait();
        // Some that wait for those: for a while, so that they do at the fork.
        for kind in [0, 0, 1, 1, 2, 2] {
            let kinds = &kinds;
            scope.spawn(move || assert_eq!(kinds.run(kind, || 8), 7));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        in_child(|| {
            use_stacks();
            assert!(!kinds.group.in_flight());
            assert_eq!(kinds.keyed.in_flight(), 0);
            assert!(!kinds.group.forget());
            for kind in 0..3 {
                assert_eq!(kinds.run(kind, || 9), 9);
                kinds.cache.insert(1, 10);
                kinds.cache.clear();
                assert_eq!(kinds.run(kind, || 11), 11);
            }
            check_flights(&kinds);
        });
        go.store(true, Ordering::SeqCst);
    });
}

/// Flights of this process work: those who come meanwhile join.
fn check_flights(kinds: &Kinds) {
    for kind in 0..3 {
        kinds.cache.clear();
        let (barrier, led) = (Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let work = || {
                    barrier.wait();
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    1
                };
                assert_eq!(kinds.run(kind, work), 1);
            });
            barrier.wait();
            let others: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        kinds.run(kind, || {
                            led.store(true, Ordering::SeqCst);
                            2
                        })
                    })
                })
                .collect();
            for other in others {
                let value = other.join().unwrap();
                // One that comes late leads itself.
                assert!(value == 1 || value == 2 && led.load(Ordering::SeqCst));
            }
        });
    }
}

pub(crate) fn a_flight_of_ones_own() {
    let kinds = Kinds::new();
    for kind in 0..3 {
        let barrier = Barrier::new(3);
        std::thread::scope(|scope| {
            let work = || {
                // Others join, and are not there in the child.
                for _ in 0..2 {
                    scope.spawn(|| {
                        barrier.wait();
                        assert_eq!(kinds.run(kind, || 8), 7);
                    });
                }
                barrier.wait();
                std::thread::sleep(std::time::Duration::from_millis(50));
                let mut value = 7;
                // SAFETY: both go on as this crate says that they can.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: it ends a child that hangs.
                    unsafe { libc::alarm(60) };
                    use_stacks();
                    value = 9;
                } else {
                    CHILD.store(child, Ordering::SeqCst);
                }
                value
            };
            static CHILD: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);
            let value = kinds.run(kind, work);
            if value == 9 {
                // The child, whose call has come to its end with nobody to tell.
                kinds.cache.clear();
                assert_eq!(kinds.run(kind, || 10), 10);
                kinds.cache.clear();
                check_flights(&kinds);
                // SAFETY: it ends the child, which has none of the threads that the scope waits
                // for.
                unsafe { libc::_exit(0) };
            }
            assert_eq!(value, 7);
            assert_eq!(crate::process::status_of(CHILD.load(Ordering::SeqCst)), 0);
        });
        kinds.cache.clear();
    }
}

thread_local!(static FORKS_IN: Cell<u32> = const { Cell::new(0) });
static FORKED: AtomicI32 = AtomicI32::new(-1);

/// Forks if it is the thread's turn: at the last of the calls that were set.
fn count_down() {
    match FORKS_IN.get() {
        0 => {}
        1 => {
            FORKS_IN.set(0);
            // SAFETY: both go on as this crate says that they can.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: it ends a child that hangs.
                unsafe { libc::alarm(60) };
                use_stacks();
            }
            FORKED.store(child, Ordering::SeqCst);
        }
        left => FORKS_IN.set(left - 1),
    }
}

/// A value whose `Clone` and destructor may fork.
struct Forking {
    number: u64,
    forks_when_cloned: bool,
}

impl Forking {
    const fn new(number: u64) -> Forking {
        Forking { number, forks_when_cloned: true }
    }
}

impl Clone for Forking {
    fn clone(&self) -> Forking {
        if self.forks_when_cloned {
            count_down();
        }
        Forking { ..*self }
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        if !self.forks_when_cloned {
            count_down();
        }
    }
}

/// Runs `lead` while two others wait for it; it forks before it tells them, and comes back in both
/// processes, each of which goes on with `check`.
fn forks_before_it_tells<F: Fn() -> u64 + Sync>(
    lead: impl FnOnce(&dyn Fn()),
    join: F,
    check: impl Fn(),
) {
    FORKED.store(-1, Ordering::SeqCst);
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        let others_join = || {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    assert_eq!(join(), 7);
                });
            }
            barrier.wait();
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        lead(&others_join);
        check();
        if FORKED.load(Ordering::SeqCst) == 0 {
            // SAFETY: it ends the child, which has none of the threads that the scope waits for.
            unsafe { libc::_exit(0) };
        }
    });
    let child = FORKED.load(Ordering::SeqCst);
    assert!(child > 0, "it has forked");
    assert_eq!(status_of(child), 0);
}

pub(crate) fn a_clone_that_forks() {
    let group = KeyedGroup::<u64, Forking>::builder().shards(1).build().unwrap();
    let lead = |others_join: &dyn Fn()| {
        let work = || {
            others_join();
            FORKS_IN.set(1);
            Forking::new(7)
        };
        assert_eq!(group.run(&1, work).number, 7);
    };
    let check = || {
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.run(&1, || Forking::new(9)).number, 9);
    };
    forks_before_it_tells(lead, || group.run(&1, || Forking::new(8)).number, check);
}

pub(crate) fn a_destructor_that_forks() {
    let builder = Cache::builder().max_weight(8).weigher(|_, _: &Forking| 1).shards(1).no_sweep();
    let cache: Cache<u64, Forking> = builder.build().unwrap();
    let value = |number| Forking { number, forks_when_cloned: false };
    let lead = |others_join: &dyn Fn()| {
        let work = || {
            others_join();
            // What is retired from here on is dropped when the load ends: there is no room for it.
            let guard = cache.pin();
            (100..120).for_each(|key| cache.insert(key, value(key)));
            drop(guard);
            FORKS_IN.set(1);
            value(7)
        };
        assert_eq!(cache.fetch(&1, work).number, 7);
        assert_eq!(FORKS_IN.get(), 0, "a destructor has forked");
    };
    let check = || {
        cache.clear();
        assert_eq!(cache.fetch(&1, || value(9)).number, 9);
        assert_eq!(cache.fetch(&2, || value(9)).number, 9);
    };
    forks_before_it_tells(lead, || cache.fetch(&1, || value(8)).number, check);
}

/// Work that says at the barrier that it has begun, and ends once it is let go.
fn seven_once(begun: &Barrier, go: &AtomicBool) -> u64 {
    begun.wait();
    until(|| go.load(Ordering::SeqCst));
    7
}

pub(crate) fn a_bulk_call_of_ones_own() {
    // It leads one key, and waits for another one, which a thread leads that is not there in the
    // child.
    let group = KeyedGroup::<u64, u64>::new();
    let (barrier, go) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(*group.run(&1, || seven_once(&barrier, &go)), 7);
        });
        barrier.wait();
        let mut child = -1;
        let values = group.run_many(&[&1, &2], |keys| {
            if child == -1 {
                assert_eq!(keys, [&2]);
                // SAFETY: both go on as this crate says that they can.
                child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: it ends a child that hangs.
                    unsafe { libc::alarm(60) };
                }
                go.store(true, Ordering::SeqCst);
                return vec![8];
            }
            assert_eq!((child, keys), (0, &[&1][..]), "in the child nobody else does it");
            vec![9]
        });
        let values: Vec<u64> = values.iter().map(|value| **value).collect();
        if child == 0 {
            let passed = values == [9, 8];
            // SAFETY: it ends the child, which has none of the threads that the scope waits for.
            unsafe { libc::_exit(i32::from(!passed)) };
        }
        assert_eq!(values, [7, 8]);
        assert_eq!(crate::process::status_of(child), 0);
    });
}

struct Silent;

impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

pub(crate) fn a_future_that_waited() {
    let group = Group::<u64>::new();
    let context = Context::new();
    let (barrier, go) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(*group.run(|| seven_once(&barrier, &go)), 7);
        });
        barrier.wait();
        let waker = Arc::new(Silent).into();
        let mut cx = TaskContext::from_waker(&waker);
        let mut kept = pin!(group.run_async(|| async { 8 }));
        let mut dropped = Box::pin(group.run_async(|| async { 8 }));
        let mut cancelled = pin!(context.cancelled());
        assert!(kept.as_mut().poll(&mut cx).is_pending());
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert!(cancelled.as_mut().poll(&mut cx).is_pending());
        in_child(|| {
            use_stacks();
            drop(dropped);
            let Poll::Ready(value) = kept.as_mut().poll(&mut cx) else { panic!("it leads now") };
            assert_eq!(*value, 8);
            assert!(cancelled.as_mut().poll(&mut cx).is_pending());
            context.cancel();
            assert!(cancelled.as_mut().poll(&mut cx).is_ready());
        });
        go.store(true, Ordering::SeqCst);
    });
}

pub(crate) fn busy_groups() {
    let kinds = Kinds::new();
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (kinds, end) = (&kinds, &end);
            scope.spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    kinds.run(thread % 3, || 1);
                    kinds.cache.remove(&1);
                }
            });
        }
        // Whatever comes of them, the threads are to end.
        let children: Vec<i32> = (0..200)
            .map(|_| {
                status_of(fork(|| {
                    for kind in 0..3 {
                        kinds.cache.clear();
                        assert_eq!(kinds.run(kind, || 2), 2);
                    }
                    check_flights(&kinds);
                }))
            })
            .collect();
        end.store(true, Ordering::Relaxed);
        assert_eq!(children, [0; 200]);
    });
}
