//! The headers under the strictest flags: our users compile them with theirs.
//!
//! What templates and macros come to is seen where they are used, so the programs of `ffi-tests`
//! and `examples` are compiled too; of those, only what is said about a header counts.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::cmd::Cmd;
use crate::native::{self, Language};
use crate::parallel;
use crate::tool;

const GCC: &str = "-O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnull-dereference \
    -Wdouble-promotion -Wcast-qual -Wcast-align=strict -Wundef -Wformat=2 -Wmissing-declarations -Wredundant-decls \
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wswitch-enum -Wswitch-default -Wfloat-equal -Wunused-macros \
    -Wvla -Walloca";
const GCC_C: &str = "-Wstrict-prototypes -Wold-style-definition -Wmissing-prototypes -Wbad-function-cast \
    -Wc++-compat -Wnested-externs -Wdeclaration-after-statement";
const GCC_CPP: &str = "-Wold-style-cast -Wuseless-cast -Weffc++ -Wzero-as-null-pointer-constant -Wnon-virtual-dtor \
    -Woverloaded-virtual -Wextra-semi -Wstrict-null-sentinel -Wnoexcept -Wsuggest-override -Wctor-dtor-privacy \
    -Wsign-promo -Wcomma-subscript -Wredundant-tags -Wmismatched-tags -Wcatch-value=3 -Wdeprecated-copy-dtor";
/// Everything but what asks for older languages, for structs without padding, or for libraries that
/// are not header-only.
const CLANG: &str = "-O2 -Weverything -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-pre-c++14-compat \
    -Wno-pre-c++17-compat -Wno-pre-c++20-compat-pedantic -Wno-declaration-after-statement -Wno-padded \
    -Wno-weak-vtables -Wno-unsafe-buffer-usage -Wno-unknown-warning-option";

const C: [&str; 6] = ["c99", "gnu99", "c11", "gnu11", "c17", "c2x"];
const CPP: [&str; 2] = ["c++17", "c++20"];

/// All that the headers offer without a template.
const USE: &str = r#"#include "docache.h"
size_t all_options(void);
size_t all_options(void) {
  const docache_loop_options a = DOCACHE_LOOP_OPTIONS_INIT;
  const docache_group_options b = DOCACHE_GROUP_OPTIONS_INIT;
  const docache_cache_options c = DOCACHE_CACHE_OPTIONS_INIT;
  const docache_loop_counters d = DOCACHE_LOOP_COUNTERS_INIT;
  const docache_cache_counters e = DOCACHE_CACHE_COUNTERS_INIT;
  const docache_run_group_options f = DOCACHE_RUN_GROUP_OPTIONS_INIT;
  const docache_run_loop_options g = DOCACHE_RUN_LOOP_OPTIONS_INIT;
  const docache_run_actor h = DOCACHE_RUN_ACTOR_INIT;
  const docache_run_loop_actor i = DOCACHE_RUN_LOOP_ACTOR_INIT;
  const docache_backoff j = DOCACHE_BACKOFF_INIT;
  const docache_run_retry_options k = DOCACHE_RUN_RETRY_OPTIONS_INIT;
  const docache_run_cause l = DOCACHE_RUN_CAUSE_INIT;
  const docache_scheduler_options m = DOCACHE_SCHEDULER_OPTIONS_INIT;
  const docache_scheduler_counters n = DOCACHE_SCHEDULER_COUNTERS_INIT;
  return a.size + b.size + c.size + d.size + e.size + f.size + g.size + h.size + i.size + j.size +
         k.size + l.size + m.size + n.size;
}
"#;

pub(super) fn headers() -> Result<String> {
    tool::need(&[&tool::CC, &tool::CXX])?;
    compiler("gcc", GCC, GCC_C, &C, &["ffi-tests/c", "examples"], "c")?;
    compiler("g++", GCC, GCC_CPP, &CPP, &["ffi-tests/cpp", "examples"], "cpp")?;
    compiler("g++", GCC, GCC_CPP, &["c++11"], &[], "cpp")?;
    if tool::need(&[&tool::CLANG]).is_err() {
        return Ok("without clang".into());
    }
    compiler("clang", CLANG, "", &C, &["ffi-tests/c", "examples"], "c")?;
    compiler("clang++", CLANG, "", &CPP, &["ffi-tests/cpp", "examples"], "cpp")?;
    Ok(String::new())
}

/// One compiler, by all `standards`; the programs only by the first that they are written in.
fn compiler(
    name: &str,
    flags: &str,
    more: &str,
    standards: &[&str],
    dirs: &[&str],
    suffix: &str,
) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let small = dir.path().join("small").with_extension(suffix);
    fs::write(&small, USE)?;
    let compile = |standard: &str, source: &Path| {
        let standard = format!("-std={standard}");
        let cmd = Cmd::new(name).arg(standard).words(flags).words(more);
        cmd.args(["-Iinclude", "-c", "-o", "/dev/null"]).arg(source).read_all()
    };
    for standard in standards {
        let said = compile(standard, &small)?;
        ensure!(said.is_empty(), "{name} -std={standard} says:\n{said}");
    }
    let written_in = if suffix == "c" { Language::C } else { Language::Cpp }.standard();
    let mut sources = Vec::new();
    for dir in dirs {
        sources.extend(native::sources(dir, suffix)?);
    }
    let checked = parallel::map(&sources, |source| {
        let said = compile(written_in, source)?;
        let ours =
            said.lines().filter(|line| line.starts_with("include/") && line.contains("warning:"));
        let ours: Vec<&str> = ours.collect();
        ensure!(ours.is_empty(), "{name} says of {}:\n{}", source.display(), ours.join("\n"));
        Ok(())
    });
    checked.into_iter().collect::<Result<()>>()?;
    println!("{name}: clean");
    Ok(())
}
