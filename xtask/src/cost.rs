//! `cost`: instructions and first-level data-cache misses of single operations, counted under
//! callgrind. Unlike times, such figures are the same on a busy machine.
//!
//! The program `benches/cost` does one operation many times over. [`FIGURES`] has what each took
//! when they were last blessed, ours and a peer's beside it, and by which versions of the compiler
//! and of valgrind. With the same versions ours must not take more; with others, which count
//! otherwise, not more in proportion to the peer.

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;
use clap::Args;

use crate::cmd::Cmd;
use crate::{parallel, tool};

/// What is measured, and the peer that does the same.
const CASES: [(&str, &str); 10] = [
    ("get-hit", "quick_cache"),
    ("get-miss", "quick_cache"),
    ("insert-new", "quick_cache"),
    ("insert-evict", "quick_cache"),
    ("replace", "quick_cache"),
    ("remove", "quick_cache"),
    ("fetch-hit", "quick_cache"),
    ("fetch-miss", "quick_cache"),
    ("flight", "singleflight-async"),
    ("latest", "arc-swap"),
];
const OURS: &str = "docache";

/// The caches that are simulated, whatever this machine has.
const CALLGRIND: &str = "--tool=callgrind --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 \
    --LL=8388608,16,64 --toggle-collect=docache_cost";
const LIMIT: Duration = Duration::from_secs(120);

const FIGURES: &str = "benches/cost/figures.tsv";
const PAGE: &str = "docs/benchmarks.md";
/// What stands before and behind the table on that page.
const MARKS: [&str; 2] = ["<!-- cargo xtask cost -->\n", "<!-- end -->\n"];

/// How much more than the blessed figures is too much: in proportion, and so many misses beyond
/// that, since where there are next to none a line more or less is nothing.
const MORE: f64 = 1.02;
const MORE_MISSES: f64 = 0.05;
/// The same for the ratio to the peer, where another compiler has made both.
const MORE_BY_RATIO: f64 = 1.10;

#[derive(Args)]
pub(crate) struct Options {
    /// Take what this run counts as the figures to compare with, and put them into the benchmarks'
    /// page
    #[arg(long)]
    bless: bool,
}

/// Of one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    instructions: f64,
    misses: f64,
}

impl Cost {
    /// What is counted, how many of them, and how many more are nothing.
    fn parts(self) -> [(&'static str, f64, f64); 2] {
        [("instructions", self.instructions, 0.0), ("misses", self.misses, MORE_MISSES)]
    }
}

/// Of one case: ours and the peer's.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    case: String,
    ours: Cost,
    peer: Cost,
}

#[derive(Debug, PartialEq)]
struct Figures {
    versions: String,
    rows: Vec<Row>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let counted = Figures::count()?;
    print!("{}", counted.table());
    if options.bless {
        fs::write(FIGURES, counted.to_text())?;
        let page = fs::read_to_string(PAGE)?;
        fs::write(PAGE, with_table(&page, &counted.table())?)?;
        println!("wrote {FIGURES}, and its table in {PAGE}");
    }
    Ok(())
}

/// The step of `verify`.
pub(crate) fn check() -> Result<String> {
    let counted = Figures::count()?;
    print!("{}", counted.table());
    let text = fs::read_to_string(FIGURES).with_context(|| format!("cannot read {FIGURES}"))?;
    let blessed = Figures::from_text(&text)?;
    let complaints = counted.complaints(&blessed);
    ensure!(
        complaints.is_empty(),
        "{}\n(if it has to be: `cargo xtask cost --bless`)",
        complaints.join("\n")
    );
    let same = counted.versions == blessed.versions;
    Ok(if same { String::new() } else { format!("by ratio to peers: {}", counted.versions) })
}

