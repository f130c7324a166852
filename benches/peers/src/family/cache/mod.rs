//! The cache: `get-…`, `mix-…`, `fetch-…`, `churn`, `insert`, `remove`, `memory…`.

mod cases;
pub(crate) mod docache;
pub(crate) mod keys;
mod memory;
pub(crate) mod stores;

use std::error::Error;

use crate::harness::Bench;
use crate::verdict::Row;

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    // First: stores with threads of their own are freed when those get round to it, which would weigh on others.
    memory::measure(bench);
    cases::reads(bench)?;
    cases::uniform(bench)?;
    cases::writes(bench);
    derive(bench);
    Ok(contract(bench))
}

/// What follows from what was measured: how much more a fetch costs than a read, and what a second thread changes.
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
    let value = |case: &str, threads, subject: &str| bench.value(case, threads, subject);
    let mut rows = Vec::new();
    let mut row = |case: &str, threads, ours, limit, from| {
        rows.push(Row::at_most(case, threads, ours, limit, from));
    };
    for (threads, part, from) in [(1, 0.85, "0.85 x quick_cache"), (2, 0.35, "0.35 x quick_cache")] {
        let limit = value("get-zipf", threads, "quick_cache").map(|peer| part * peer);
        row("get-zipf", threads, value("get-zipf", threads, "docache"), limit, from);
    }
    let flat = value("get-zipf", 2, "docache_to_1");
    row("get-zipf, 2 to 1", 2, flat, Some(1.15), "flat: 1.15 x 1 thread");
    for threads in [1, 2] {
        let limit = value("get-pinned", threads, "hashbrown").map(|peer| 2.0 * peer);
        row("get-pinned", threads, value("get-pinned", threads, "docache"), limit, "2 x read-only hashbrown");
    }
    for threads in [1, 2] {
        let limit = value("fetch-hit", threads, "docache_get").map(|get| get + 2.0);
        row("fetch-hit", threads, value("fetch-hit", threads, "docache"), limit, "get + 2 ns");
    }
    row("fetch-miss", 1, value("fetch-miss", 1, "docache"), Some(100.0), "100 ns");
    for threads in [1, 2] {
        let limit = value("churn", threads, "quick_cache");
        row("churn", threads, value("churn", threads, "docache"), limit, "quick_cache");
    }
    for case in ["memory", "memory-churned", "memory-malloc"] {
        row(case, 1, value(case, 1, "docache"), value(case, 1, "quick_cache"), "quick_cache");
    }
    rows
}
