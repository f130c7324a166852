//! The programs that use the C ABI from C, C++ and Go.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::app;
use crate::cmd::Cmd;
use crate::golang;
use crate::native::{self, Flavor, Language, Program};
use crate::servers::{self, Server};
use crate::tool;

const VALGRIND: &str = "valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible \
    --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=99 --fair-sched=try \
    --suppressions=ffi-tests/valgrind.supp";
/// As a user would run it, who knows of nothing that is to be suppressed.
const VALGRIND_PLAIN: &str =
    "valgrind --quiet --leak-check=full --error-exitcode=99 --fair-sched=try";
/// The program that ends all of the library's threads.
const SHUTDOWN: &str = "c-test-shutdown";
const SANITIZERS: &str =
    "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all";

pub(super) fn library() -> Result<String> {
    native::build_library()?;
    Ok(String::new())
}

pub(super) fn c() -> Result<String> {
    plain(Language::C)
}

pub(super) fn cpp() -> Result<String> {
    plain(Language::Cpp)
}

/// C and C++ programs over stores on servers, which are given their URLs.
pub(super) fn stores() -> Result<String> {
    tool::need(&[&tool::CC, &tool::CXX])?;
    servers::need()?;
    let (redis, nats) = (Server::redis()?, Server::nats()?);
    let flavor = Flavor {
        name: "stores",
        archive: native::build_library_with_stores()?,
        arguments: [&redis, &nats].map(|server| server.url().to_owned()).into(),
        ..Flavor::plain()
    };
    native::run_all(&native::server_programs()?, &flavor)
}

pub(super) fn shared() -> Result<String> {
    tool::need(&[&tool::CC])?;
    native::build_library()?;
    let library = "target/release/libdocache.so";
    let dynamic = Cmd::new("readelf").args(["-d", library]).read()?;
    let name = dynamic.lines().find(|line| line.contains("(SONAME)"));
    ensure!(
        name.is_some_and(|line| line.ends_with(&format!("[{}]", native::SONAME))),
        "the SONAME is {name:?}"
    );
    let program = "target/native/unload";
    std::fs::create_dir_all("target/native")?;
    let cc = Language::C.compiler().args(["ffi-tests/beside/unload.c", "-o", program]);
    cc.words(native::SYSTEM_LIBRARIES).run()?;
    Cmd::new(program).arg(library).limit(Duration::from_secs(60)).run()?;
    Ok(String::new())
}

fn plain(language: Language) -> Result<String> {
    tool::need(&[language.tool()])?;
    native::build_library()?;
    native::run_all(&native::programs(language)?, &Flavor::plain())
}

pub(super) fn valgrind() -> Result<String> {
    tool::need(&[&tool::CC, &tool::CXX, &tool::VALGRIND])?;
    native::build_library()?;
    let flavor = Flavor { name: "valgrind", flags: "-O1 -g", runner: VALGRIND, ..Flavor::plain() };
    let note = native::run_all(&all_programs()?, &flavor)?;
    let clean: Vec<Program> =
        native::programs(Language::C)?.into_iter().filter(|p| p.name == SHUTDOWN).collect();
    ensure!(!clean.is_empty(), "there is no {SHUTDOWN}");
    native::run_all(&clean, &Flavor { runner: VALGRIND_PLAIN, ..flavor })?;
    Ok(note)
}

/// Both sides are instrumented: the programs by the C compiler, the library by rustc, without what
/// makes its release profile slow to build.
pub(super) fn sanitizers() -> Result<String> {
    tool::need(&[&tool::CC, &tool::CXX])?;
    let flavor = Flavor {
        name: "sanitizers",
        flags: SANITIZERS,
        archive: sanitized_library()?,
        runner: "",
        envs: &[
            ("ASAN_OPTIONS", "detect_stack_use_after_return=1"),
            ("UBSAN_OPTIONS", "print_stacktrace=1"),
        ],
        arguments: Vec::new(),
    };
    native::run_all(&all_programs()?, &flavor)
}

fn sanitized_library() -> Result<PathBuf> {
    let host = native::host()?;
    Cmd::cargo(
        "rustc -p docache-capi --crate-type staticlib --release --target-dir target/asan --target",
    )
    .arg(&host)
    .env("RUSTC_BOOTSTRAP", "1")
    .env("RUSTFLAGS", "-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer")
    .env("CARGO_PROFILE_RELEASE_LTO", "off")
    .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
    .run()?;
    Ok(["target/asan", &host, "release/libdocache.a"].iter().collect())
}

fn all_programs() -> Result<Vec<Program>> {
    let programs: Result<Vec<_>> = Language::ALL.into_iter().map(native::programs).collect();
    Ok(programs?.into_iter().flatten().collect())
}

pub(super) fn go() -> Result<String> {
    tool::need(&[&tool::GO, &tool::CC])?;
    native::build_library()?;
    golang::vet()?;
    golang::test("", &[])?;
    Ok(String::new())
}

pub(super) fn go_stores() -> Result<String> {
    test_go_stores("")
}

pub(super) fn go_stores_race() -> Result<String> {
    test_go_stores("-race")
}

fn test_go_stores(flags: &str) -> Result<String> {
    tool::need(&[&tool::GO, &tool::CC])?;
    servers::need()?;
    native::build_library()?;
    golang::test_stores(flags)?;
    Ok(String::new())
}

pub(super) fn go_app() -> Result<String> {
    tool::need(&[&tool::GO, &tool::CC])?;
    native::build_library()?;
    app::check()?;
    Ok(String::new())
}

pub(super) fn go_examples() -> Result<String> {
    tool::need(&[&tool::GO, &tool::CC])?;
    native::build_library()?;
    golang::examples()
}

pub(super) fn go_race() -> Result<String> {
    tool::need(&[&tool::GO, &tool::CC])?;
    native::build_library()?;
    golang::test("-race", &[])?;
    Ok(String::new())
}

pub(super) fn go_cgocheck() -> Result<String> {
    tool::need(&[&tool::GO, &tool::CC])?;
    native::build_library()?;
    golang::test("", &[("GOEXPERIMENT", "cgocheck2"), ("GODEBUG", "cgocheck=1")])?;
    Ok(String::new())
}

pub(super) fn gofmt() -> Result<String> {
    tool::need(&[&tool::GO])?;
    let unformatted = Cmd::new("gofmt")
        .arg("-l")
        .args(golang::SOURCES)
        .args([app::SOURCES, "benches/peers/go", "examples"])
        .read()?;
    if !unformatted.is_empty() {
        bail!("run `gofmt -w` on:\n{}", unformatted.trim_end());
    }
    Ok(String::new())
}
