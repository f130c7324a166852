//! Timing shared by all families: calibrated samples, interleaved rounds, medians.

use std::fmt;
use std::io::Write;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::allocations;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How often each subject is measured; the median counts.
    pub(crate) rounds: usize,
    /// How long one case may take, on so many threads, before fewer rounds and disturbed samples
    /// must do.
    pub(crate) patience: Duration,
    /// How long one measurement of one subject should take: less than a scheduler's slice, see
    /// [`Sample`].
    pub(crate) sample: Duration,
    /// How often the benchmarks of another program are run, each [`PROGRAM_SAMPLES`] times in a
    /// row.
    pub(crate) program_rounds: usize,
    /// How often those of another program are run that take long, once in a row.
    pub(crate) slow_program_rounds: usize,
    /// How often each subject wakes a crowd of threads; one time is one measurement.
    pub(crate) crowd_rounds: usize,
    /// How many hashers, each with a seed of its own, a ratio is the mean of.
    pub(crate) seeds: u64,
    /// How many entries of a store are weighed.
    pub(crate) weighed: u64,
    /// For how long several processes fetch one value.
    pub(crate) refreshes: Duration,
}

impl Plan {
    /// Enough to see the order of things.
    pub(crate) fn quick() -> Self {
        Plan {
            rounds: 11,
            patience: Duration::from_millis(300),
            sample: Duration::from_millis(2),
            program_rounds: 5,
            slow_program_rounds: 1,
            crowd_rounds: 5,
            seeds: 3,
            weighed: 125_000,
            refreshes: Duration::from_secs(3),
        }
    }

    /// Enough to quote.
    pub(crate) fn thorough() -> Self {
        Plan {
            rounds: 101,
            patience: Duration::from_secs(60),
            program_rounds: 25,
            slow_program_rounds: 5,
            crowd_rounds: 25,
            seeds: 9,
            weighed: 1_000_000,
            refreshes: Duration::from_secs(10),
            ..Plan::quick()
        }
    }

    /// The same for so many threads and such subjects: fewer rounds where each takes longer.
    ///
    /// More threads than the machine has processors take turns, which is what they are measured
    /// for: a sample then lasts for several turns.
    fn on(self, threads: usize, subjects: &[Subject<'_>]) -> Self {
        if !fit(threads) {
            Plan { rounds: (self.rounds / 3).max(ENOUGH), sample: self.sample * 4, ..self }
        } else if subjects.iter().any(|subject| subject.warm_up > 1) {
            Plan { rounds: (self.rounds / 2).max(ENOUGH), ..self }
        } else {
            self
        }
    }
}

/// Whether each of so many threads can have a processor of its own.
fn fit(threads: usize) -> bool {
    thread::available_parallelism().is_ok_and(|processors| threads <= processors.get())
}

/// Samples that another program takes of each benchmark per round: it cannot tell and repeat a
/// disturbed one, so that the median needs more of them.
pub(crate) const PROGRAM_SAMPLES: usize = 3;

/// Runs, once, what it is handed, and notes what that took.
type Gauge<'g> = dyn FnMut(&mut dyn FnMut()) + 'g;

/// Prepares so many iterations and lets the gauge run them.
type Run<'a> = dyn Fn(u64, &mut Gauge<'_>) + Sync + 'a;

/// One contestant of a case.
///
/// The work is handed a number of iterations and does that many of its operations. It holds the
/// loop itself, so that what is timed is the operation and not a call through a pointer for each of
/// them. What a thread needs of its own for that is prepared before the clock runs and dropped
/// after.
pub(crate) struct Subject<'a> {
    name: &'static str,
    run: Box<Run<'a>>,
    /// How much of its work it does before the clock runs, in eighths of a sample.
    warm_up: u64,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Subject<'a> {
    /// A contestant named `name` whose `work(n)` does its operation `n` times, and nothing else.
    pub(crate) fn new(name: &'static str, work: impl Fn(u64) + Sync + 'a) -> Self {
        Subject::prepared(name, |_| (), move |(), n| work(n))
    }

    /// The same, where `prepare(n)` makes what a thread needs for `n` operations.
    pub(crate) fn prepared<S>(
        name: &'static str,
        prepare: impl Fn(u64) -> S + Sync + 'a,
        work: impl Fn(&mut S, u64) + Sync + 'a,
    ) -> Self {
        let run = move |n, gauge: &mut Gauge<'_>| {
            let mut state = prepare(n);
            gauge(&mut || work(&mut state, n));
        };
        Subject { name, run: Box::new(run), warm_up: 1 }
    }

    /// Warms up for as long as two samples: for work that goes over so much memory that the other
    /// subjects' turns drive it out of the processor's caches.
    pub(crate) fn large(self) -> Self {
        Subject { warm_up: 16, ..self }
    }

    /// Does `iterations` that nothing is noted of.
    fn warm_up(&self, iterations: u64) {
        (self.run)(iterations, &mut |work| work());
    }
}

