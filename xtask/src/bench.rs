//! `bench`: our own benchmarks, then docache next to its peers.

use anyhow::Result;
use clap::Args;

use crate::cmd::Cmd;

/// The families that `peers` can measure.
const FAMILIES: [&str; 7] = ["latest", "flight", "cache", "hit-ratio", "echo", "run", "ffi"];

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the benchmarks of our own, after `--`
    #[arg(last = true)]
    criterion: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    Cmd::cargo("bench --all-features --").args(&options.criterion).run()?;
    for family in FAMILIES {
        Cmd::cargo("run --release -p peers --").args([family, "--quick"]).run()?;
    }
    Ok(())
}
