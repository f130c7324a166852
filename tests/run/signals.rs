//! Real signals, sent to child processes: this program, run again with a case to play.

use crate::wait;
use docache::run::{self, Actor, Cause, Group, Scheduler, Signal};
use docache::{ErrorKind, LoopCache, Schedule};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const CASE: &str = "DOCACHE_RUN_CASE";

/// A child that plays a case; dropping it kills it.
struct Case {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Case {
    fn start(case: &str) -> Case {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "signals::a_case", "--nocapture", "--test-threads=1"])
            .env(CASE, case)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Case { child, lines }
    }

    /// Waits until the child says so; the whole line.
    fn hear(&mut self, word: &str) -> String {
        let mut said = self.lines.by_ref().map(Result::unwrap);
        said.find(|line| line.contains(word)).expect("the child has ended")
    }

    fn send(&self, signal: Signal) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: the child is ours, and was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal.number()) }, 0);
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().unwrap();
}

/// Not a test: what the children do.
#[test]
fn a_case() {
    let Ok(case) = std::env::var(CASE) else { return };
    // SAFETY: it ends a child that hangs.
    unsafe { libc::alarm(60) };
    let code = match case.as_str() {
        "orderly" => orderly(),
        "twice" => twice(),
        "afterwards" => afterwards(),
        "before" => before(),
        "forked" => forked(),
        "threads" => threads(),
        "nested" => nested(),
        "stops" => stops(),
        _ => unreachable!("{case}"),
    };
    std::process::exit(code);
}

fn ready() -> Actor {
    Actor::with_context("server", |ctx| {
        say("ready");
        wait(ctx)
    })
}

fn orderly() -> i32 {
    let mut group = Group::new();
    group.add(run::signals(run::DEFAULT_SIGNALS).unwrap());
    group.add(ready());
    let report = group.run().unwrap();
    say(&format!("because {}", report.cause()));
    128 + report.cause().signal().unwrap().number()
}

#[test]
fn a_signal_is_an_orderly_end() {
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")] {
        let mut case = Case::start("orderly");
        case.hear("ready");
        case.send(signal);
        assert_eq!(case.hear("because").trim(), format!("because {name} was received"));
        assert_eq!(case.end().code(), Some(128 + signal.number()));
    }
}

fn twice() -> i32 {
    let (_keep, never) = channel::<()>();
    let mut group = Group::new();
    group.add(run::signals([Signal::INT, Signal::TERM]).unwrap());
    let deaf = Actor::new("deaf", move || {
        say("ready");
        never.recv()
    });
    group.add(deaf.interrupt(|cause| say(&format!("interrupted: {cause}"))));
    let error = group.run().unwrap_err();
    say(&format!("because {error}"));
    assert_eq!(error.cause().signal(), Some(Signal::TERM));
    assert_eq!(error.report().cut_short().and_then(Cause::signal), Some(Signal::INT));
    7
}

#[test]
fn a_second_signal_ends_the_wait_and_says_so() {
    let mut case = Case::start("twice");
    case.hear("ready");
    case.send(Signal::TERM);
    assert_eq!(case.hear("interrupted").trim(), "interrupted: SIGTERM was received");
    case.send(Signal::INT);
    assert_eq!(
        case.hear("because").trim(),
        "because SIGTERM was received; the wait was cut short by a second signal, SIGINT; \
         still running: \"deaf\""
    );
    assert_eq!(case.end().code(), Some(7));
}

fn afterwards() -> i32 {
    // Twice, and with a group that finishes by itself: the signals keep nobody.
    for _ in 0..2 {
        let mut group = Group::new();
        group.add(run::signals(run::DEFAULT_SIGNALS).unwrap());
        group.add(Actor::new("short", || Ok::<(), String>(())));
        assert!(matches!(group.run().unwrap().cause(), Cause::Finished));
    }
    // One that listens no more keeps another one from nothing.
    let listens = run::signals([Signal::INT, Signal::TERM]).unwrap();
    drop(run::signals([Signal::TERM]).unwrap());
    let mut group = Group::new();
    group.add(listens).add(ready());
    assert_eq!(group.run().unwrap().cause().signal(), Some(Signal::TERM));
    say("over");
    std::thread::sleep(Duration::from_secs(60));
    1
}