/// One line of the output.
#[derive(Clone, Debug)]
struct Measured {
    case: String,
    threads: usize,
    subject: String,
    value: f64,
}

/// Measures the cases of one family, prints their lines and keeps them for the verdict.
#[derive(Debug)]
pub(crate) struct Bench {
    family: String,
    plan: Plan,
    only: Option<String>,
    measured: Vec<Measured>,
}

impl Bench {
    /// A bench for `family`; with `only`, cases of any other name are skipped.
    pub(crate) fn new(family: String, plan: Plan, only: Option<String>) -> Self {
        Bench { family, plan, only, measured: Vec::new() }
    }

    /// The name of the family.
    pub(crate) fn family(&self) -> &str {
        &self.family
    }

    /// How much is to be measured.
    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    /// Whether `case` is to be measured; ask before an expensive set-up.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == case)
    }

    /// Whether any case whose name begins so might have to be measured.
    pub(crate) fn wants_any(&self, prefix: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.starts_with(prefix))
    }

    /// Measures all `subjects` on `threads` threads, in rounds in which each has its turn. Where
    /// there are more threads than processors, the time of an operation includes its share of the
    /// wait for one.
    pub(crate) fn case(&mut self, case: &str, threads: usize, subjects: &[Subject<'_>]) {
        if !self.wants(case) {
            return;
        }
        let plan = self.plan.on(threads, subjects);
        eprintln!("{} {case}, {threads} thread(s), {} rounds", self.family, plan.rounds);
        let patience = Instant::now() + plan.patience;
        let iterations: Vec<u64> = subjects
            .iter()
            .map(|subject| {
                calibrate(plan.sample, |iterations| quickest(threads, iterations, subject))
            })
            .collect();
        let mut samples = vec![Vec::with_capacity(plan.rounds); subjects.len()];
        for round in 0..plan.rounds {
            if round >= ENOUGH && Instant::now() >= patience {
                break;
            }
            for (index, subject) in subjects.iter().enumerate() {
                samples[index].push(undisturbed(threads, iterations[index], subject, patience));
            }
        }
        for ((subject, samples), iterations) in subjects.iter().zip(samples).zip(iterations) {
            let times = countable(subject.name, &samples);
            let of_one = |time: Duration| time.as_secs_f64() * 1e9 / iterations as f64;
            self.record(case, threads, subject.name, median(times.map(of_one).collect()));
        }
    }

    /// Counts the allocations of all `subjects` on this thread, per operation, once each has warmed
    /// up; `kind` is made part of their names.
    pub(crate) fn allocations(&mut self, case: &str, kind: &str, subjects: &[Subject<'_>]) {
        const OPERATIONS: u64 = 1 << 16;
        for subject in subjects {
            subject.warm_up(OPERATIONS);
            let mut count = 0;
            (subject.run)(OPERATIONS, &mut |work| {
                let before = allocations::on_this_thread();
                work();
                count = allocations::on_this_thread() - before;
            });
            let name = format!("{}_{kind}", subject.name);
            self.record_in(case, 1, &name, count as f64 / OPERATIONS as f64, "allocs");
        }
    }

    /// Prints one line, in nanoseconds per operation per thread, and keeps it.
    pub(crate) fn record(&mut self, case: &str, threads: usize, subject: &str, value: f64) {
        self.record_in(case, threads, subject, value, "ns");
    }

    /// Prints one line, in `unit` per operation, and keeps it.
    pub(crate) fn record_in(
        &mut self,
        case: &str,
        threads: usize,
        subject: &str,
        value: f64,
        unit: &str,
    ) {
        let mut stdout = std::io::stdout().lock();
        let line = format!("{}\t{case}\t{threads}\t{subject}\t{value:.3}\t{unit}", self.family);
        // A reader that closed the pipe wants no more lines; the verdict on stderr is still worth
        // the run.
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        self.measured.push(Measured {
            case: case.to_owned(),
            threads,
            subject: subject.to_owned(),
            value,
        });
    }

    /// What this run measured for a subject, if it did.
    pub(crate) fn value(&self, case: &str, threads: usize, subject: &str) -> Option<f64> {
        self.measured
            .iter()
            .find(|m| m.case == case && m.threads == threads && m.subject == subject)
            .map(|m| m.value)
    }
}

/// The middle of the samples; NaN if there is none.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => samples[middle],
        _ => f64::midpoint(samples[middle - 1], samples[middle]),
    }
}

