//! `ffi-tests/app` and `ffi-tests/beside`: somebody's program, vendored, built in the ways that the
//! Go module promises, and run; and what the compiler says where it cannot be built.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::archive;
use crate::cmd::Cmd;
use crate::native::{self, Language};

pub(crate) const SOURCES: &str = "ffi-tests/app";

const LIMIT: Duration = Duration::from_secs(60);
const WORKS: &str = "the app works";
const NO_CGO: &str = "docache_needs_cgo__set_CGO_ENABLED_to_1";
const NO_LIBRARY: &str = "build it with: cargo xtask go-lib";

/// A copy of the program in a folder of its own, with all that it needs from this repository in
/// `vendor`.
struct App {
    dir: tempfile::TempDir,
}

impl App {
    /// Vendors the program, and takes away what it was vendored from.
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let app = Self { dir };
        let module = app.dir.path().join("go");
        copy_module(Path::new("go"), &module)?;
        archive::write(native::LIBRARY.as_ref(), &native::host()?, &module.join("internal/clib"))?;
        copy_files(Path::new(SOURCES), &app.path())?;
        app.go().words("mod vendor").run()?;
        fs::remove_dir_all(&module)?;
        Ok(app)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(SOURCES)
    }

    fn library(&self) -> PathBuf {
        self.path().join("vendor/docache/internal/clib")
    }

    fn go(&self) -> Cmd {
        Cmd::new("go").dir(self.path())
    }

    fn build(&self, tags: &str) -> Cmd {
        self.build_with_cgo("1", tags)
    }

    fn build_with_cgo(&self, enabled: &str, tags: &str) -> Cmd {
        let tags = format!("-tags={tags}");
        self.go().words("build -o app").arg(tags).arg(".").env("CGO_ENABLED", enabled)
    }

    fn run(&self) -> Cmd {
        Cmd::new(self.path().join("app")).limit(LIMIT)
    }
}

/// Everything that is promised of a program that requires the module.
pub(crate) fn check() -> Result<()> {
    let app = App::new()?;
    app.build("").run()?;
    ensure!(app.run().read()?.contains(WORKS));
    system_library(&app)?;
    beside_another(&app)?;
    refusals(&app)
}

/// With docache_system the library comes from wherever the system's tools look.
fn system_library(app: &App) -> Result<()> {
    let libraries = fs::canonicalize("target/release")?;
    app.build("docache_system").env("LIBRARY_PATH", &libraries).run()?;
    let needed = Cmd::new("readelf").arg("-d").arg(app.path().join("app")).read()?;
    ensure!(needed.contains(native::SONAME), "the app needs no {}", native::SONAME);
    ensure!(!needed.contains("RUNPATH"), "the app has a path in it");
    ensure!(app.run().env("LD_LIBRARY_PATH", &libraries).read()?.contains(WORKS));
    Ok(())
}

/// Another Rust library fits into one program with ours, in either order, however it was optimized.
fn beside_another(app: &App) -> Result<()> {
    for lto in ["off", "thin", "fat"] {
        let lto = format!("lto={lto}");
        let beside = app.path().join("libbeside.a");
        let rustc =
            Cmd::new("rustc").words("--edition 2024 --crate-type staticlib -C opt-level=2 -C");
        rustc
            .arg(&lto)
            .args(["--crate-name", "beside"])
            .arg("ffi-tests/beside/lib.rs")
            .arg("-o")
            .arg(&beside)
            .run()?;
        let ours = app.library().join("libdocache.a");
        for archives in [[&ours, &beside], [&beside, &ours]] {
            let program = app.path().join("beside");
            let cc = Language::C.compiler().arg("ffi-tests/beside/main.c").args(archives);
            cc.words(native::SYSTEM_LIBRARIES).arg("-o").arg(&program).run()?;
            Cmd::new(&program).limit(LIMIT).run()?;
        }
        app.build("beside").run()?;
        ensure!(app.run().read()?.contains(WORKS));
    }
    Ok(())
}

/// What cannot be built says so in one line, with what to do.
fn refusals(app: &App) -> Result<()> {
    refuses(&app.build_with_cgo("0", ""), NO_CGO)?;
    // Cgo is off by default for another platform.
    let other = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    refuses(&app.build_with_cgo("", "").env("GOARCH", other), NO_CGO)?;
    fs::write(app.library().join("built.h"), archive::built("aarch64-apple-darwin", 0)?)?;
    refuses(
        &app.build(""),
        "libdocache.a is for aarch64-apple-darwin; for this platform run: cargo xtask go-lib",
    )?;
    for name in ["built.h", "libdocache.a"] {
        fs::remove_file(app.library().join(name))?;
    }
    refuses(&app.build(""), NO_LIBRARY)?;
    refuses(&app.build("docache_shared"), NO_LIBRARY)
}

/// Building fails, and says `line`, and no other error.
fn refuses(build: &Cmd, line: &str) -> Result<()> {
    let said = build.read_failure()?;
    // Go says which package a message is about; C compilers show the line, and where it was
    // included.
    let errors = |text: &&str| {
        text.contains("error:") || text.contains(".go:") && !text.contains("included from")
    };
    let errors: Vec<&str> = said.lines().filter(errors).collect();
    ensure!(
        errors.len() == 1 && errors[0].contains(line),
        "instead of one line with {line:?}:\n{said}"
    );
    println!("{}", errors[0]);
    Ok(())
}

/// A copy of the Go module without what go-lib puts into it.
fn copy_module(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let path = entry?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_module(&path, &place)?;
        } else if !from.ends_with("clib") || path.extension().is_some_and(|suffix| suffix == "go") {
            fs::copy(&path, &place)?;
        }
    }
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
