//! What cargo does by itself: tests, style, documentation.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cmd::Cmd;
use crate::servers::{self, Server};
use crate::{native, tool};

const QUICKSTART_LIMIT: Duration = Duration::from_secs(60);
/// The columns of a narrow terminal.
const TERMINAL: usize = 80;

/// Together with another package docache would be built with other features of its dependencies
/// than in later steps, so xtask comes by itself.
const TESTS: [&str; 2] = ["test -p docache --all-features --lib --bins --tests", "test -p xtask"];

pub(super) fn build() -> Result<String> {
    TESTS.iter().try_for_each(|tests| Cmd::cargo(tests).arg("--no-run").run())?;
    Ok(String::new())
}

/// Those of remote stores start servers of their own.
pub(super) fn tests() -> Result<String> {
    servers::need()?;
    TESTS.iter().try_for_each(|tests| Cmd::cargo(tests).run())?;
    Ok(String::new())
}

pub(super) fn nats_current() -> Result<String> {
    // They wait more than they work.
    Cmd::cargo("test -p docache --all-features --test remote_nats -- --test-threads 8")
        .env("DOCACHE_NATS_SERVER", servers::current_nats()?)
        .run()?;
    Ok(String::new())
}

pub(super) fn holders() -> Result<String> {
    servers::need()?;
    Cmd::cargo("test -p docache --all-features --test remote_redis --test remote_nats")
        .words("-- killed --nocapture")
        .env("DOCACHE_TEST_KILLS", "50")
        .run()?;
    Ok(String::new())
}

/// The tests in which there are more threads than cores, for as long as it takes until something
/// goes wrong.
pub(super) fn host() -> Result<String> {
    Cmd::cargo("test -p docache --all-features --test host")
        .env("DOCACHE_HOST_SECONDS", "30")
        .run()?;
    Ok(String::new())
}

/// Tests once more, with the readers guarded as they are where there is no `membarrier`: those of
/// the cache from outside, and of the modules that have a fence.
pub(super) fn portable() -> Result<String> {
    const TESTS: [&str; 2] = [
        "--test cache_guard --test cache_stress --test cache_linear --test host",
        "--lib -- cache::reclaim cache::store lock:: sync::",
    ];
    for tests in TESTS {
        Cmd::cargo("test -p docache --target-dir target/portable")
            .words(tests)
            .env("RUSTFLAGS", "--cfg docache_portable")
            .run()?;
    }
    Ok(String::new())
}

pub(super) fn doc_tests() -> Result<String> {
    Cmd::cargo("test -p docache --all-features --doc").run()?;
    Ok(String::new())
}

/// The Rust programs of `examples`; each ends with an error if it does not do what it says.
pub(super) fn examples() -> Result<String> {
    servers::need()?;
    let mut names = Vec::new();
    for path in native::sources("examples", "rs")? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let server = match name.as_str() {
            "echo_redis" => Some(Server::redis()?),
            "echo_nats" => Some(Server::nats()?),
            _ => None,
        };
        Cmd::cargo("run -p docache --all-features --example")
            .args([&name, "--"])
            .args(server.iter().map(Server::url))
            .limit(QUICKSTART_LIMIT * 5)
            .run()?;
        names.push(name);
    }
    ensure!(!names.is_empty(), "examples holds no *.rs file");
    Ok(names.join(", "))
}

pub(super) fn quickstart() -> Result<String> {
    Cmd::cargo("build -p quickstart --target-dir target").run()?;
    let shown = Cmd::new("target/debug/quickstart").limit(QUICKSTART_LIMIT).read()?;
    println!("{shown}");
    let wide = shown.lines().find(|line| line.chars().count() > TERMINAL);
    ensure!(wide.is_none(), "more than {TERMINAL} columns: {}", wide.unwrap_or_default());
    Ok(String::new())
}

pub(super) fn fmt() -> Result<String> {
    tool::need(&[&tool::RUSTFMT])?;
    Cmd::cargo("fmt --all --check").run()?;
    if Path::new("fuzz/Cargo.toml").exists() {
        Cmd::cargo("fmt --all --check --manifest-path fuzz/Cargo.toml").run()?;
    }
    Ok(String::new())
}

pub(super) fn clippy() -> Result<String> {
    tool::need(&[&tool::CLIPPY])?;
    Cmd::cargo("clippy --workspace --all-targets --all-features -- -D warnings").run()?;
    Ok(String::new())
}

pub(super) fn doc() -> Result<String> {
    Cmd::cargo("doc -p docache --no-deps --all-features")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(String::new())
}
