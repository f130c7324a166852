//! What Cargo.toml promises: features that stand alone, few dependencies, a minimum Rust version.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cargo_metadata::semver::Version;
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::cmd::Cmd;
use crate::tool;

/// All that the default features may bring in, with what each of them needs.
const DEFAULT_DEPENDENCIES: [&str; 9] = [
    "allocator-api2",
    "arc-swap",
    "crossbeam-epoch",
    "crossbeam-utils",
    "equivalent",
    "foldhash",
    "hashbrown",
    "libc",
    "rustversion",
];

/// Dependencies that declare no rust-version but are tested by their authors with one that is older
/// than ours.
const UNDECLARED: [&str; 1] = ["arc-swap"];

/// `cargo hack` is run without --no-dev-deps: that rewrites Cargo.toml while it runs, and `clippy`
/// of a library does not see the dev-dependencies anyway. `full` is what the other steps build;
/// `signals` is of `run` and `redis-tls` of its client, so pairs with them say little more than
/// they do by themselves; `serde` comes with `redis` and `nats`. `capi` has pairs with both, as the
/// C libraries are built.
pub(super) fn powerset() -> Result<String> {
    tool::need(&[&tool::CARGO_HACK, &tool::CLIPPY])?;
    const ALONE: &str = "serde,signals,redis-tls";
    const PAIRS: [&str; 2] = ["capi,serde", "capi,signals"];
    const LIBRARY: &str = "-p docache --lib -- -D warnings";
    Cmd::cargo("hack clippy --feature-powerset --depth 2 --exclude-features")
        .arg(format!("full,{ALONE}"))
        .words(LIBRARY)
        .run()?;
    Cmd::cargo("hack clippy --each-feature --exclude-no-default-features --exclude-all-features")
        .args(["--include-features", ALONE])
        .words(LIBRARY)
        .run()?;
    PAIRS
        .iter()
        .try_for_each(|pair| Cmd::cargo("clippy --features").arg(*pair).words(LIBRARY).run())?;
    Ok(String::new())
}

pub(super) fn dependencies() -> Result<String> {
    let found = normal_dependencies("--edges normal")?;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let unexpected: Vec<_> =
        names.iter().filter(|name| !DEFAULT_DEPENDENCIES.contains(name)).collect();
    ensure!(unexpected.is_empty(), "the default features must not bring in {unexpected:?}");
    Ok(names.join(", "))
}

/// The name and the version of every package that docache needs on this platform, directly or not.
fn normal_dependencies(flags: &str) -> Result<BTreeSet<(String, String)>> {
    let tree = Cmd::cargo("tree -p docache --prefix none --format {p}").words(flags).read()?;
    let mut found = BTreeSet::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let version = words.next().and_then(|version| version.strip_prefix('v'));
        let version = version
            .with_context(|| format!("`cargo tree` printed {line:?}, which names no version"))?;
        if name != "docache" {
            found.insert((name.to_owned(), version.to_owned()));
        }
    }
    Ok(found)
}

/// Features whose dependencies need a later Rust than Cargo.toml names, by what they declare: not
/// all do.
const LATER: [(&str, Version); 2] =
    [("redis-tls", Version::new(1, 88, 0)), ("nats", Version::new(1, 89, 0))];

/// Checks with the minimum toolchain itself if rustup has it, else by what clippy and the
/// dependencies know: the parts of the standard library that are used, but not the language.
pub(super) fn msrv() -> Result<String> {
    let metadata = MetadataCommand::new().features(CargoOpt::AllFeatures).exec()?;
    let package = metadata.root_package().context("the workspace has no root package")?;
    let minimum = package.rust_version.clone().context("Cargo.toml names no rust-version")?;
    let mut later = Vec::new();
    for (feature, minimum) in &LATER {
        let checked = check_dependencies(&metadata, (feature, minimum), |_| true)?;
        later.push(format!("{feature}: {minimum}, {checked} dependencies"));
    }
    let later = later.join("; ");
    if let Some(toolchain) = installed_toolchain(&minimum) {
        Cmd::new("cargo")
            .arg(format!("+{toolchain}"))
            .words("check -p docache --lib --features capi,signals --target-dir target/msrv")
            .run()?;
        return Ok(format!("checked with the toolchain {toolchain}; {later}"));
    }
    println!("no toolchain {}.{} is installed", minimum.major, minimum.minor);
    tool::need(&[&tool::CLIPPY])?;
    Cmd::cargo("clippy -p docache --lib --all-features -- -D clippy::incompatible_msrv").run()?;
    let checked = check_dependencies(&metadata, ("capi,signals", &minimum), |name| {
        UNDECLARED.contains(&name)
    })?;
    Ok(format!(
        "no such toolchain: std's API by clippy::incompatible_msrv, {checked} dependencies by rust-version; {later}"
    ))
}

/// The name of an installed toolchain of the same minor version.
fn installed_toolchain(minimum: &Version) -> Option<String> {
    let listing = Cmd::new("rustup").args(["toolchain", "list"]).read().ok()?;
    let prefix = format!("{}.{}", minimum.major, minimum.minor);
    let mut names = listing.lines().filter_map(|line| line.split_whitespace().next());
    let is_minimum =
        |name: &&str| name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(['.', '-']));
    names.find(is_minimum).map(str::to_owned)
}

/// Every dependency of the package with this feature, direct or not, must declare a rust-version of
/// at most `minimum`, or none and be one of the `undeclared` that are known to work with it.
/// Returns how many there are.
fn check_dependencies(
    metadata: &Metadata,
    (feature, minimum): (&str, &Version),
    undeclared: impl Fn(&str) -> bool,
) -> Result<usize> {
    let reached = normal_dependencies(&format!("--edges normal --features {feature}"))?;
    let mut problems = Vec::new();
    for (name, version) in &reached {
        let same = metadata.packages.iter().find(|package| {
            package.name.as_str() == name && package.version.to_string() == *version
        });
        let package =
            same.with_context(|| format!("`cargo metadata` does not know {name} {version}"))?;
        match &package.rust_version {
            Some(needed) if needed <= minimum => {}
            Some(needed) => problems.push(format!("{name} {version} needs Rust {needed}")),
            None if undeclared(name) => {}
            None => problems.push(format!("{name} {version} declares no rust-version")),
        }
    }
    ensure!(problems.is_empty(), "the rust-version is {minimum}, but {}", problems.join("; "));
    Ok(reached.len())
}
