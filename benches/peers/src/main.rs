//! Side-by-side measurements of docache and its peers: same machine, same process, same run.
//!
//! `cargo run --release -p peers -- FAMILY [--quick] [--case NAME]` prints one line per measurement
//! to stdout, `family<TAB>case<TAB>threads<TAB>subject<TAB>value<TAB>unit`, and then to stderr what
//! the performance contract asks of this family next to what this run measured. Ours is the subject
//! `docache`; a peer carries the name of its crate and, where the crate has several calls, of the
//! call.

mod allocations;
mod family;
mod harness;
mod verdict;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::harness::{Bench, Plan};

#[global_allocator]
static ALLOCATOR: allocations::Weighing = allocations::Weighing;

/// What can be measured; one module of [`family`] each.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Family {
    /// One published value: readers, guards, snapshots, publishing.
    Latest,
    /// One run for all who ask at once: alone, beside others, before a crowd of threads.
    Flight,
    /// The cache: reads, loads, writes, eviction, memory.
    Cache,
    /// How much of real traces the cache answers, at a few capacities.
    HitRatio,
    /// The echo cache: hits in memory, through a tier and in Redis, where `redis-server` is
    /// installed, and how often several processes load one value.
    Echo,
    /// What work is scheduled with: timers that are set and taken back, ten thousand loops.
    Run,
    /// The way in from C, and from Go where `go` is installed.
    Ffi,
}

/// Measures docache next to its peers and prints tab-separated lines.
#[derive(Debug, Parser)]
#[command(name = "peers", version)]
struct Arguments {
    /// The family to measure.
    #[arg(value_enum)]
    family: Family,
    /// Fewer and shorter rounds: ends within 20 s once everything is built.
    #[arg(long)]
    quick: bool,
    /// Measure only the cases of this name.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Be one of the processes of the family `echo`, which is told this.
    #[arg(long, hide = true)]
    caller: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(told) = &arguments.caller {
        return exit_code(family::echo::call_as_told(told));
    }
    let plan = if arguments.quick { Plan::quick() } else { Plan::thorough() };
    let name = arguments.family.to_possible_value().map(|value| value.get_name().to_owned());
    let mut bench = Bench::new(name.unwrap_or_default(), plan, arguments.case);
    let outcome = match arguments.family {
        Family::Latest => family::latest::measure(&mut bench),
        Family::Flight => family::flight::measure(&mut bench),
        Family::Cache => family::cache::measure(&mut bench),
        Family::HitRatio => family::hit_ratio::measure(&mut bench),
        Family::Echo => family::echo::measure(&mut bench),
        Family::Run => family::run::measure(&mut bench),
        Family::Ffi => family::ffi::measure(&mut bench),
    };
    exit_code(outcome.map(|rows| eprint!("{}", verdict::table(bench.family(), &rows))))
}

fn exit_code(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