#[test]
fn after_its_end_a_signal_does_what_it_did_before() {
    let mut case = Case::start("afterwards");
    case.hear("ready");
    case.send(Signal::TERM);
    case.hear("over");
    case.send(Signal::TERM);
    assert_eq!(case.end().signal(), Some(Signal::TERM.number()));
}

fn before() -> i32 {
    let listens = run::signals([Signal::USR1]).unwrap();
    // SAFETY: it sends this process a signal, to which it listens.
    assert_eq!(unsafe { libc::raise(Signal::USR1.number()) }, 0);
    let mut group = Group::new();
    group.add(listens);
    // A group that only listens waits for a signal; this one has been sent.
    let report = group.run().unwrap();
    report.cause().signal().map_or(1, Signal::number)
}

#[test]
fn it_listens_from_the_start() {
    assert_eq!(Case::start("before").end().code(), Some(Signal::USR1.number()));
}

fn forked() -> i32 {
    let listens = run::signals([Signal::TERM]).unwrap();
    let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    // SAFETY: the child does what the crate says that one can do, and is ended by a signal.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut group = Group::new();
        group.add(listens);
        let error = group.run().unwrap_err();
        assert_eq!(error.error().unwrap().kind(), ErrorKind::Closed);
        there.write_all(b"!").unwrap();
        std::thread::sleep(Duration::from_secs(60));
        return 1;
    }
    here.read_exact(&mut [0]).unwrap();
    let mut status = 0;
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::kill(child, libc::SIGTERM) }, 0);
    // SAFETY: the place for the status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    // The parent still listens.
    let mut group = Group::new();
    group.add(listens).add(Actor::new("stops", || Err("so it ends")));
    assert_eq!(group.run().unwrap_err().actor(), Some("stops"));
    i32::from(!libc::WIFSIGNALED(status) || libc::WTERMSIG(status) != libc::SIGTERM)
}

#[test]
fn a_forked_child_does_not_listen_to_its_parents_signals() {
    assert_eq!(Case::start("forked").end().code(), Some(0));
}

/// The signals that a thread blocks: bit 0 is signal 1.
#[cfg(target_os = "linux")]
fn blocked_by_thread() -> Vec<(String, u64)> {
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")));
    let blocked = |status: String| {
        let mask = u64::from_str_radix(&field(&status, "SigBlk:"), 16).unwrap();
        (field(&status, "Name:"), mask)
    };
    status.filter_map(Result::ok).map(blocked).collect()
}

#[cfg(target_os = "linux")]
fn threads() -> i32 {
    let ((tell, told), names) = (channel(), ["actor", "signals", "task", "stops"]);
    let tells = tell.clone();
    let mut group = Group::new();
    group.add(run::signals(run::DEFAULT_SIGNALS).unwrap());
    group.add(Actor::with_context("actor", wait).interrupt(move |_| {
        // From an interrupt's thread.
        tells.send(blocked_by_thread()).unwrap();
    }));
    group.add(Actor::task("task", std::future::pending::<Result<(), String>>()));
    let handle = group.handle();
    group.add(Actor::new("stops", move || {
        while handle.running().len() < 3 {
            std::thread::yield_now();
        }
        let all = loop {
            let threads = blocked_by_thread();
            if names.iter().all(|name| threads.iter().any(|(other, _)| other == name)) {
                break threads;
            }
        };
        handle.stop();
        tell.send(all)
    }));
    group.run().unwrap();
    let threads: Vec<_> = told.iter().flatten().collect();
    let ours: Vec<_> = threads.iter().filter(|(name, _)| names.contains(&name.as_str())).collect();
    assert!(ours.len() >= 5, "the four, and the interrupt: {threads:?}");
    for (name, mask) in ours {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGCHLD] {
            assert!(mask >> (signal - 1) & 1 == 1, "{name} takes signal {signal}");
        }
    }
    let host = threads.iter().any(|(_, mask)| mask >> (libc::SIGTERM - 1) & 1 == 0);
    i32::from(!host)
}

