//! How callers share the connection: who sends and reads for whom, and what becomes of the others
//! when that one leaves, stands still, or fails.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context as TaskContext, Waker};
use std::thread::Scope;
use std::time::{Duration, Instant, SystemTime};

use docache::Context;
use docache::echo::codec::{Codec, Json};
use docache::echo::{AsyncStore, Found, Life, Store, StoreError, StoreErrorKind, Within};

use crate::LONG;
use crate::fake::{Fake, Reads};
use crate::server::url;
use crate::tasks::drive;

/// What a busy machine may add to a time that is bounded.
const SLACK: Duration = Duration::from_millis(300);

/// Numbers as JSON, and bytes as they are, so that the time of a call is not spent on them.
#[derive(Debug)]
struct Plain;

impl Codec<u32> for Plain {
    fn encode(
        &self,
        value: &u32,
        created: Option<SystemTime>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        Json.encode(value, created, out)
    }

    fn decode(&self, raw: &[u8], now: SystemTime) -> Result<Found<u32>, StoreError> {
        Json.decode(raw, now)
    }
}

impl Codec<Vec<u8>> for Plain {
    fn encode(
        &self,
        value: &Vec<u8>,
        _: Option<SystemTime>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, raw: &[u8], _: SystemTime) -> Result<Found<Vec<u8>>, StoreError> {
        Ok(Found::new(raw.to_vec()))
    }
}

type RedisStore = docache::echo::RedisStore<Plain>;

type Got = Result<u32, StoreErrorKind>;

fn get(store: &RedisStore, key: &str, budget: Duration) -> Got {
    let context = Context::background();
    answered(Store::<u32>::get(store, key, &Within::new(&context, budget)))
}

fn get_async(store: &RedisStore, key: &str, budget: Duration) -> Got {
    let context = Context::background();
    let within = Within::new(&context, budget);
    answered(drive(AsyncStore::<u32>::get_async(store, key, &within)))
}

fn answered(found: Result<Option<Found<u32>>, StoreError>) -> Got {
    found.map(|found| found.expect("it has a value").value).map_err(|error| error.kind())
}

/// Reads on a thread of its own, and says when it is over how long it took.
struct Reading<'s>(std::thread::ScopedJoinHandle<'s, (Got, Duration)>);

impl<'s> Reading<'s> {
    fn start<'e>(
        scope: &'s Scope<'s, 'e>,
        store: &'e RedisStore,
        key: &'static str,
        budget: Duration,
    ) -> Reading<'s> {
        Reading::by(scope, move || get(store, key, budget))
    }

    /// With its thread.
    fn of_thread<'e>(
        scope: &'s Scope<'s, 'e>,
        store: &'e RedisStore,
        key: &'static str,
    ) -> (Reading<'s>, libc::pthread_t) {
        let (tell, told) = mpsc::channel();
        let reading = Reading::by(scope, move || {
            // SAFETY: it asks who it is.
            tell.send(unsafe { libc::pthread_self() }).unwrap();
            get(store, key, LONG)
        });
        (reading, told.recv().unwrap())
    }

    fn by(scope: &'s Scope<'s, '_>, read: impl FnOnce() -> Got + Send + 's) -> Reading<'s> {
        Reading(scope.spawn(move || {
            let start = Instant::now();
            (read(), start.elapsed())
        }))
    }

    fn end(self) -> (Got, Duration) {
        self.0.join().unwrap()
    }

    fn got(self) -> Got {
        self.end().0
    }
}

/// A store that is connected.
fn connected(fake: &Fake) -> RedisStore {
    let builder = docache::echo::RedisStore::builder(url(fake.port()));
    let store = builder.prefix("app").codec(Plain).build().unwrap();
    std::thread::scope(|scope| {
        let first = Scene { scope, fake, store: &store }.heard("first");
        fake.answer("1");
        assert_eq!(first.got(), Ok(1));
    });
    store
}

/// A server, a store that is connected to it, and a scope for those who read.
struct Scene<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    fake: &'e Fake,
    store: &'e RedisStore,
}

/// All of the test is to have one connection.
fn on_one_connection(test: impl for<'s, 'e> FnOnce(&Scene<'s, 'e>)) {
    let fake = Fake::start();
    let store = connected(&fake);
    std::thread::scope(|scope| test(&Scene { scope, fake: &fake, store: &store }));
    assert_eq!(fake.accepted(), 1);
}

