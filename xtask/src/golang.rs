//! The Go module, the Go tests of the C ABI, and the Go examples.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::archive;
use crate::cmd::Cmd;
use crate::native;
use crate::readme;

/// The directories that hold a Go module of this repository whose tests need nothing else.
const MODULES: [&str; 2] = ["go", "ffi-tests/go"];

/// The Go module whose tests need servers, and the other side.
const STORES: &str = "go/echocache/store";

/// The directories that hold all Go modules of this repository.
pub(crate) const SOURCES: [&str; 2] = MODULES;

/// The other side of the tests of the stores, as cargo leaves it.
const PEER: &str = "target/debug/examples/echo_peer";

const EXAMPLE_LIMIT: Duration = Duration::from_secs(120);

/// A `go` command in a module, with cgo.
///
/// Go does not notice a changed header outside the module, so the header is made part of the C
/// flags.
pub(crate) fn go(module: &str) -> Result<Cmd> {
    ensure!(Path::new(module).join("go.mod").exists(), "{module} holds no go.mod");
    let mut hasher = DefaultHasher::new();
    for header in native::sources("include", "h")? {
        fs::read(&header)
            .with_context(|| format!("cannot read {}", header.display()))?
            .hash(&mut hasher);
    }
    let flags = format!("-O2 -g -DDOCACHE_HEADER_ID=0x{:016x}", hasher.finish());
    Ok(Cmd::new("go").dir(module).env("CGO_ENABLED", "1").env("CGO_CFLAGS", flags))
}

/// `go vet` in all modules.
pub(crate) fn vet() -> Result<()> {
    archive::refresh()?;
    MODULES.iter().chain([&STORES]).try_for_each(|module| go(module)?.words("vet ./...").run())
}

/// `go test` in the modules that need no servers.
pub(crate) fn test(flags: &str, envs: &[(&str, &str)]) -> Result<()> {
    MODULES.iter().try_for_each(|module| test_module(module, flags, envs))
}

/// `go test` of the stores, beside the stores for Rust. The tests start the servers.
pub(crate) fn test_stores(flags: &str) -> Result<()> {
    Cmd::cargo("build -p docache --all-features --example echo_peer --target-dir target").run()?;
    let peer = fs::canonicalize(PEER).with_context(|| format!("cargo did not leave {PEER}"))?;
    test_module(STORES, flags, &[("DOCACHE_ECHO_PEER", &peer.to_string_lossy())])
}

/// `go test` in a module, always linked and run afresh: the static library is not part of Go's
/// cache key.
fn test_module(module: &str, flags: &str, envs: &[(&str, &str)]) -> Result<()> {
    archive::refresh()?;
    let mut cmd = go(module)?.words("test -count=1").words(flags).arg("./...");
    for (name, value) in envs {
        cmd = cmd.env(name, *value);
    }
    cmd.run()
}

/// Builds and runs the Go examples: `examples/*.go`, one program per file, and the one in
/// README.md, in the context of the module `go`.
pub(crate) fn examples() -> Result<String> {
    let mut files = native::sources("examples", "go")?;
    ensure!(!files.is_empty(), "examples holds no *.go file");
    files.push(readme::program("go")?);
    archive::refresh()?;
    let dir = Path::new("target/native/go");
    fs::create_dir_all(dir)?;
    for file in &files {
        let executable = dir.join(file.file_stem().unwrap_or_default());
        let above = |path: &Path| PathBuf::from("..").join(path);
        go("go")?.args(["build", "-o"]).arg(above(&executable)).arg(above(file)).run()?;
        Cmd::new(&executable).limit(EXAMPLE_LIMIT).run()?;
    }
    Ok(format!("{} programs", files.len()))
}