impl Figures {
    fn count() -> Result<Figures> {
        tool::need(&[&tool::VALGRIND])?;
        let executable = build()?;
        let pairs = CASES.map(|(case, peer)| [(case, OURS), (case, peer)]);
        let costs = parallel::map(&pairs.concat(), |(case, subject)| {
            callgrind(&executable, case, subject)
                .with_context(|| format!("cannot count {case} of {subject}"))
        });
        let costs = costs.into_iter().collect::<Result<Vec<Cost>>>()?;
        let row = |((case, _), costs): (&(&str, &str), &[Cost])| Row {
            case: (*case).to_owned(),
            ours: costs[0],
            peer: costs[1],
        };
        let rows = CASES.iter().zip(costs.chunks(2)).map(row).collect();
        Ok(Figures { versions: versions()?, rows })
    }

    /// What is worse than it was.
    fn complaints(&self, blessed: &Figures) -> Vec<String> {
        let by_ratio = self.versions != blessed.versions;
        let mut complaints = Vec::new();
        for row in &self.rows {
            let Some(was) = blessed.rows.iter().find(|was| was.case == row.case) else {
                complaints.push(format!("{FIGURES} does not have {}", row.case));
                continue;
            };
            let blessed = was.ours.parts().into_iter().zip(was.peer.parts());
            let counted = row.ours.parts().into_iter().zip(row.peer.parts());
            for (((kind, ours, more), (_, peer, _)), (was_ours, was_peer)) in counted.zip(blessed) {
                let limit = if by_ratio {
                    was_ours.1 / was_peer.1.max(1.0) * peer.max(1.0) * MORE_BY_RATIO
                } else {
                    was_ours.1 * MORE
                };
                if ours > limit + more {
                    let case = &row.case;
                    complaints
                        .push(format!("{case}: {ours:.2} {kind}, at most {:.2}", limit + more));
                }
            }
        }
        complaints
    }

    fn table(&self) -> String {
        let mut table = format!(
            "Counted with {}.\n\n\
             | | docache: instructions | misses | the peer: instructions | misses | ratios |\n\
             |---|---|---|---|---|---|\n",
            self.versions
        );
        for (Row { case, ours, peer }, (_, name)) in self.rows.iter().zip(CASES) {
            // A String does not fail.
            let _ = writeln!(
                table,
                "| {case} | {:.0} | {:.2} | {name} {:.0} | {:.2} | {:.2}, {} |",
                ours.instructions,
                ours.misses,
                peer.instructions,
                peer.misses,
                ours.instructions / peer.instructions,
                if peer.misses < MORE_MISSES {
                    "-".to_owned()
                } else {
                    format!("{:.2}", ours.misses / peer.misses)
                }
            );
        }
        table
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.versions);
        for Row { case, ours, peer } in &self.rows {
            let _ = writeln!(
                text,
                "{case}\t{:.2}\t{:.3}\t{:.2}\t{:.3}",
                ours.instructions, ours.misses, peer.instructions, peer.misses
            );
        }
        text
    }

    fn from_text(text: &str) -> Result<Figures> {
        let mut lines = text.lines();
        let versions = lines.next().context("there is no line")?.to_owned();
        let row = |line: &str| -> Result<Row> {
            let (case, numbers) = line.split_once('\t').context("there is no tab")?;
            let numbers: Vec<f64> =
                numbers.split('\t').map(str::parse).collect::<Result<_, _>>()?;
            let [instructions, misses, of_peer, misses_of_peer] = numbers[..] else {
                bail!("there are not four numbers");
            };
            let ours = Cost { instructions, misses };
            let peer = Cost { instructions: of_peer, misses: misses_of_peer };
            Ok(Row { case: case.to_owned(), ours, peer })
        };
        let rows = lines.map(|line| row(line).with_context(|| format!("in {FIGURES}: {line:?}")));
        Ok(Figures { versions, rows: rows.collect::<Result<_>>()? })
    }
}

/// The page with this table instead of the one that it has.
fn with_table(page: &str, table: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let parts = page.split_once(begin).and_then(|(before, rest)| {
        rest.split_once(end).map(|(_, after)| format!("{before}{begin}{table}{end}{after}"))
    });
    parts.with_context(|| format!("{PAGE} does not have {begin:?} and {end:?}"))
}

fn versions() -> Result<String> {
    let rustc = Cmd::new("rustc").arg("--version").read()?;
    let valgrind = Cmd::new("valgrind").arg("--version").read()?;
    Ok(format!("{}, {}", rustc.trim(), valgrind.trim()))
}

