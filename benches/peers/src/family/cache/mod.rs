//! The cache: `get-…`, `mix-…`, `fetch-…`, `churn`, `insert`, `…-many`, `remove`, `memory…`,
//! `latency-…`.

mod cases;
pub(crate) mod docache;
pub(crate) mod keys;
mod latency;
mod memory;
pub(crate) mod stores;

use std::error::Error;

use crate::harness::Bench;
use crate::verdict::Row;

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    // First: stores with threads of their own are freed when those get round to it, which would
    // weigh on others.
    memory::measure(bench);
    cases::reads(bench)?;
    cases::uniform(bench)?;
    cases::writes(bench);
    cases::many(bench)?;
    latency::measure(bench)?;
    derive(bench);
    Ok(contract(bench))
}

/// What follows from what was measured: how much more a fetch costs than a read, and what a second
/// thread changes.
fn derive(bench: &mut Bench) {
    for threads in [1, 2] {
        let part = |subject| bench.value("fetch-hit", threads, subject);
        if let Some((fetch, get)) = part("docache").zip(part("docache_get")) {
            bench.record("fetch-hit", threads, "docache_less_get", fetch - get);
        }
    }
    let part = |threads| bench.value("get-zipf", threads, "docache");
    if let Some((two, one)) = part(2).zip(part(1)) {
        bench.record_in("get-zipf", 2, "docache_to_1", two / one, "ratio");
    }
}

/// Section 8: what `docache` must reach, from the peers of this run.
fn contract(bench: &Bench) -> Vec<Row> {
    let ours = |case: &str, threads| bench.value(case, threads, "docache");
    let mut rows = Vec::new();
    for (case, peer, parts) in [
        ("get-zipf", "quick_cache", [0.75, 0.35]),
        ("get-pinned", "hashbrown", [2.0, 2.0]),
        ("fetch-hit", "docache_get", [1.1, 1.1]),
        ("fetch-miss", "quick_cache", [1.0, 1.0]),
        ("insert", "quick_cache", [1.0, 1.0]),
        ("churn", "quick_cache", [1.0, 1.0]),
        ("mix-90-10", "quick_cache", [1.0, 0.75]),
        ("mix-50-50", "quick_cache", [1.3, 1.0]),
        ("remove", "quick_cache", [1.2, 1.2]),
    ] {
        for (threads, part) in [1, 2].into_iter().zip(parts) {
            let limit = bench.value(case, threads, peer).map(|peer| part * peer);
            rows.push(Row::at_most(
                case,
                threads,
                ours(case, threads),
                limit,
                format!("{part} x {peer}"),
            ));
        }
    }
    let flat = bench.value("get-zipf", 2, "docache_to_1");
    rows.push(Row::at_most("get-zipf, 2 to 1", 2, flat, Some(1.15), "flat: 1.15 x 1 thread"));
    for (case, part) in [("memory", 0.95), ("memory-churned", 0.6)] {
        let limit = bench.value(case, 1, "quick_cache").map(|peer| part * peer);
        rows.push(Row::at_most(case, 1, ours(case, 1), limit, format!("{part} x quick_cache")));
    }
    let malloc = "memory-malloc";
    let limit = bench.value(malloc, 1, "quick_cache");
    rows.push(Row::at_most(malloc, 1, ours(malloc, 1), limit, "1 x quick_cache"));
    latency::contract(bench, &mut rows);
    rows
}
