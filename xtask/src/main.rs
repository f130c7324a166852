//! The commands that build, test and verify docache: `cargo xtask --help`.

mod app;
mod archive;
mod bench;
mod cmd;
mod cost;
mod golang;
mod header;
mod mutants;
mod native;
mod parallel;
mod readme;
mod run;
mod servers;
mod steps;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::run::Selection;

/// Builds, tests and verifies docache
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that a user would want to pass: Rust, C, C++ and Go tests and the examples
    Test(Selection),
    /// What a change must pass besides: style, documentation, models, fuzzing, sanitizers,
    /// features, MSRV
    Verify {
        #[command(flatten)]
        selection: Selection,
        /// Also what takes an hour: 50 killed holders, minutes of fuzzing
        #[arg(long)]
        long: bool,
    },
    /// Write include/docache.h from src/ffi
    Header {
        /// Write nothing; fail with a diff if the file is not what would be written
        #[arg(long)]
        check: bool,
    },
    /// Put libdocache.a and docache.h where the Go module, or any C program, can take them along
    GoLib(archive::Options),
    /// Our own benchmarks, then the side-by-side measurements
    Bench(bench::Options),
    /// Count the instructions and cache misses of single operations, ours and of peers
    Cost(cost::Options),
    /// Change the code in small ways, one at a time, and see whether its tests notice: a sample,
    /// about half an hour
    Mutants(mutants::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    enter_root()?;
    let strict = std::env::var("CI").is_ok_and(|ci| ci == "true");
    match cli.command {
        Command::Test(selection) => run::run(strict, steps::TEST, steps::TOGETHER, &selection),
        Command::Verify { selection, long: false } => {
            run::run(strict, steps::VERIFY, steps::TOGETHER, &selection)
        }
        Command::Verify { selection, long: true } => {
            run::run(strict, &[steps::VERIFY, steps::LONG].concat(), steps::TOGETHER, &selection)
        }
        Command::Header { check: true } => header::check(),
        Command::Header { check: false } => header::write(),
        Command::GoLib(options) => archive::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Cost(options) => cost::run(&options),
        Command::Mutants(options) => mutants::run(&options),
    }
}

/// Makes the root of the repository the current directory: all paths in the commands are relative
/// to it.
fn enter_root() -> Result<()> {
    let manifest_dir =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let root =
        PathBuf::from(manifest_dir).parent().context("xtask has no parent directory")?.to_owned();
    std::env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))
}
