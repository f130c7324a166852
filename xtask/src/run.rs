//! Runs named steps in order and prints what each did and how long it took.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::tool::Missing;

/// One named piece of `test` or `verify`. It returns a note for the table at the end, which may be
/// empty.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn() -> Result<String>,
}

/// Names of steps that follow one another and may run at the same time: they keep one processor
/// busy for most of their time, measure no time, and build in folders of their own.
pub(crate) type Together = &'static [&'static str];

/// Which steps to run and how.
#[derive(Args)]
pub(crate) struct Selection {
    /// Steps to run, in the order of --list [default: all]
    steps: Vec<String>,
    /// List the steps and do nothing
    #[arg(long)]
    list: bool,
    /// Go on after a step that failed
    #[arg(long)]
    keep_going: bool,
}

enum Outcome {
    Passed(String),
    Skipped(String),
    Failed(String),
    NotRun,
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    time: Duration,
}

/// Runs the selected steps; an error says how many of them failed. `strict` makes a missing tool a
/// failure.
pub(crate) fn run(
    strict: bool,
    all: &[Step],
    together: &[Together],
    selection: &Selection,
) -> Result<()> {
    let steps = select(all, &selection.steps)?;
    if selection.list {
        let width = all.iter().map(|step| step.name.len()).max().unwrap_or(0);
        for step in steps {
            println!("{:width$}  {}", step.name, step.about);
        }
        return Ok(());
    }
    let begun = Instant::now();
    let mut rows: Vec<Row> = Vec::new();
    let mut stopped = false;
    let are_together = |one: &&Step, next: &&Step| {
        together.iter().any(|names| names.contains(&one.name) && names.contains(&next.name))
    };
    for steps in steps.chunk_by(are_together) {
        if stopped {
            let not_run = |step: &&Step| Row {
                name: step.name,
                outcome: Outcome::NotRun,
                time: Duration::ZERO,
            };
            rows.extend(steps.iter().map(not_run));
            continue;
        }
        let done = run_all(strict, steps);
        let has_failed = done.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
        stopped |= has_failed && !selection.keep_going;
        rows.extend(done);
    }
    summarize(&rows, begun.elapsed())
}

/// Runs steps at the same time.
fn run_all(strict: bool, steps: &[&Step]) -> Vec<Row> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            steps.iter().map(|step| scope.spawn(move || run_step(strict, step))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a step panicked")).collect()
    })
}

fn select<'a>(all: &'a [Step], names: &[String]) -> Result<Vec<&'a Step>> {
    for name in names {
        if !all.iter().any(|step| step.name == name) {
            let known: Vec<_> = all.iter().map(|step| step.name).collect();
            bail!("there is no step `{name}`; the steps are {}", known.join(", "));
        }
    }
    Ok(all
        .iter()
        .filter(|step| names.is_empty() || names.iter().any(|name| name == step.name))
        .collect())
}

fn run_step(strict: bool, step: &Step) -> Row {
    println!("\n== {}: {}", step.name, step.about);
    let start = Instant::now();
    let result = (step.run)();
    let time = start.elapsed();
    let outcome = match result {
        Ok(note) => Outcome::Passed(note),
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(missing) if !strict => Outcome::Skipped(missing.to_string()),
            _ => Outcome::Failed(format!("{error:#}")),
        },
    };
    match &outcome {
        Outcome::Failed(why) => {
            println!("== {}: FAILED in {:.1} s: {why}", step.name, time.as_secs_f64())
        }
        done => println!("== {}: {done} in {:.1} s", step.name, time.as_secs_f64()),
    }
    Row { name: step.name, outcome, time }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed(_) => "passed",
            Self::Skipped(_) => "SKIPPED",
            Self::Failed(_) => "FAILED",
            Self::NotRun => "not run",
        })
    }
}

impl Outcome {
    /// The first line of what there is to say about it.
    fn note(&self) -> &str {
        match self {
            Self::Passed(text) | Self::Skipped(text) | Self::Failed(text) => {
                text.lines().next().unwrap_or("")
            }
            Self::NotRun => "",
        }
    }
}

fn summarize(rows: &[Row], total: Duration) -> Result<()> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max("step".len());
    println!("\n{:width$}  {:7}  {:>8}  note", "step", "result", "time");
    for Row { name, outcome, time } in rows {
        let line =
            format!("{name:width$}  {outcome:7}  {:6.1} s  {}", time.as_secs_f64(), outcome.note());
        println!("{}", line.trim_end());
    }
    println!("{:width$}  {:7}  {:6.1} s", "total", "", total.as_secs_f64());
    let count =
        |wanted: fn(&Outcome) -> bool| rows.iter().filter(|row| wanted(&row.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("{failed} of {} steps failed", rows.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] = &[
        Step { name: "good", about: "passes", run: || Ok(String::new()) },
        Step {
            name: "absent",
            about: "lacks a tool",
            run: || Err(Missing::new("frob", "get frob").into()),
        },
        Step { name: "bad", about: "fails", run: || bail!("broken") },
    ];

    fn run_named(strict: bool, names: &[&str]) -> Result<()> {
        let steps = names.iter().map(|&name| name.to_owned()).collect();
        run(
            strict,
            STEPS,
            &[&["absent", "bad"]],
            &Selection { steps, list: false, keep_going: true },
        )
    }

    #[test]
    fn a_failed_step_fails_the_run() {
        run_named(false, &["good"]).unwrap();
        let error = run_named(false, &["good", "bad"]).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 steps failed");
    }

    #[test]
    fn a_missing_tool_is_a_failure_only_when_strict() {
        run_named(false, &["absent"]).unwrap();
        run_named(true, &["absent"]).unwrap_err();
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let error = run_named(false, &["god"]).unwrap_err().to_string();
        assert!(error.contains("`god`") && error.contains("good, absent, bad"), "{error}");
    }
}
