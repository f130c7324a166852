//! The cache: a crowd asks about the programs of this machine, and whenever answers get old a slow
//! backend is asked once.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use docache::{Cache, Context};
use sysinfo::{Process, ProcessesToUpdate, System};

use crate::progress;
use crate::table::{VALUE, grouped, row};

const CROWD: usize = 64;
/// About how many programs it asks.
const PROGRAMS: usize = 8;
/// For how long an answer is good enough.
const FRESH: Duration = Duration::from_millis(100);
/// How many times a thread asks about each program before it looks whether the time is over.
const ROUNDS: usize = 128;

/// An answer: how many processes run a program, and the memory that they hold.
#[derive(Clone, Copy, Default)]
struct Program {
    processes: usize,
    memory: u64,
}

/// Looks through all processes for each answer, and gives one at a time.
struct Backend(Mutex<Desk>);

struct Desk {
    system: System,
    calls: u32,
    time: Duration,
}

impl Backend {
    fn new() -> Result<Backend, Box<dyn Error>> {
        Ok(Backend(Mutex::new(Desk { system: System::new()?, calls: 0, time: Duration::ZERO })))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some programs that run.
    fn programs(&self) -> Vec<String> {
        let system = &mut self.desk().system;
        let mut names: Vec<_> = processes(system)
            .map(|process| process.name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.dedup();
        names.truncate(PROGRAMS);
        names
    }

    fn ask(&self, name: &str) -> Program {
        let desk = &mut *self.desk();
        let begin = Instant::now();
        let mut program = Program::default();
        for process in processes(&mut desk.system).filter(|process| process.name() == name) {
            program.processes += 1;
            program.memory += process.memory();
        }
        desk.calls += 1;
        desk.time += begin.elapsed();
        program
    }
}

/// The processes as they are now, without the threads that the system lists among them.
fn processes(system: &mut System) -> impl Iterator<Item = &Process> {
    system.refresh_processes(ProcessesToUpdate::All, true);
    system.processes().values().filter(|process| process.thread_kind().is_none())
}

/// Lets the crowd ask for `time` and prints how many reads were served with how many calls.
pub(crate) fn show(time: Duration) -> Result<(), Box<dyn Error>> {
    let backend = Backend::new()?;
    let programs = backend.programs();
    if programs.is_empty() {
        return Err("the system shows no processes".into());
    }
    let cache = Cache::builder().time_to_live(FRESH).build()?;

    let session = Context::new().with_timeout(time);
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..CROWD {
            scope.spawn(|| ask_until(&session, &programs, &cache, &backend, &reads));
        }
        let what = format!("{CROWD} threads ask about {} programs", programs.len());
        progress::show(&session, time, &what, || {
            let reads = grouped(reads.load(Ordering::Relaxed));
            Some(format!("{reads} reads, {} calls", backend.desk().calls))
        });
    });

    report(reads.into_inner(), time, &programs, &cache, &backend);
    Ok(())
}

/// Asks about one program after the other, as fast as it can, until the session is done, and counts
/// that in `reads`.
fn ask_until(
    session: &Context,
    programs: &[String],
    cache: &Cache<String, Program>,
    backend: &Backend,
    reads: &AtomicU64,
) {
    while !session.is_done() {
        for name in programs.iter().cycle().take(ROUNDS * programs.len()) {
            // One of those who find no answer asks the backend. The others wait for that.
            std::hint::black_box(cache.fetch(name, || backend.ask(name)));
        }
        reads.fetch_add((ROUNDS * programs.len()) as u64, Ordering::Relaxed);
    }
}

fn report(
    reads: u64,
    time: Duration,
    programs: &[String],
    cache: &Cache<String, Program>,
    backend: &Backend,
) {
    let (calls, cost) = {
        let desk = backend.desk();
        (desk.calls, desk.time.as_secs_f64() / f64::from(desk.calls.max(1)))
    };
    let per_second = reads as f64 / time.as_secs_f64();
    let waited = cache.stats().coalesced;
    let days_alone = reads as f64 * cost / 86_400.0;

    println!(
        "\n{CROWD} threads asked about {} programs; an answer was good for {} ms\n",
        programs.len(),
        FRESH.as_millis()
    );
    row("reads served", &grouped(reads), "");
    row("reads per second", &grouped(per_second as u64), "");
    row(
        "backend calls",
        &grouped(calls.into()),
        &format!("{} reads waited for one", grouped(waited)),
    );
    row("one backend call", &format!("{:.1} ms", cost * 1e3), "mean");
    row(
        "without the cache",
        &format!("{} days", grouped(days_alone as u64)),
        "with one call for each read",
    );
    let asked = programs.iter().map(|name| (name, cache.fetch(name, || backend.ask(name))));
    if let Some((name, program)) = asked.max_by_key(|(_, program)| program.memory) {
        let memory = program.memory as f64 / 1_048_576.0;
        row(
            "the greatest of them",
            &name.chars().take(VALUE).collect::<String>(),
            &format!("{memory:.0} MiB, processes: {}", program.processes),
        );
    }
}