impl<'s> Scene<'s, '_> {
    /// A thread reads, and the server hears of it.
    fn heard(&self, key: &'static str) -> Reading<'s> {
        self.heard_within(key, LONG)
    }

    fn heard_within(&self, key: &'static str, budget: Duration) -> Reading<'s> {
        let reading = Reading::start(self.scope, self.store, key, budget);
        self.hears(key);
        reading
    }

    /// With the thread that reads.
    fn heard_of_thread(&self, key: &'static str) -> (Reading<'s>, libc::pthread_t) {
        let of_thread = Reading::of_thread(self.scope, self.store, key);
        self.hears(key);
        of_thread
    }

    /// A task reads, and the server hears of it.
    fn heard_of_task(&self, key: &'static str) -> Reading<'s> {
        let store = self.store;
        let reading = Reading::by(self.scope, move || get_async(store, key, LONG));
        self.hears(key);
        reading
    }

    fn hears(&self, key: &str) {
        assert_eq!(self.fake.get(), format!("app:{key}"));
    }
}

/// Tries a few times whether something is in time on a machine that is busy with other things.
fn in_time(limit: Duration, mut once: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    for _ in 0..4 {
        took.push(once());
        if took.last().is_some_and(|took| *took <= limit) {
            return;
        }
    }
    panic!("{took:?}, and {limit:?} are allowed");
}

/// The server answers nobody before it has heard all: who reads sends for the others meanwhile.
#[test]
fn what_has_queued_is_sent_while_a_reply_is_awaited() {
    on_one_connection(|scene| {
        let fake = scene.fake;
        let first = scene.heard("a");
        let second = scene.heard("b");
        let third = scene.heard_of_task("c");
        ["1", "2", "3"].iter().for_each(|value| fake.answer(value));
        assert_eq!([first, second, third].map(Reading::got), [Ok(1), Ok(2), Ok(3)]);
    });
}

/// Who has its reply leaves, though others wait for theirs.
#[test]
fn nobody_reads_for_others_once_its_own_reply_is_there() {
    on_one_connection(|scene| {
        let fake = scene.fake;
        let mut readings = Vec::new();
        for key in ["a", "b", "c", "d"] {
            readings.push(scene.heard(key));
        }
        for (value, reading) in readings.into_iter().enumerate() {
            fake.answer(&value.to_string());
            assert_eq!(reading.got(), Ok(value as u32));
        }
    });
}

/// Each of those who lead leaves at its time, and what was sent for the others is read by others.
#[test]
fn a_leader_whose_time_is_over_leaves_the_rest_to_those_who_wait() {
    on_one_connection(|scene| {
        let fake = scene.fake;
        let mut short = Vec::new();
        for key in ["a", "b", "c", "d", "e", "f"] {
            short.push(scene.heard_within(key, Duration::from_millis(300)));
        }
        let thread = scene.heard("thread");
        let task = scene.heard_of_task("task");
        for reading in short {
            let (got, took) = reading.end();
            assert_eq!(got, Err(StoreErrorKind::Timeout));
            assert!(took <= LONG / 2, "{took:?}");
        }
        // Theirs, which nobody waits for.
        (0..6).for_each(|value| fake.answer(&value.to_string()));
        fake.answer("7");
        assert_eq!(thread.got(), Ok(7));
        // The thread that has led until now is gone.
        fake.answer("8");
        assert_eq!(task.got(), Ok(8));
    });
}

/// A reply that came after its caller had left, and that nobody has read for long, is not missing.
#[test]
fn late_replies_that_nobody_has_read_are_not_missing() {
    on_one_connection(|scene| {
        let fake = scene.fake;
        let late = get(scene.store, "late", Duration::from_millis(20));
        assert_eq!(late, Err(StoreErrorKind::Timeout));
        scene.hears("late");
        fake.answer("1");
        std::thread::sleep(Duration::from_millis(1_300));
        let next = scene.heard("next");
        fake.answer("2");
        assert_eq!(next.got(), Ok(2));
    });
}

/// A value that is more than the system keeps for a connection.
fn large() -> Vec<u8> {
    vec![b'x'; 12 << 20]
}

fn put(store: &RedisStore, value: &Vec<u8>, budget: Duration) -> (StoreErrorKind, Duration) {
    let (context, start) = (Context::background(), Instant::now());
    let written = store.put("large", value, Life::FOREVER, &Within::new(&context, budget));
    (written.unwrap_err().kind(), start.elapsed())
}

#[test]
fn a_server_that_does_not_read_costs_no_more_than_the_budget() {
    const BUDGET: Duration = Duration::from_millis(500);
    let (fake, value) = (Fake::start(), large());
    in_time(BUDGET + SLACK, || {
        let store = connected(&fake);
        fake.set(Reads::Never);
        let (kind, took) = put(&store, &value, BUDGET);
        assert_eq!(kind, StoreErrorKind::Timeout);
        fake.set(Reads::AtOnce);
        took
    });
}

#[test]
fn a_server_that_reads_slowly_costs_no_more_than_the_budget() {
    const BUDGET: Duration = Duration::from_millis(500);
    let (fake, value) = (Fake::start(), large());
    in_time(BUDGET + SLACK, || {
        let store = connected(&fake);
        fake.set(Reads::Slowly(16 * 1024, Duration::from_millis(3)));
        let (kind, took) = put(&store, &value, BUDGET);
        assert_eq!(kind, StoreErrorKind::Timeout);
        fake.set(Reads::AtOnce);
        took
    });
}

/// What was half sent is sent to its end by who comes next.
#[test]
fn a_command_that_was_half_sent_does_not_harm_the_next() {
    on_one_connection(|scene| {
        let fake = scene.fake;
        fake.set(Reads::Never);
        let put = put(scene.store, &large(), Duration::from_millis(50));
        assert_eq!(put.0, StoreErrorKind::Timeout);
        fake.set(Reads::AtOnce);
        let next = scene.heard("next");
        fake.send("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:0\r\n");
        fake.answer("2");
        assert_eq!(next.got(), Ok(2));
    });
}

#[test]
fn a_server_that_does_not_read_is_given_up() {
    let (fake, value) = (Fake::start(), large());
    let store = connected(&fake);
    fake.set(Reads::Never);
    let (kind, took) = put(&store, &value, LONG);
    assert_eq!(kind, StoreErrorKind::Unavailable);
    assert!(took < LONG / 2, "{took:?}");
    fake.set(Reads::AtOnce);
}

static STANDING: AtomicU32 = AtomicU32::new(0);
static STANDS: AtomicBool = AtomicBool::new(false);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

extern "C" fn stand_still(_: i32) {
    STANDING.fetch_add(1, Ordering::SeqCst);
    while STANDS.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
}

/// A thread that stands still, as when the system does not run it, until this is dropped.
struct Still(#[allow(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

impl Still {
    /// Stops a thread that is in a read of the scope's.
    fn stop(thread: libc::pthread_t) -> Still {
        let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let handler: extern "C" fn(i32) = stand_still;
        let before = STANDING.load(Ordering::SeqCst);
        STANDS.store(true, Ordering::SeqCst);
        // SAFETY: the handler does nothing but what is allowed in one.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        // SAFETY: the thread waits for an answer that the test has not given.
        unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
        while STANDING.load(Ordering::SeqCst) == before {
            std::thread::yield_now();
        }
        Still(one)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        STANDS.store(false, Ordering::SeqCst);
    }
}

/// The thread that reads for all stands still, as when the system does not run it.
#[test]
fn those_who_wait_for_a_leader_that_stands_still_leave_at_their_time() {
    const BUDGET: Duration = Duration::from_millis(50);
    on_one_connection(|scene| {
        let Scene { scope, fake, store } = *scene;
        let (leader, thread) = scene.heard_of_thread("leader");
        let still = Still::stop(thread);
        in_time(BUDGET + SLACK, || {
            let (thread, task) = (
                Reading::start(scope, store, "b", BUDGET),
                Reading::by(scope, move || get_async(store, "c", BUDGET)),
            );
            let (thread, task) = (thread.end(), task.end());
            assert_eq!([thread.0, task.0], [Err(StoreErrorKind::Timeout); 2]);
            thread.1.max(task.1)
        });
        let patient = Reading::start(scope, store, "patient", LONG);
        assert_eq!(fake.get_within(Duration::from_millis(50)), None);
        drop(still);
        fake.answer("1");
        assert_eq!(leader.got(), Ok(1));
        assert_eq!(fake.get(), "app:patient", "those who left have not been sent");
        fake.answer("2");
        assert_eq!(patient.got(), Ok(2));
    });
}

/// A thread that is to read next is not waited for if it does not run.
#[test]
fn who_comes_before_the_next_leader_wakes_up_leads_instead() {
    on_one_connection(|scene| {
        let fake = scene.fake;
        let first = scene.heard("first");
        let (next, thread) = scene.heard_of_thread("next");
        let still = Still::stop(thread);
        fake.answer("1");
        assert_eq!(first.got(), Ok(1));
        for value in 10..13 {
            let quick = scene.heard("quick");
            if value == 10 {
                fake.answer("2");
            }
            fake.answer(&value.to_string());
            assert_eq!(quick.got(), Ok(value));
        }
        drop(still);
        assert_eq!(next.got(), Ok(2));
    });
}

/// The same, but the one that did not run has still to be answered, and is appointed again.
#[test]
fn a_leader_that_was_dismissed_leads_later() {
    on_one_connection(|scene| {
        let (fake, store) = (scene.fake, scene.store);
        let first = scene.heard("first");
        let (next, thread) = scene.heard_of_thread("next");
        let still = Still::stop(thread);
        fake.answer("1");
        assert_eq!(first.got(), Ok(1));
        let quick = get(store, "quick", Duration::from_millis(20));
        assert_eq!(quick, Err(StoreErrorKind::Timeout));
        drop(still);
        assert_eq!(fake.get(), "app:quick");
        fake.answer("2");
        assert_eq!(next.got(), Ok(2));
    });
}

/// Whoever leads, all that wait learn that the connection broke.
#[test]
fn a_connection_that_breaks_fails_all_that_wait_for_it() {
    let fake = Fake::start();
    for is_led_by_thread in [true, false] {
        let store = connected(&fake);
        std::thread::scope(|scope| {
            let scene = Scene { scope, fake: &fake, store: &store };
            let read = |is_thread: bool, key| match is_thread {
                true => scene.heard(key),
                false => scene.heard_of_task(key),
            };
            let first = read(is_led_by_thread, "a");
            let rest = [read(true, "b"), read(false, "c"), read(true, "d")];
            fake.answer("1");
            assert_eq!(first.got(), Ok(1));
            // Some thread or other leads by now.
            fake.cut();
            for (got, took) in rest.map(Reading::end) {
                assert_eq!(got, Err(StoreErrorKind::Unavailable));
                assert!(took <= LONG / 2, "{took:?}");
            }
        });
    }
}

/// A store that is dropped closes its connection, though a reply for a task that left is to come.
#[test]
fn a_store_that_is_dropped_closes_its_connection() {
    let fake = Fake::start();
    let store = connected(&fake);
    let context = Context::background();
    let within = Within::new(&context, LONG);
    {
        let mut call = pin!(AsyncStore::<u32>::get_async(&store, "task", &within));
        let _ = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
        assert_eq!(fake.get(), "app:task");
    }
    drop(store);
    fake.wait_for_end();
}

/// Callers of all kinds with times of all lengths, before a server that is slow now and then.
#[test]
fn nobody_has_anothers_reply_or_waits_longer_than_it_may() {
    const CALLERS: u32 = 16;
    let fake = Fake::start();
    let store = connected(&fake);
    let is_over = AtomicBool::new(false);
    let late = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut served = 0_u64;
            while !is_over.load(Ordering::SeqCst) {
                let Some(key) = fake.get_within(Duration::from_millis(10)) else { continue };
                served += 1;
                if served % 37 == 0 {
                    std::thread::sleep(Duration::from_millis(served % 11));
                }
                fake.answer(key.trim_start_matches("app:"));
            }
        });
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let store = &store;
                scope.spawn(move || call_on(store, caller))
            })
            .collect();
        let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        ended.into_iter().map(Result::unwrap).sum::<u32>()
    });
    assert_eq!(fake.accepted(), 1);
    println!("{late} calls were late");
}

/// How many of a caller's calls took much longer than they may; the machine may be to blame.
fn call_on(store: &RedisStore, caller: u32) -> u32 {
    let (begin, mut late) = (Instant::now(), 0);
    for call in 0_u32.. {
        let key = caller * 1_000_000 + call;
        let budget = Duration::from_millis(u64::from((caller * 7 + call) % 23) + 1);
        let start = Instant::now();
        let got = match (caller + call) % 3 {
            0 => get_async(store, &key.to_string(), budget),
            _ => get(store, &key.to_string(), budget),
        };
        let took = start.elapsed();
        assert!(got == Ok(key) || got == Err(StoreErrorKind::Timeout), "{key}: {got:?}");
        assert!(took <= budget + Duration::from_secs(5), "{took:?}");
        late += u32::from(took > budget + SLACK);
        if begin.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    late
}
