//! `mutants`: changes the code in small ways, one at a time, and sees whether the tests notice.
//!
//! cargo-mutants makes the changes. Of all that it knows, a sample is tried. On each the quickest
//! tests come first, and others only if those did not notice: the unit tests of the module that it
//! lies in; the [programs], in C and C++ and those of the documentation, for which the change is
//! made here; and the integration tests that concern the module, which take the longest to build.
//! All is done in a copy of the tree that stays where it is, so that a build takes up what the last
//! one left.

mod cfgs;
mod programs;
mod sample;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::cmd::Cmd;
use crate::tool;

use self::programs::Programs;
use self::sample::Mutant;

/// The folder of all that this writes.
const FOLDER: &str = "target/mutants";
/// Not compiled into what the tests run on Linux, or tests themselves.
const EXCLUDED: [&str; 5] = [
    "**/model.rs",
    "**/tests.rs",
    "**/tests/**",
    "src/cache/reclaim/loom.rs",
    "src/sync/parking/table.rs",
];
/// What `Debug` and `Display` write is for people; and the tests within files are not to be tested.
const EXCLUDED_NAMES: &str = r">::fmt( |$)| tests::";

#[derive(Args)]
pub(crate) struct Options {
    /// How many mutants to try; 0 for all
    #[arg(long, default_value_t = 60)]
    sample: usize,
    /// Which sample of that size
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fail if fewer of the mutants that compile are caught, in percent
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(..=100))]
    least: u8,
    /// Only mutants of files whose path below src begins so, such as `cache/policy`
    #[arg(long, value_name = "PATH")]
    module: Option<String>,
    /// Print the sample and try none
    #[arg(long)]
    list: bool,
}

/// A part of src and the integration tests that concern it; its unit tests are those of the module
/// of that path.
struct Module {
    path: &'static str,
    /// Patterns, as `cargo test --test` takes them.
    tests: &'static [&'static str],
}

/// The first that fits counts. What fits none is a module of its own, tried with all integration
/// tests.
const MODULES: &[Module] = &[
    Module { path: "cache/policy", tests: &["cache_model", "cache_reads", "cache_time"] },
    Module { path: "cache", tests: CACHE },
    Module { path: "flight", tests: &["flight*", "host"] },
    Module { path: "loop_cache", tests: &["loop_*", "containment", "chaos"] },
    Module { path: "echo", tests: &["echo*"] },
    Module { path: "ffi", tests: &["abi*"] },
    Module { path: "context", tests: &["context"] },
    Module { path: "clock", tests: &["context", "loop_*", "cache_clock", "cache_time"] },
    Module { path: "lock", tests: LOCK },
    Module { path: "sync", tests: LOCK },
];

/// All of the cache but `cache_stress`, which takes longer than the others together and looks for
/// what threads do to each other, not for wrong code.
const CACHE: &[&str] = &[
    "cache_clock",
    "cache_f*",
    "cache_guard",
    "cache_linear",
    "cache_m*",
    "cache_re*",
    "cache_scheduled",
    "cache_t*",
];

/// What locks a lot, sleeps, forks, and does without fences.
const LOCK: &[&str] = &["cache_forbidden", "cache_linear", "flight", "fork", "host"];

/// What became of the mutants of one module.
#[derive(Default)]
struct Tally {
    caught: usize,
    timeout: usize,
    unviable: usize,
    missed: Vec<String>,
    time: Duration,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    tool::need(&[&tool::CARGO_MUTANTS])?;
    let tree = tree::copy(Path::new(FOLDER).join("tree"))?;
    let chosen = choose(options, &tree)?;
    if options.list {
        for mutant in &chosen {
            println!("{}: {}", module_of(mutant.path()), mutant.name());
        }
        return Ok(());
    }
    let programs = Programs::prepare(&tree, &target()?)?;
    let mut modules: BTreeMap<String, Vec<Mutant>> = BTreeMap::new();
    for mutant in chosen {
        modules.entry(module_of(mutant.path())).or_default().push(mutant);
    }
    let mut tallies = BTreeMap::new();
    for (module, mutants) in modules {
        let tally = try_module(&tree, &programs, &module, &mutants)?;
        tallies.insert(module, tally);
    }
    report(&tallies, options.least)
}