/// The fewest iterations of a sample: with fewer, the warm-up of an eighth would be none.
pub(crate) const LEAST: u64 = 8;
/// The most: work that takes no longer when there is more of it would be tried for ever.
const MOST: u64 = 1 << 32;

/// How many iterations make one sample of about the wanted length, given how long so many take.
///
/// What does not grow with the iterations is no work: something paid once, or another program. So
/// the time has to be seen growing, and only what it grows by counts.
fn calibrate(length: Duration, mut time_of: impl FnMut(u64) -> Duration) -> u64 {
    let mut iterations = LEAST;
    let mut time = time_of(iterations);
    while iterations < MOST {
        let factor = if time < length / 32 { 8 } else { 2 };
        let (more, longer) = (iterations * factor, time_of(iterations * factor));
        if time >= length / 4 && longer >= time.mul_f64(1.5) {
            let of_one = (longer - time).as_secs_f64() / (more - iterations) as f64;
            return ((length.as_secs_f64() / of_one) as u64).max(LEAST);
        }
        (iterations, time) = (more, longer);
    }
    iterations
}

/// The shortest time of a few samples, the last of which are warm: a disturbance only makes one
/// longer.
fn quickest(threads: usize, iterations: u64, subject: &Subject<'_>) -> Duration {
    (0..3)
        .map(|_| Sample::take(threads, iterations, iterations / 8, subject).time)
        .min()
        .unwrap_or_default()
}

/// How often a disturbed sample is taken again before it counts as it is.
const REPEATS: usize = 8;

/// A sample that nothing else on the machine disturbed, if a few attempts before the end of
/// `patience` give one.
fn undisturbed(
    threads: usize,
    iterations: u64,
    subject: &Subject<'_>,
    patience: Instant,
) -> Sample {
    let warm_up = iterations * subject.warm_up / 8;
    let mut sample = Sample::take(threads, iterations, warm_up, subject);
    for _ in 0..REPEATS {
        if !sample.disturbed || Instant::now() >= patience {
            break;
        }
        sample = Sample::take(threads, iterations, warm_up, subject);
    }
    sample
}

/// How many undisturbed samples make the others needless.
const ENOUGH: usize = 5;

/// The times that count: those of undisturbed samples, if there are enough. Else it says so and all
/// count; such a figure may be too high, and on several threads too low, since threads that run one
/// after the other do not meet.
fn countable<'s>(subject: &str, samples: &'s [Sample]) -> impl Iterator<Item = Duration> + use<'s> {
    let undisturbed = samples.iter().filter(|sample| !sample.disturbed).count();
    let all = undisturbed < ENOUGH.min(samples.len());
    if all {
        eprintln!("{subject}: only {undisturbed} of {} samples were undisturbed", samples.len());
    }
    samples.iter().filter(move |sample| all || !sample.disturbed).map(|sample| sample.time)
}

/// One measurement of one subject.
#[derive(Clone, Copy, Debug)]
struct Sample {
    time: Duration,
    /// Another program took a thread's processor away, or the threads ran one after the other
    /// rather than at the same time. Blocking, which is the subject's own doing, is no disturbance,
    /// and turns of more threads than there are processors are none.
    disturbed: bool,
}

/// What one thread noted of its part in a sample.
#[derive(Clone, Copy, Debug)]
struct Part {
    begin: Instant,
    end: Instant,
    preempted: bool,
}

impl Sample {
    /// Does `iterations` on each of `threads` threads, which begin together once each has done
    /// `warm_up` more.
    fn take(threads: usize, iterations: u64, warm_up: u64, subject: &Subject<'_>) -> Sample {
        let barrier = Barrier::new(threads);
        let parts: Vec<Part> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| Part::take(&barrier, iterations, warm_up, subject)))
                .collect();
            let join = |worker: thread::ScopedJoinHandle<'_, Part>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().map(join).collect()
        });
        let time = time_of(&parts);
        let last_begin = parts.iter().map(|part| part.begin).max();
        let first_end = parts.iter().map(|part| part.end).min();
        let together =
            last_begin.zip(first_end).map(|(begin, end)| end.saturating_duration_since(begin));
        let apart = together.is_some_and(|together| together < time.mul_f64(0.8));
        let preempted = parts.iter().any(|part| part.preempted);
        Sample { time, disturbed: fit(threads) && (apart || preempted) }
    }
}

