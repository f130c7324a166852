//! `cargo xtask go-lib`: the static library as one object that defines nothing but the functions of
//! docache.h, put where the Go module, or any other build, can take it along.
//!
//! What rustc leaves is an archive of objects, Rust's standard library among them. Another Rust
//! library in the same program brings that too, and as soon as either was optimized at link time
//! the two define the same names in objects that are both needed. So here all is linked into one
//! object, without groups that the linker would share with the other library's, and every name but
//! ours is made local.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cmd::Cmd;
use crate::{header, native};

/// Where the Go module has its copy.
pub(crate) const GO: &str = "go/internal/clib";

const ARCHIVE: &str = "libdocache.a";
const HEADER: &str = "docache.h";
/// Names the target and the contents of the archive, so that Go links again when there is another.
const BUILT: &str = "built.h";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to put docache.h, libdocache.a and built.h
    #[arg(long, default_value = GO)]
    dir: PathBuf,
    /// The Rust target to build for, if not this machine's; its binutils go by the prefix
    /// DOCACHE_BINUTILS
    #[arg(long)]
    target: Option<String>,
}

/// Builds the library, and writes it and its header into a folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let archive = match &options.target {
        None => {
            native::build_library()?;
            native::LIBRARY.into()
        }
        Some(target) => {
            Cmd::cargo("build --release -p docache-capi --target-dir target --target")
                .arg(target)
                .run()?;
            Path::new("target").join(target).join("release").join(ARCHIVE)
        }
    };
    let target = options.target.clone().map_or_else(native::host, Ok)?;
    write(&archive, &target, &options.dir)
}

/// Brings the Go module's copy up to date, if there is one: else Go would go on linking it.
pub(crate) fn refresh() -> Result<()> {
    if Path::new(GO).join(ARCHIVE).exists() {
        write(native::LIBRARY.as_ref(), &native::host()?, GO.as_ref())
    } else {
        Ok(())
    }
}

/// Writes header and archive into `dir`.
pub(crate) fn write(archive: &Path, target: &str, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let place = dir.join(ARCHIVE);
    if target.contains("linux") {
        isolate(archive, &place)?;
    } else {
        // Other linkers have other ways to do this.
        fs::copy(archive, &place)?;
    }
    fs::copy(header::HEADER, dir.join(HEADER))?;
    let mut hasher = DefaultHasher::new();
    fs::read(&place)?.hash(&mut hasher);
    fs::read(header::HEADER)?.hash(&mut hasher);
    fs::write(dir.join(BUILT), built(target, hasher.finish())?)?;
    println!("{}, {HEADER} and {BUILT} are for {target}", place.display());
    Ok(())
}

/// The text of built.h: a compiler for another platform stops at it, with the command that helps.
pub(crate) fn built(target: &str, hash: u64) -> Result<String> {
    let (processor, system) = (target.split('-').next().unwrap_or_default(), target);
    let processor = match processor {
        "x86_64" => "__x86_64__",
        "aarch64" => "__aarch64__",
        other => {
            bail!("Go has no name for the processor {other} here; add it to xtask/src/archive.rs")
        }
    };
    let system = ["linux", "apple"].into_iter().find(|name| system.contains(name));
    let system = if system == Some("apple") { "__APPLE__" } else { "__linux__" };
    Ok(format!(
        "/* Written by `cargo xtask go-lib`. */\n\
         #define DOCACHE_BUILT 0x{hash:016x}\n\
         #if !defined({processor}) || !defined({system})\n\
         #error \"docache: libdocache.a is for {target}; for this platform run: cargo xtask go-lib --target <its Rust target>\"\n\
         #endif\n"
    ))
}

/// Makes the archive `to` of one object in which all names of `from` are local but the functions of
/// the header.
fn isolate(from: &Path, to: &Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (whole, object, local) =
        (dir.path().join("whole.o"), dir.path().join("docache.o"), dir.path().join("local"));
    let functions = header::functions()?;
    ensure!(!functions.is_empty(), "the header declares no function");
    let wanted = functions.iter().flat_map(|name| ["-u", name]);
    binutil("ld")
        .words("-r --force-group-allocation -o")
        .arg(&whole)
        .args(wanted)
        .arg(from)
        .run_quietly()?;
    // The bitcode that rustc embeds is none any more once it is joined, and would confuse tools
    // that look for it.
    let bitcode = "--remove-section=.llvmbc --remove-section=.llvmcmd";
    binutil("objcopy").words(bitcode).arg(&whole).run_quietly()?;
    let names =
        binutil("nm").words("--defined-only --extern-only --format=posix").arg(&whole).read()?;
    let foreign = names.lines().filter_map(|line| line.split_whitespace().next());
    let foreign: Vec<&str> =
        foreign.filter(|name| !functions.iter().any(|ours| ours == name)).collect();
    fs::write(&local, foreign.join("\n")).context("cannot write the names to hide")?;
    let list = format!("--localize-symbols={}", local.display());
    binutil("objcopy").arg(list).arg(&whole).arg(&object).run_quietly()?;
    if to.exists() {
        fs::remove_file(to)?;
    }
    binutil("ar").arg("rcs").arg(to).arg(&object).run_quietly()
}

/// A tool of binutils, with the prefix that the environment gives for other platforms, such as
/// `aarch64-linux-gnu-`.
fn binutil(name: &str) -> Cmd {
    Cmd::new(std::env::var("DOCACHE_BINUTILS").unwrap_or_default() + name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_beside_the_archive_names_its_platform() {
        let text = built("aarch64-unknown-linux-gnu", 7).unwrap();
        assert!(text.contains("!defined(__aarch64__) || !defined(__linux__)"), "{text}");
        assert!(text.contains("0x0000000000000007"), "{text}");
        assert!(built("x86_64-apple-darwin", 0).unwrap().contains("__APPLE__"));
        assert!(built("mips-unknown-linux-gnu", 0).is_err());
    }
}
