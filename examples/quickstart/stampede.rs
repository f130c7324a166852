//! Singleflight: a crowd wants the same slow result at the same moment, again and again.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use docache::{FlightError, Group};
use sysinfo::{ProcessesToUpdate, System};

use crate::table::{grouped, row};

const CROWD: usize = 64;

/// What is asked for: how many processes there are, and the memory that they hold.
#[derive(Clone, Copy)]
struct Processes {
    count: usize,
    memory: u64,
}

/// What one thread of the crowd saw.
#[derive(Default)]
struct Seen {
    calls: u64,
    /// Those whose own closure ran.
    runs: u64,
    time_in_runs: Duration,
    slowest: Duration,
    last: Option<Processes>,
}

impl Seen {
    fn and(mut self, other: Seen) -> Seen {
        self.calls += other.calls;
        self.runs += other.runs;
        self.time_in_runs += other.time_in_runs;
        self.slowest = self.slowest.max(other.slowest);
        self.last = self.last.or(other.last);
        self
    }
}

/// Lets the crowd ask for `time` and prints how often it asked and how often the work was done.
pub(crate) fn show(time: Duration) -> Result<(), Box<dyn Error>> {
    let system = Mutex::new(System::new()?);
    // Never contended: runs of a group do not overlap.
    let ask = || {
        let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_processes(ProcessesToUpdate::All, true);
        let memory = system.processes().values().map(|process| process.memory()).sum();
        match system.processes().len() {
            0 => Err("the system shows no processes"),
            count => Ok(Processes { count, memory }),
        }
    };
    eprintln!("{CROWD} threads ask for the list of processes for {} s ...", time.as_secs());
    let (group, end) = (Group::new(), Instant::now() + time);
    let (gate, over) = (Barrier::new(CROWD), AtomicBool::new(false));
    let crowd = || attend(&group, &gate, &over, end, &ask);
    let seen = thread::scope(|scope| {
        let threads: Vec<_> = (0..CROWD).map(|_| scope.spawn(crowd)).collect();
        let mut all = Seen::default();
        for thread in threads {
            all = all.and(thread.join().expect("a caller does not panic")?);
        }
        Ok::<_, FlightError<&str>>(all)
    });
    report(&seen.map_err(|error| error.to_string())?);
    Ok(())
}

/// One thread of the crowd: asks whenever all are at the gate.
fn attend(
    group: &Group<Processes, &'static str>,
    gate: &Barrier,
    over: &AtomicBool,
    end: Instant,
    ask: &(impl Fn() -> Result<Processes, &'static str> + Sync),
) -> Result<Seen, FlightError<&'static str>> {
    let (mut seen, mut failed) = (Seen::default(), None);
    loop {
        if gate.wait().is_leader() {
            over.store(Instant::now() >= end, Ordering::Relaxed);
        }
        gate.wait();
        if over.load(Ordering::Relaxed) {
            return failed.map_or(Ok(seen), Err);
        }
        let begin = Instant::now();
        let answer = group.try_run(|| {
            let begin = Instant::now();
            let answer = ask();
            seen.time_in_runs += begin.elapsed();
            answer
        });
        seen.calls += 1;
        seen.slowest = seen.slowest.max(begin.elapsed());
        match answer {
            Ok(answer) => {
                seen.runs += u64::from(answer.led());
                seen.last = Some(*answer);
            }
            // Stays until the end all the same, so that nobody waits for it at the gate.
            Err(error) => failed = Some(error),
        }
    }
}

fn report(seen: &Seen) {
    let run = seen.time_in_runs.as_secs_f64() / seen.runs.max(1) as f64;
    let shared = seen.calls as f64 / seen.runs.max(1) as f64;
    println!("\n{CROWD} threads asked for the list of processes, all at once, again and again\n");
    row("calls asked", &grouped(seen.calls), "");
    row("runs made", &grouped(seen.runs), &format!("{shared:.1} calls shared one"));
    row("one run", &format!("{:.1} ms", run * 1e3), "mean");
    row("slowest call", &format!("{:.1} ms", seen.slowest.as_secs_f64() * 1e3), "");
    row("without sharing", &format!("{:.1} s", run * seen.calls as f64), "of the system's time");
    if let Some(last) = seen.last {
        let memory = last.memory as f64 / 1_048_576.0;
        row("the last answer", &format!("{} processes", last.count), &format!("{memory:.0} MiB"));
    }
}