/// What a sample took: the mean of the threads' times. Threads that share processors are timed as a
/// whole: the mean would be the smaller, the more of them run one after the other.
fn time_of(parts: &[Part]) -> Duration {
    if fit(parts.len()) {
        return parts.iter().map(|part| part.end - part.begin).sum::<Duration>()
            / parts.len() as u32;
    }
    let first_begin = parts.iter().map(|part| part.begin).min();
    let last_end = parts.iter().map(|part| part.end).max();
    first_begin.zip(last_end).map_or(Duration::ZERO, |(begin, end)| end - begin)
}

impl Part {
    fn take(barrier: &Barrier, iterations: u64, warm_up: u64, subject: &Subject<'_>) -> Part {
        // What a thread pays once: its own state in allocators and libraries, and a warm cache.
        subject.warm_up(warm_up);
        let mut part = None;
        (subject.run)(iterations, &mut |work| {
            let before = preemptions();
            barrier.wait();
            let begin = Instant::now();
            work();
            let end = Instant::now();
            part = Some(Part { begin, end, preempted: preemptions() != before });
        });
        part.expect("a subject runs its work")
    }
}

/// How often the calling thread lost its processor without asking for it, where the system tells.
fn preemptions() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn disturbed_samples_count_only_if_there_are_too_few_others() {
        let sample = |millis, disturbed| Sample { time: Duration::from_millis(millis), disturbed };
        let millis = |samples: &[Sample]| -> Vec<_> {
            countable("subject", samples).map(|time| time.as_millis()).collect()
        };
        let mut samples: Vec<_> = (1..=4).map(|millis| sample(millis, false)).collect();
        samples.push(sample(9, true));
        assert_eq!(millis(&samples), [1, 2, 3, 4, 9]);
        samples.push(sample(5, false));
        assert_eq!(millis(&samples), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn threads_that_share_processors_are_timed_as_a_whole() {
        let start = Instant::now();
        let part = |from, to| {
            let at = |millis| start + Duration::from_millis(millis);
            Part { begin: at(from), end: at(to), preempted: false }
        };
        assert_eq!(time_of(&[part(0, 4)]), Duration::from_millis(4));
        let many = thread::available_parallelism().unwrap().get() + 1;
        let parts: Vec<_> = (0..many as u64).map(|turn| part(turn, turn + 4)).collect();
        assert_eq!(time_of(&parts), Duration::from_millis(many as u64 + 3));
    }

    #[test]
    fn a_sample_does_its_iterations_on_each_thread() {
        let done = std::sync::atomic::AtomicU64::new(0);
        let subject = Subject::new("counts", |n| {
            done.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        });
        Sample::take(2, 80, 10, &subject);
        assert_eq!(
            done.load(std::sync::atomic::Ordering::Relaxed),
            2 * (80 + 10),
            "with the warm-up"
        );
    }

    #[test]
    fn what_is_prepared_and_dropped_is_not_timed() {
        const SETUP: Duration = Duration::from_millis(20);
        struct Slow;
        impl Drop for Slow {
            fn drop(&mut self) {
                thread::sleep(SETUP);
            }
        }
        let prepare = |_| {
            thread::sleep(SETUP);
            Slow
        };
        let subject = Subject::prepared("slow", prepare, |Slow, _| ());
        assert!(quickest(1, LEAST, &subject) < SETUP);
    }

    #[test]
    fn calibration_sees_through_what_is_paid_once() {
        const LENGTH: Duration = Duration::from_millis(2);
        let linear = |setup_us: u64, of_one_ns: u64| {
            move |n| Duration::from_micros(setup_us) + Duration::from_nanos(n * of_one_ns)
        };
        assert_eq!(calibrate(LENGTH, linear(0, 20)), 100_000);
        assert_eq!(calibrate(LENGTH, linear(51, 20)), 100_000);
        assert_eq!(calibrate(LENGTH, linear(50_000, 20)), 100_000);
        assert_eq!(
            calibrate(LENGTH, linear(0, 10_000_000)),
            LEAST,
            "one takes longer than a sample should"
        );
    }

    #[test]
    fn calibration_does_not_end_at_a_disturbance_or_run_for_ever() {
        const LENGTH: Duration = Duration::from_millis(2);
        let mut first = Duration::from_millis(30);
        let disturbed = |n| std::mem::take(&mut first) + Duration::from_nanos(20 * n);
        assert_eq!(calibrate(LENGTH, disturbed), 100_000);
        assert!(calibrate(LENGTH, |_| Duration::from_millis(1)) >= MOST);
    }
}
