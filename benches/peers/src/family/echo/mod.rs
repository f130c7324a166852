//! The echo cache: `memory-hit`, `stale-hit`, `tiered-hit`, `redis-hit-1`, `redis-hit-32`,
//! `refreshes`, `allocations`.
//!
//! All subjects are asked with the same strings, as an echo cache takes its keys. The cases of
//! Redis start a server of their own, and are left out where there is none.

mod memory;
mod redis;
mod refreshes;
mod server;

use std::error::Error;

pub(crate) use self::refreshes::call_as_told;
use self::server::Server;
use crate::harness::Bench;
use crate::verdict::Row;

/// Keys that each thread goes through.
const KEYS: usize = 1024;
/// Callers at a time of the second case of Redis.
const MANY: usize = 32;

fn names() -> &'static [&'static str] {
    (0..KEYS).map(|n| &*format!("user:{n:08}").leak()).collect::<Vec<_>>().leak()
}

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let names = names();
    memory::hits(bench, names)?;
    memory::stale(bench, names)?;
    memory::tiered(bench, names)?;
    if bench.wants_any("redis-hit") || bench.wants("refreshes") {
        match Server::start()? {
            Some(server) => {
                redis::hits(bench, names, &server)?;
                refreshes::measure(bench, &server)?;
            }
            None => eprintln!(
                "{}: no `redis-server` in PATH, so its cases are left out",
                bench.family()
            ),
        }
    }
    Ok(contract(bench))
}

/// Section 8: what `docache` must reach, from the peers of this run.
fn contract(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for (case, threads, peer, part) in [
        ("memory-hit", 1, "cache_get", 1.3),
        ("memory-hit", 2, "cache_get", 1.3),
        ("memory-hit", 1, "amalgam_cache", 0.4),
        ("memory-hit", 2, "amalgam_cache", 0.4),
        ("stale-hit", 1, "docache_hit", 2.0),
        ("tiered-hit", 1, "cache_get", 1.3),
        ("tiered-hit", 2, "cache_get", 1.3),
        ("redis-hit-1", 1, "bare_get", 1.1),
        ("redis-hit-32", MANY, "bare_get", 1.1),
    ] {
        let ours = bench.value(case, threads, "docache");
        let limit = bench.value(case, threads, peer).map(|peer| part * peer);
        rows.push(Row::at_most(case, threads, ours, limit, format!("{part} x {peer}")));
    }
    for kind in ["memory_hit", "stale_hit", "tiered_hit"] {
        let ours = bench.value("allocations", 1, &format!("docache_{kind}"));
        rows.push(Row::at_most(format!("allocations, {kind}"), 1, ours, Some(0.0), "none"));
    }
    let ours = bench.value("refreshes", refreshes::CALLERS, "docache");
    let ideal = refreshes::IDEAL;
    let row = |limit, from| ("refreshes", refreshes::CALLERS, ours, Some(limit), from);
    let (case, threads, ours, limit, from) = row(ideal + 1.0, "the ideal, and 1");
    rows.push(Row::at_most(case, threads, ours, limit, from));
    let (case, threads, ours, limit, from) = row(ideal - 1.0, "the ideal, less 1");
    rows.push(Row::at_least(case, threads, ours, limit, from));
    rows
}
