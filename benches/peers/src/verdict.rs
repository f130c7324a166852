//! What the performance contract asks, next to what this run measured.

use std::fmt::Write;

/// One demand of the contract. Figures are nanoseconds per operation per thread, ratios, or numbers of something.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The case, and what of it is looked at.
    pub(crate) case: String,
    /// Threads measured on.
    pub(crate) threads: usize,
    /// What was measured for docache, if it was.
    pub(crate) ours: Option<f64>,
    /// The most that is allowed, if this run has what it follows from.
    pub(crate) limit: Option<f64>,
    /// Where the limit comes from.
    pub(crate) from: &'static str,
}

/// The table of all rows.
pub(crate) fn table(family: &str, rows: &[Row]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\ncontract: {family}");
    let _ = writeln!(
        out,
        "{:<24}{:>8}{:>12}{:>12}  {:<22}limit is",
        "case", "threads", "ours", "limit", "verdict"
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:<24}{:>8}{:>12}{:>12}  {:<22}{}",
            row.case,
            row.threads,
            figure(row.ours),
            figure(row.limit),
            verdict(row),
            row.from
        );
    }
    out
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn verdict(row: &Row) -> String {
    match (row.ours, row.limit) {
        (Some(0.0), Some(0.0)) => "met".to_owned(),
        (Some(_), Some(0.0)) => "MISSED".to_owned(),
        (Some(ours), Some(limit)) if ours <= limit => {
            format!("met, {:.0} % of limit", 100.0 * ours / limit)
        }
        (Some(ours), Some(limit)) => format!("MISSED by {:.0} %", 100.0 * (ours / limit - 1.0)),
        _ => "not measured".to_owned(),
    }
}
