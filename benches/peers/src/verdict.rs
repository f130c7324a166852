//! What the performance contract asks, next to what this run measured.

use std::fmt::Write;

/// One demand of the contract. Figures are nanoseconds per operation per thread, ratios, or numbers
/// of something.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The case, and what of it is looked at.
    case: String,
    /// Threads measured on.
    threads: usize,
    /// What was measured for docache, if it was.
    ours: Option<f64>,
    /// What is demanded, if this run has what it follows from.
    limit: Option<f64>,
    /// Where the limit comes from.
    from: String,
    /// On which side of the limit ours has to be.
    side: Side,
}

/// A side of a limit, itself included.
#[derive(Clone, Copy, Debug)]
enum Side {
    Below,
    Above,
}

impl Row {
    /// Less is better, and `limit` the most that is allowed.
    pub(crate) fn at_most(
        case: impl Into<String>,
        threads: usize,
        ours: Option<f64>,
        limit: Option<f64>,
        from: impl Into<String>,
    ) -> Self {
        Row { case: case.into(), threads, ours, limit, from: from.into(), side: Side::Below }
    }

    /// More is better, and `limit` the least that is allowed.
    pub(crate) fn at_least(
        case: impl Into<String>,
        threads: usize,
        ours: Option<f64>,
        limit: Option<f64>,
        from: impl Into<String>,
    ) -> Self {
        Row { side: Side::Above, ..Row::at_most(case, threads, ours, limit, from) }
    }
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
    let (Some(ours), Some(limit)) = (row.ours, row.limit) else {
        return "not measured".to_owned();
    };
    match row.side {
        Side::Below if ours <= limit && limit == 0.0 => "met".to_owned(),
        Side::Below if ours <= limit => format!("met, {:.0} % of limit", 100.0 * ours / limit),
        Side::Below if limit == 0.0 => "MISSED".to_owned(),
        Side::Below => format!("MISSED by {:.0} %", 100.0 * (ours / limit - 1.0)),
        Side::Above if ours >= limit => format!("met, {:.2} above", ours - limit),
        Side::Above => format!("MISSED by {:.2}", limit - ours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_on_its_own_side() {
        let below =
            |ours, limit| verdict(&Row::at_most("case", 1, Some(ours), Some(limit), "a peer"));
        assert_eq!(below(0.5, 1.0), "met, 50 % of limit");
        assert_eq!(below(1.5, 1.0), "MISSED by 50 %");
        assert_eq!(below(0.0, 0.0), "met");
        assert_eq!(below(1.0, 0.0), "MISSED");
        let above =
            |ours, limit| verdict(&Row::at_least("case", 1, Some(ours), Some(limit), "a peer"));
        assert_eq!(above(51.0, 50.0), "met, 1.00 above");
        assert_eq!(above(49.5, 50.0), "MISSED by 0.50");
        assert_eq!(verdict(&Row::at_most("case", 1, None, Some(1.0), "a peer")), "not measured");
    }
}