#[cfg(not(target_os = "linux"))]
fn threads() -> i32 {
    0
}

#[test]
fn threads_of_the_library_take_none() {
    assert_eq!(Case::start("threads").end().code(), Some(0));
}

fn nested() -> i32 {
    let mut inner = Group::new();
    inner.add(run::signals(run::DEFAULT_SIGNALS).unwrap());
    inner.add(ready());
    let mut outer = Group::new();
    outer.add(Actor::group("inner", inner));
    outer.add(Actor::with_context("sibling", wait));
    outer.run().unwrap().cause().signal().map_or(1, Signal::number)
}

#[test]
fn in_an_inner_group_it_stops_the_outer_one() {
    let mut case = Case::start("nested");
    case.hear("ready");
    case.send(Signal::INT);
    assert_eq!(case.end().code(), Some(Signal::INT.number()));
}

#[test]
fn what_cannot_be_listened_to_is_refused() {
    for (number, name) in [(libc::SIGKILL, "signal 9"), (0, "signal 0"), (-1, "signal -1")] {
        let error = run::signals([Signal::TERM, Signal::from_number(number)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with(&format!("signals: {name} is not")), "{error}");
    }
    let error = run::signals([]).unwrap_err();
    assert!(error.to_string().starts_with("signals: an empty list"), "{error}");
    assert!(run::signals([Signal::from_number(65)]).is_err());
}

/// Counts the calls of loops around a time in which the process stands still.
fn stops() -> i32 {
    const INTERVAL: Duration = Duration::from_millis(200);
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let calls: Arc<[AtomicU64]> = (0..50).map(|_| AtomicU64::new(0)).collect();
    let caches: Vec<_> = (0..calls.len())
        .map(|i| {
            let calls = calls.clone();
            let doer = move || Ok::<_, Infallible>(calls[i].fetch_add(1, Ordering::Relaxed));
            let cache = LoopCache::builder(doer).interval(INTERVAL);
            let cache = cache.schedule(Schedule::FixedRate).scheduler(&scheduler).build().unwrap();
            assert!(cache.start().unwrap());
            cache
        })
        .collect();
    let counts = || calls.iter().map(|calls| calls.load(Ordering::Relaxed)).collect::<Vec<_>>();
    say("ready");
    let (mut before, mut looked) = (counts(), Instant::now());
    while looked.elapsed() < Duration::from_secs(1) {
        (before, looked) = (counts(), Instant::now());
        std::thread::sleep(Duration::from_millis(1));
    }
    let resumed = Instant::now();
    std::thread::sleep(INTERVAL / 2);
    let after = counts();
    // One that makes up for all that were missed, one whose time comes just then, and those that
    // this thread was too late for.
    let fair = 2 + resumed.elapsed().as_nanos() / INTERVAL.as_nanos();
    for ((before, after), cache) in before.iter().zip(&after).zip(&caches) {
        assert!(after > before && u128::from(after - before) <= fair, "{before} {after}");
        assert!(cache.stats().skipped_ticks >= 3, "{:?}", cache.stats());
    }
    say("fine");
    7
}

#[test]
fn a_process_that_was_stopped_makes_up_for_one_call_of_each_loop() {
    let mut case = Case::start("stops");
    case.hear("ready");
    std::thread::sleep(Duration::from_millis(300));
    case.send(Signal::from_number(libc::SIGSTOP));
    std::thread::sleep(Duration::from_secs(2));
    case.send(Signal::from_number(libc::SIGCONT));
    case.hear("fine");
    assert_eq!(case.end().code(), Some(7));
}
