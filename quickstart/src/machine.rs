//! The loop cache: one Doer asks the system, four threads read what it last heard as fast as they
//! can. They run as a group, and stop together.

use std::error::Error;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use docache::run::{Actor, Cause, Group};
use docache::{Context, LoopCache, LoopEntry, Schedule, Snapshot};
use sysinfo::{ProcessesToUpdate, System};

use crate::progress;
use crate::table::{grouped, row};

const INTERVAL: Duration = Duration::from_millis(100);
const READERS: usize = 4;
/// How long they may take to stop.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many readings the cache keeps.
const HISTORY: usize = 100;
/// Of so many reads, one looks at the clock to see how old its data is.
const AGE_EVERY: u64 = 1024;
const MIB: f64 = 1_048_576.0;

/// What is cached: one reading of the machine.
struct Machine {
    cpu_percent: f32,
    memory_used: u64,
    memory_total: u64,
    processes: usize,
}

/// Reads for `time`, or until Ctrl-C is pressed, and prints what was served and what was asked.
pub(crate) fn show(time: Duration) -> Result<(), Box<dyn Error>> {
    let machine = Arc::new(watch_machine()?);
    let (tell, told) = mpsc::channel();
    let mut group = Group::new().context(&Context::new().with_timeout(time)).deadline(PATIENCE);
    #[cfg(unix)]
    group.add(docache::run::signals(docache::run::DEFAULT_SIGNALS)?);

    let asked = machine.clone();
    group.add(Actor::with_context("machine", move |stop| match asked.run(stop) {
        Err(error) if !stop.is_done() => Err(error),
        _ => Ok(()),
    }));
    for _ in 0..READERS {
        let (machine, tell) = (machine.clone(), tell.clone());
        group.add(Actor::with_context("reader", move |stop| {
            tell.send(read(stop, &machine)).map_err(|_| "nobody asks what was seen")
        }));
    }
    let shown = machine.clone();
    group.add(Actor::with_context("progress", move |stop| {
        progress::show(stop, time, &format!("{READERS} threads read"), || {
            let now = shown.latest()?;
            Some(format!("CPU {:.0} %, {} processes", now.cpu_percent, now.processes))
        });
        Ok::<(), docache::Error>(())
    }));

    let begin = Instant::now();
    let end = group.run()?;
    let took = begin.elapsed();
    drop(tell);
    let why = match end.cause() {
        Cause::Context(_) => "the time is over".to_owned(),
        cause => cause.to_string(),
    };
    println!("\nAll have stopped: {why}.");
    report(&told.iter().fold(Seen::default(), Seen::and), took, &machine);
    Ok(())
}

/// A loop cache whose Doer asks the system; nothing runs before `start`.
fn watch_machine() -> Result<LoopCache<Machine>, Box<dyn Error>> {
    let mut system = System::new()?;
    let ask = move || {
        system.refresh_cpu_usage();
        system.refresh_memory();
        system.refresh_processes(ProcessesToUpdate::All, true);
        let machine = Machine {
            cpu_percent: system.global_cpu_usage(),
            memory_used: system.used_memory(),
            memory_total: system.total_memory(),
            // The system lists threads among them.
            processes: system
                .processes()
                .values()
                .filter(|process| process.thread_kind().is_none())
                .count(),
        };
        // A Doer that fails is recorded, its readers keep the last success, and the loop goes on.
        if machine.memory_total == 0 {
            Err("the system tells nothing about its memory")
        } else {
            Ok(machine)
        }
    };
    let cache = LoopCache::builder(ask)
        .name("machine")
        .interval(INTERVAL)
        .schedule(Schedule::FixedRate)
        .capacity(HISTORY)
        .build()?;
    Ok(cache)
}

/// What readers saw: how many reads, the most processes in one of them, and how old the data was.
#[derive(Default)]
struct Seen {
    reads: u64,
    most_processes: usize,
    ages: Ages,
}

impl Seen {
    fn and(mut self, other: Seen) -> Seen {
        self.reads += other.reads;
        self.most_processes = self.most_processes.max(other.most_processes);
        self.ages.add(&other.ages);
        self
    }
}