/// Builds the program and returns the path of it.
fn build() -> Result<PathBuf> {
    let build =
        Cmd::cargo("build --release -p cost").arg("--message-format=json-render-diagnostics");
    println!("$ {build}");
    let messages = build.read()?;
    for message in Message::parse_stream(Cursor::new(messages)) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.name == "cost"
            && let Some(executable) = artifact.executable
        {
            return Ok(executable.into());
        }
    }
    bail!("`{build}` built no program")
}

fn callgrind(executable: &Path, case: &str, subject: &str) -> Result<Cost> {
    let dir = tempfile::tempdir()?;
    let (file, log) = (dir.path().join("callgrind.out"), dir.path().join("log"));
    // It says at length that this machine has other caches.
    let cmd = Cmd::new("valgrind")
        .words(CALLGRIND)
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(format!("--log-file={}", log.display()))
        .arg(executable);
    let operations: f64 = cmd.args([case, subject]).limit(LIMIT).read()?.trim().parse()?;
    totals(&fs::read_to_string(file)?, operations)
}

/// What callgrind's file says, for each of so many operations.
fn totals(text: &str, operations: f64) -> Result<Cost> {
    let line = |name: &str| {
        let found = text.lines().rev().find_map(|line| line.strip_prefix(name));
        found.with_context(|| format!("callgrind's file has no line {name:?}"))
    };
    let (events, totals) = (line("events:")?, line("totals:")?);
    let count = |event: &str| {
        let at = events.split_whitespace().position(|name| name == event);
        let number = at.and_then(|at| totals.split_whitespace().nth(at));
        let number = number.with_context(|| format!("callgrind did not count {event}"))?;
        anyhow::Ok(number.parse::<f64>()? / operations)
    };
    Ok(Cost { instructions: count("Ir")?, misses: count("D1mr")? + count("D1mw")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(versions: &str, ours: [f64; 2], peer: [f64; 2]) -> Figures {
        let cost = |[instructions, misses]: [f64; 2]| Cost { instructions, misses };
        let row = Row { case: "get-hit".to_owned(), ours: cost(ours), peer: cost(peer) };
        Figures { versions: versions.to_owned(), rows: vec![row] }
    }

    #[test]
    fn what_callgrind_says_is_read() {
        let text = "version: 1\nevents: Ir Dr D1mr D1mw\nfn=(1) a\n1 2\ntotals: 100 50 8 2\n";
        assert_eq!(totals(text, 10.0).unwrap(), Cost { instructions: 10.0, misses: 1.0 });
        totals("events: Ir Dr\ntotals: 1 2\n", 1.0).unwrap_err();
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        let written = figures("rustc 1", [100.25, 2.5], [200.0, 0.0]);
        assert_eq!(Figures::from_text(&written.to_text()).unwrap(), written);
        Figures::from_text("rustc 1\nget-hit\t1\t2\n").unwrap_err();
    }

    #[test]
    fn what_takes_more_is_told_and_by_other_versions_in_proportion() {
        let blessed = figures("rustc 1", [100.0, 2.0], [200.0, 4.0]);
        let told = |versions, ours, peer| figures(versions, ours, peer).complaints(&blessed).len();
        assert_eq!(told("rustc 1", [101.9, 2.08], [1.0, 1.0]), 0);
        assert_eq!(told("rustc 1", [102.1, 2.12], [200.0, 4.0]), 2);
        assert_eq!(told("rustc 2", [214.0, 4.3], [400.0, 8.0]), 0);
        assert_eq!(told("rustc 2", [105.0, 2.1], [180.0, 3.0]), 2);
        let none = Figures { versions: "rustc 1".to_owned(), rows: Vec::new() };
        assert_eq!(blessed.complaints(&none).len(), 1);
    }

    #[test]
    fn the_table_takes_the_place_of_the_earlier_one() {
        let [begin, end] = MARKS;
        let page = format!("a\n{begin}old\n{end}b\n");
        assert_eq!(with_table(&page, "new\n").unwrap(), format!("a\n{begin}new\n{end}b\n"));
        with_table("a\n", "new\n").unwrap_err();
    }
}
