//! The benchmarks of a Go module, read into the same lines.
//!
//! `BenchmarkLatest/docache-2` of `go test` becomes case `go-latest`, 2 threads, subject `docache`.
//! Go's parallel benchmarks divide the wall time by the operations of all threads; multiplied by
//! the number of threads that is the time per operation per thread, as everywhere else.

use std::env;
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Bench, LEAST, PROGRAM_SAMPLES, median};

/// What the names of the cases begin with.
const PREFIX: &str = "go";

/// What is measured: case, threads, subject.
type Key = (String, usize, String);

/// Measures the benchmarks named `benchmarks` (a regular expression) of the module in the folder
/// `module` of this repository; without `go`, says so and measures none.
pub(crate) fn measure(
    bench: &mut Bench,
    module: &str,
    benchmarks: &str,
) -> Result<(), Box<dyn Error>> {
    run(bench, module, benchmarks, (bench.plan().program_rounds, PROGRAM_SAMPLES))
}

/// The same for benchmarks that take a second or more each, however few turns they are given.
pub(crate) fn measure_slow(
    bench: &mut Bench,
    module: &str,
    benchmarks: &str,
) -> Result<(), Box<dyn Error>> {
    run(bench, module, benchmarks, (bench.plan().slow_program_rounds, 1))
}

fn run(
    bench: &mut Bench,
    module: &str,
    benchmarks: &str,
    (rounds, samples): (usize, usize),
) -> Result<(), Box<dyn Error>> {
    if !bench.wants_any(PREFIX) {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if Command::new("go").arg("version").stdout(Stdio::null()).status().is_err() {
        eprintln!("{}: no `go` in PATH, so the Go cases are left out", bench.family());
        return Ok(());
    }
    eprintln!("{}: building the Go benchmarks", bench.family());
    let (program, module) = (build(&root, module)?, root.join(module));
    let plan = bench.plan();
    let mut measured: Vec<(Key, Vec<f64>)> = Vec::new();
    let (sample, count) = (format!("{}ms", plan.sample.as_millis()), samples.to_string());
    for round in 1..=rounds {
        eprintln!("{} in Go, round {round} of {rounds}", bench.family());
        let mut go = Command::new(&program);
        go.current_dir(&module).args(["-test.run", "^$", "-test.cpu", "1,2"]);
        go.args(["-test.bench", benchmarks, "-test.benchtime", &sample, "-test.count", &count]);
        for (key, value) in output(go)?.lines().filter_map(parse) {
            match measured.iter_mut().find(|(known, _)| *known == key) {
                Some((_, samples)) => samples.push(value),
                None => measured.push((key, vec![value])),
            }
        }
    }
    for ((case, threads, subject), samples) in measured {
        if bench.wants(&case) {
            bench.record(&case, threads, &subject, median(samples));
        }
    }
    Ok(())
}

/// Compiles the library that the modules link and then the benchmarks of `module`, next to this
/// program.
fn build(root: &Path, module: &str) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args([
        "build",
        "--release",
        "-p",
        "docache-capi",
        "--target-dir",
        "target",
    ]);
    output(cargo)?;
    let program =
        env::current_exe()?.with_file_name(format!("peers-{}.test", module.replace('/', "-")));
    // `go` does not look at the library, so it would take a program that is there for up to date.
    match fs::remove_file(&program) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut go = Command::new("go");
    go.current_dir(root.join(module)).args(["test", "-c", "-o"]).arg(&program).arg(".");
    output(go)?;
    Ok(program)
}

/// What a command prints, or why it failed.
fn output(mut command: Command) -> Result<String, Box<dyn Error>> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{stdout}{stderr}", output.status).into())
}

/// A line such as `BenchmarkLatest/docache-2  1000  2.1 ns/op`. Go ends at the first iteration if
/// that was disturbed for as long as a sample takes: such a line says nothing about the operation.
/// A benchmark that takes a time of its own reports it as `ns/call`; that counts as it is.
fn parse(line: &str) -> Option<(Key, f64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.strip_prefix("Benchmark")?;
    let iterations: u64 = words.next()?.parse().ok()?;
    let with_threads =
        name.rsplit_once('-').and_then(|(name, n)| Some((name, n.parse::<usize>().ok()?)));
    let (name, threads) = with_threads.unwrap_or((name, 1));
    let (case, subject) = name.split_once('/').unwrap_or((name, "docache"));
    let figures: Vec<&str> = words.collect();
    let figure =
        |unit| figures.chunks_exact(2).find(|pair| pair[1] == unit)?[0].parse::<f64>().ok();
    let value = match figure("ns/call") {
        Some(value) => value,
        None if iterations < LEAST => return None,
        None => figure("ns/op")? * threads as f64,
    };
    Some(((kebab(case), threads, subject.to_owned()), value))
}

/// `LatestString` as the case `go-latest-string`.
fn kebab(name: &str) -> String {
    let mut out = PREFIX.to_owned();
    for letter in name.chars() {
        if letter.is_uppercase() {
            out.push('-');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_line_becomes_a_case() {
        let key =
            |case: &str, threads, subject: &str| (case.to_owned(), threads, subject.to_owned());
        assert_eq!(
            parse("BenchmarkLatest/docache-2 \t 1000\t 2.5 ns/op\t 0 B/op"),
            Some((key("go-latest", 2, "docache"), 5.0))
        );
        assert_eq!(
            parse("BenchmarkLatest/rwmutex 10 7 ns/op"),
            Some((key("go-latest", 1, "rwmutex"), 7.0))
        );
        assert_eq!(
            parse("BenchmarkLatestAge 10 7 ns/op"),
            Some((key("go-latest-age", 1, "docache"), 7.0))
        );
        assert_eq!(
            parse("BenchmarkTick60/by_hand-2 1 9e8 ns/op 2300 ns/call"),
            Some((key("go-tick60", 2, "by_hand"), 2300.0))
        );
        let disturbed = "BenchmarkLatest 1 2400000 ns/op";
        for other in [
            "",
            "PASS",
            "goos: linux",
            "BenchmarkLatest/docache",
            "BenchmarkLatest 10 7 MB/s",
            disturbed,
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