/// Reads as fast as it can until it is to stop.
fn read(stop: &Context, machine: &LoopCache<Machine>) -> Seen {
    let mut seen = Seen::default();
    // Each thread has a reader of its own: while nothing new was published, a read is one atomic
    // load.
    let mut reader = machine.reader();
    while !stop.is_done() {
        for _ in 0..AGE_EVERY {
            if let Some(machine) = reader.value() {
                seen.most_processes = seen.most_processes.max(machine.processes);
                seen.reads += 1;
            }
        }
        let now = reader.now();
        if let Some(entry) = reader.latest() {
            seen.ages.record(entry.age_at(now));
        }
    }
    seen
}

/// How often each age was seen, in milliseconds; the last bucket also takes all that is older.
struct Ages([u64; 1000]);

impl Default for Ages {
    fn default() -> Self {
        Ages([0; 1000])
    }
}

impl Ages {
    fn record(&mut self, age: Duration) {
        let bucket = (age.as_millis() as usize).min(self.0.len() - 1);
        self.0[bucket] += 1;
    }

    fn add(&mut self, other: &Ages) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, more)| *count += more);
    }

    /// The age, in milliseconds, that `part` of the reads did not exceed.
    fn percentile(&self, part: f64) -> usize {
        let rank = (self.0.iter().sum::<u64>() as f64 * part).ceil() as u64;
        let mut counted = 0;
        let reached = self.0.iter().position(|count| {
            counted += count;
            counted >= rank
        });
        reached.map_or(self.0.len(), |bucket| bucket + 1)
    }
}

/// The table at the end.
fn report(seen: &Seen, time: Duration, machine: &LoopCache<Machine>) {
    let stats = machine.stats();
    let snapshot = machine.snapshot();
    let due = time.as_millis() / INTERVAL.as_millis();
    let cost = mean_duration(&snapshot).as_secs_f64();
    let per_second = seen.reads as f64 / time.as_secs_f64();
    let days_alone = seen.reads as f64 * cost / 86_400.0;

    println!(
        "\n{READERS} threads read, one Doer asked the system every {} ms\n",
        INTERVAL.as_millis()
    );
    row("reads served", &grouped(seen.reads), "");
    row("reads per second", &grouped(per_second as u64), "");
    row("Doer calls", &grouped(stats.calls), &format!("{due} due, {} failed", stats.failures));
    row(
        "one Doer call",
        &format!("{:.1} ms", cost * 1e3),
        &format!("mean of the last {}", snapshot.len()),
    );
    row(
        "without the cache",
        &format!("{} days", grouped(days_alone as u64)),
        "with one call for each read",
    );
    row("age seen, p50", &format!("≤ {} ms", seen.ages.percentile(0.50)), "");
    row("age seen, p99", &format!("≤ {} ms", seen.ages.percentile(0.99)), "");
    row("most processes seen", &seen.most_processes.to_string(), "");

    println!("\nThe last readings:\n");
    chart("CPU", "%", Some((0.0, 100.0)), &snapshot, |machine| f64::from(machine.cpu_percent));
    chart("memory used", "MiB", None, &snapshot, |machine| machine.memory_used as f64 / MIB);
    chart("processes", "", None, &snapshot, |machine| machine.processes as f64);
}

/// How long the Doer took, on average over the snapshot.
fn mean_duration(snapshot: &Snapshot<Machine>) -> Duration {
    let total: Duration = snapshot.iter().map(LoopEntry::duration).sum();
    total / (snapshot.len().max(1) as u32)
}

/// One figure over the last readings as a line of blocks: on the given scale, or from its lowest to
/// its highest.
fn chart(
    name: &str,
    unit: &str,
    scale: Option<(f64, f64)>,
    snapshot: &Snapshot<Machine>,
    figure: impl Fn(&Machine) -> f64,
) {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 40;
    let figures: Vec<f64> = snapshot.iter().filter_map(LoopEntry::value).map(figure).collect();
    let last = &figures[figures.len().saturating_sub(WIDTH)..];
    let low = last.iter().copied().fold(f64::INFINITY, f64::min);
    let high = last.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (bottom, top) = scale.unwrap_or((low, high));
    let block = |&figure: &f64| {
        let height = (figure - bottom) / (top - bottom).max(f64::MIN_POSITIVE);
        BLOCKS[(height * 7.0).round().clamp(0.0, 7.0) as usize]
    };
    let line: String = last.iter().map(block).collect();
    println!("{}", format!("  {name:<12} {line}  {low:.0} to {high:.0} {unit}").trim_end());
}
