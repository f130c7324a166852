//! The headers: up to date, able to stand alone, and true to the library.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::cmd::Cmd;
use crate::header;
use crate::native::{self, Language};
use crate::tool;

/// Declarations that every program may use through `docache.h`, and through `docache.hpp`, which
/// includes it.
const USE: &str = "docache_status docache_probe_NAME(void);\n\
    docache_status docache_probe_NAME(void) { return DOCACHE_OK; }\n";

pub(super) fn drift() -> Result<String> {
    header::check()?;
    Ok(String::new())
}

/// Each header is the first and only include of two files that are linked into one program.
pub(super) fn alone() -> Result<String> {
    tool::need(&[&tool::CC, &tool::CXX])?;
    native::build_library()?;
    let dir = tempfile::tempdir()?;
    for (language, header) in
        [(Language::C, "docache.h"), (Language::Cpp, "docache.h"), (Language::Cpp, "docache.hpp")]
    {
        two_files(dir.path(), language, header)?;
    }
    Ok(String::new())
}

fn two_files(dir: &Path, language: Language, header: &str) -> Result<()> {
    let suffix = language.suffix();
    let first = dir.join(format!("first.{suffix}"));
    let second = dir.join(format!("second.{suffix}"));
    let include = format!("#include <{header}>\n");
    fs::write(
        &first,
        format!("{include}{}int main(void) {{ return 0; }}\n", USE.replace("NAME", "first")),
    )?;
    fs::write(&second, format!("{include}{}", USE.replace("NAME", "second")))?;
    let executable = dir.join(format!("{suffix}-{header}.out"));
    language
        .compiler()
        .arg(first)
        .arg(second)
        .arg(native::LIBRARY)
        .words(native::SYSTEM_LIBRARIES)
        .arg("-o")
        .arg(executable)
        .run()
}

/// The dynamic library exports the functions that the header declares, and no other name of ours.
pub(super) fn symbols() -> Result<String> {
    tool::need(&[&tool::CC])?;
    native::build_library()?;
    let names = Cmd::new("nm").words("-D --defined-only target/release/libdocache.so").read()?;
    let exported: BTreeSet<&str> = names
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|name| name.starts_with("docache_"))
        .collect();
    let functions = header::functions()?;
    let declared: BTreeSet<&str> = functions.iter().map(String::as_str).collect();
    let undeclared: Vec<_> = exported.difference(&declared).collect();
    let absent: Vec<_> = declared.difference(&exported).collect();
    ensure!(undeclared.is_empty(), "exported but not in the header: {undeclared:?}");
    ensure!(absent.is_empty(), "in the header but not exported: {absent:?}");
    ensure!(!declared.is_empty(), "the header declares no function");
    Ok(format!("{} functions", declared.len()))
}