/// The sample: some of the mutants that can be noticed.
fn choose(options: &Options, tree: &Path) -> Result<Vec<Mutant>> {
    let listing = mutants(tree)?.args(["--list", "--json", "--file", "src/**"]).read()?;
    let mut mutants = Mutant::parse_list(&listing)?;
    let wanted = options.module.as_deref().unwrap_or_default();
    mutants.retain(|mutant| mutant.path().starts_with(wanted));
    ensure!(!mutants.is_empty(), "there is no mutant in src/{wanted}");
    let all = mutants.len();
    cfgs::retain_compiled(tree, &mut mutants)?;
    println!("{all} mutants, of which {} lie in code that is compiled here", mutants.len());
    Ok(sample::choose(mutants, options.sample, options.seed))
}

/// `cargo mutants` in the tree, for the code that counts.
fn mutants(tree: &Path) -> Result<Cmd> {
    let excluded = EXCLUDED.iter().flat_map(|pattern| ["--exclude", pattern]);
    Ok(cargo("mutants --package docache --colors never", tree, &target()?)
        .args(excluded)
        .args(["--exclude-re", EXCLUDED_NAMES])
        .env("DOCACHE_HOST_SECONDS", "1"))
}

/// The folder of what is built.
fn target() -> Result<PathBuf> {
    Ok(std::path::absolute(Path::new(FOLDER).join("target"))?)
}

/// `cargo` in the tree, for builds that are over soon.
fn cargo(line: &str, tree: &Path, target: &Path) -> Cmd {
    Cmd::cargo(line)
        .dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
}

/// The name of the module that a file below src belongs to.
fn module_of(path: &str) -> String {
    let known = MODULES.iter().find(|module| lies_in(path, module.path));
    let first = || path.split(['/', '.']).next().unwrap_or(path);
    known.map_or_else(first, |module| module.path).to_owned()
}

fn lies_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.starts_with(['/', '.']))
}

/// Tries the module's unit tests on `mutants`, the programs on those that were missed, and the
/// module's integration tests on what is left.
fn try_module(tree: &Path, programs: &Programs, module: &str, mutants: &[Mutant]) -> Result<Tally> {
    let start = Instant::now();
    let missed = mutants.iter().map(|mutant| mutant.name().to_owned()).collect();
    let mut tally = Tally { missed, ..Tally::default() };
    try_tests(tree, module, ("unit", unit_tests(module)), &mut tally)?;
    try_programs(programs, mutants, &mut tally)?;
    try_tests(tree, module, ("integration", integration_tests(module)), &mut tally)?;
    tally.time = start.elapsed();
    Ok(tally)
}

/// Tries the programs on those that were missed.
fn try_programs(programs: &Programs, mutants: &[Mutant], tally: &mut Tally) -> Result<()> {
    let names = std::mem::take(&mut tally.missed);
    for mutant in mutants.iter().filter(|mutant| names.iter().any(|name| name == mutant.name())) {
        match programs.notice(mutant)? {
            Some(program) => {
                println!("caught by {program}: {}", mutant.name());
                tally.caught += 1;
            }
            None => {
                println!("missed by all programs: {}", mutant.name());
                tally.missed.push(mutant.name().to_owned());
            }
        }
    }
    Ok(())
}

/// Selects the module's own unit tests: all whose name holds its path, but for those of another
/// module that it is part of.
fn unit_tests(module: &str) -> Vec<String> {
    let name = |path: &str| path.replace('/', "::");
    let others = MODULES.iter().filter(|other| other.path != module && other.path.contains(module));
    let mut args =
        vec!["--cargo-arg=--lib".to_owned(), format!("--cargo-test-arg={}", name(module))];
    args.push("--cargo-test-arg=--".to_owned());
    args.extend(others.map(|other| format!("--cargo-test-arg=--skip={}", name(other.path))));
    args
}

/// Selects the integration tests that concern the module.
fn integration_tests(module: &str) -> Vec<String> {
    let known = MODULES.iter().find(|known| known.path == module);
    let tests = known.map_or(&["*"][..], |known| known.tests);
    tests.iter().map(|test| format!("--cargo-arg=--test={test}")).collect()
}

