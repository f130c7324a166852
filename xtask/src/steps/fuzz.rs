//! Runs of every fuzz target.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cmd::Cmd;
use crate::parallel;
use crate::tool;

const SECONDS: u64 = 15;
const LONG_SECONDS: u64 = 600;
/// When this has passed besides, the fuzzer itself is stuck.
const LIMIT: Duration = Duration::from_secs(5 * 60);

pub(super) fn build() -> Result<String> {
    tool::need(&[&tool::CXX, &tool::CARGO_FUZZ])?;
    fuzz("build").run()?;
    Ok(String::new())
}

pub(super) fn smoke() -> Result<String> {
    run_all(SECONDS)
}

pub(super) fn long() -> Result<String> {
    run_all(LONG_SECONDS)
}

fn run_all(seconds: u64) -> Result<String> {
    build()?;
    let listing = fuzz("list").read()?;
    let targets: Vec<_> = listing.split_whitespace().collect();
    ensure!(!targets.is_empty(), "`cargo fuzz list` names no target");
    parallel::map(&targets, |target| run(target, seconds)).into_iter().collect::<Result<()>>()?;
    Ok(format!("{} targets: {}", targets.len(), targets.join(", ")))
}

fn run(target: &str, seconds: u64) -> Result<()> {
    let run = fuzz("run")
        .args([target, "--"])
        .arg(format!("-max_total_time={seconds}"))
        .limit(Duration::from_secs(seconds) + LIMIT);
    println!("$ {run}");
    let output = run.read_all()?;
    let done = output
        .lines()
        .rfind(|line| line.starts_with("Done "))
        .context("the fuzzer did not finish")?;
    println!("{target}: {done}");
    Ok(())
}

/// A `cargo fuzz` command that also works with a stable toolchain.
fn fuzz(command: &str) -> Cmd {
    Cmd::cargo("fuzz").arg(command).env("RUSTC_BOOTSTRAP", "1")
}