/// Tries the selected tests on those that were missed and adds to the tally what became of them.
fn try_tests(
    tree: &Path,
    module: &str,
    (kind, selection): (&str, Vec<String>),
    tally: &mut Tally,
) -> Result<()> {
    let mutants = std::mem::take(&mut tally.missed);
    if mutants.is_empty() {
        return Ok(());
    }
    println!("\n== {module}: {} mutants, {kind} tests", mutants.len());
    let out = Path::new(FOLDER).join("out").join(module.replace('/', "-")).join(kind);
    fs::create_dir_all(&out)?;
    let out = fs::canonicalize(out)?;
    let cmd = self::mutants(tree)?
        .args([
            "--in-place",
            "--all-features",
            "--no-shuffle",
            "--timeout-multiplier=5",
            "--minimum-test-timeout=30",
            "--output",
        ])
        .arg(&out)
        .args(selection)
        .args(mutants.iter().flat_map(|name| ["--re".to_owned(), sample::exactly(name)]));
    // Only those files, since cargo-mutants does not hold every kind of mutant against --re.
    let files: BTreeSet<&str> = mutants.iter().filter_map(|name| name.split(':').next()).collect();
    let cmd = cmd.args(files.into_iter().flat_map(|file| ["--file", file]));
    // 2: some were missed; 3: some hung.
    let code = cmd.exit_code()?;
    ensure!(
        matches!(code, Some(0 | 2 | 3)),
        "cargo mutants ended with {code:?}: see {}",
        out.display()
    );
    let list = |name: &str| {
        let mut names = lines(&out.join("mutants.out").join(name))?;
        names.retain(|name| mutants.contains(name));
        anyhow::Ok(names)
    };
    let (caught, timeout, unviable) =
        (list("caught.txt")?, list("timeout.txt")?, list("unviable.txt")?);
    tally.missed = list("missed.txt")?;
    let tried = caught.len() + timeout.len() + unviable.len() + tally.missed.len();
    ensure!(tried == mutants.len(), "{} mutants were to be tried, {tried} were", mutants.len());
    tally.caught += caught.len();
    tally.timeout += timeout.len();
    tally.unviable += unviable.len();
    Ok(())
}

fn lines(file: &Path) -> Result<Vec<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Prints what became of all; an error if too few were caught. One that hangs is noticed, so it
/// counts as caught.
fn report(tallies: &BTreeMap<String, Tally>, least: u8) -> Result<()> {
    let width = tallies.keys().map(String::len).max().unwrap_or(0).max("module".len());
    println!("\n{:width$}  caught  missed  timeout  unviable  s/mutant", "module");
    let (mut noticed, mut viable) = (0, 0);
    for (module, tally) in tallies {
        let Tally { caught, timeout, unviable, missed, time } = tally;
        let tried = caught + timeout + unviable + missed.len();
        let seconds = time.as_secs_f64() / tried.max(1) as f64;
        let missed = missed.len();
        println!(
            "{module:width$}  {caught:6}  {missed:6}  {timeout:7}  {unviable:8}  {seconds:8.1}"
        );
        noticed += caught + timeout;
        viable += caught + timeout + missed;
    }
    let missed: Vec<&String> = tallies.values().flat_map(|tally| &tally.missed).collect();
    if !missed.is_empty() {
        println!("\nmissed:");
    }
    for name in missed {
        println!("{name}");
    }
    println!("\n{noticed} of {viable} viable mutants were caught");
    if noticed * 100 < viable * usize::from(least) {
        bail!("fewer than {least} % of the viable mutants were caught");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_first_module_that_fits() {
        assert_eq!(module_of("cache/policy/queue.rs"), "cache/policy");
        assert_eq!(module_of("cache/core.rs"), "cache");
        assert_eq!(module_of("clock.rs"), "clock");
        assert_eq!(module_of("wait/gate.rs"), "wait");
        assert_eq!(module_of("lib.rs"), "lib");
    }

    #[test]
    fn unit_tests_are_those_of_the_module_alone() {
        let args = unit_tests("cache").join(" ");
        assert!(args.contains("=cache ") && args.contains("--skip=cache::policy"), "{args}");
        assert!(args.contains("--skip=loop_cache") && !args.contains("flight"), "{args}");
    }

    #[test]
    fn the_table_names_what_there_is() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let names =
            fs::read_dir(root.join("tests"))?.map(|entry| Ok(entry?.file_name().into_string()));
        let names: Vec<String> = names.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let fits = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name.strip_suffix(".rs").unwrap_or(name) == pattern,
        };
        for module in MODULES {
            let path = root.join("src").join(module.path);
            assert!(path.is_dir() || path.with_extension("rs").is_file(), "src/{}", module.path);
            for pattern in module.tests {
                assert!(names.iter().any(|name| fits(pattern, name)), "tests/{pattern}");
            }
        }
        Ok(())
    }
}
