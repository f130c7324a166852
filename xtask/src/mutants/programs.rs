//! The tests outside `tests`: the C and C++ programs, and the programs of the documentation.
//!
//! cargo-mutants runs `cargo test` and nothing else, and first `cargo test --no-run`, which the
//! documentation's do not know. So the change is made here: what cargo-mutants says that it would
//! put where. The C and C++ programs are compiled once, since no change reaches a header, and
//! linked with the shared library: then all that a mutant costs is to build that.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cmd::Cmd;
use crate::native::{self, Flavor, Language};
use crate::tool;

use super::sample::Mutant;

/// What a program may take in addition to three times what it took unchanged.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) struct Programs {
    tree: PathBuf,
    build: Cmd,
    /// Those that are over soon first.
    programs: Vec<Program>,
}

struct Program {
    name: String,
    run: Cmd,
    /// How long it took with the unchanged library.
    took: Duration,
}

impl Programs {
    /// Builds the unchanged library and runs all with it, which must succeed.
    pub(super) fn prepare(tree: &Path, target: &Path) -> Result<Self> {
        tool::need(&[&tool::CC, &tool::CXX, &tool::TIMEOUT])?;
        println!("\n== the programs, unchanged");
        let build = super::cargo("build --quiet --package docache-capi", tree, target);
        build.run()?;
        let mut runs = compile(&target.join("debug"))?;
        let doc = super::cargo("test --quiet --package docache --doc --all-features", tree, target);
        // The first time it builds what a mutant does not change.
        doc.run_quietly()?;
        runs.push(("documentation".to_owned(), doc));
        let mut programs = Vec::new();
        for (name, run) in runs {
            let start = Instant::now();
            run.run_quietly().with_context(|| format!("{name} fails without a change"))?;
            programs.push(Program { name, run, took: start.elapsed() });
        }
        programs.sort_by_key(|program| program.took);
        Ok(Self { tree: tree.to_owned(), build, programs })
    }

    /// The program that fails, or hangs, with the change; it must be one that compiles.
    pub(super) fn notice(&self, mutant: &Mutant) -> Result<Option<&str>> {
        let file = self.tree.join("src").join(mutant.path());
        let context = || format!("cannot change {}", file.display());
        let text = fs::read_to_string(&file).with_context(context)?;
        fs::write(&file, mutant.apply(&text)?).with_context(context)?;
        let noticed = self.failing();
        fs::write(&file, text).with_context(context)?;
        noticed.with_context(|| mutant.name().to_owned())
    }

    fn failing(&self) -> Result<Option<&str>> {
        self.build.run_quietly()?;
        let failing = self.programs.iter().find(|program| !program.succeeds());
        Ok(failing.map(|program| &*program.name))
    }
}

/// The C and C++ programs, linked with the shared library in that folder: their names and how they
/// are run.
fn compile(library: &Path) -> Result<Vec<(String, Cmd)>> {
    native::name_shared_library(library)?;
    let flavor = Flavor {
        name: "mutants",
        flags: "-O0",
        archive: library.join("libdocache.so"),
        ..Flavor::plain()
    };
    let mut runs = Vec::new();
    for language in Language::ALL {
        for program in native::programs(language)? {
            let executable = native::compile(&program, &flavor)?;
            runs.push((program.name, Cmd::new(executable).env("LD_LIBRARY_PATH", library)));
        }
    }
    Ok(runs)
}

impl Program {
    fn succeeds(&self) -> bool {
        self.run.succeeds_within(PATIENCE + self.took * 3)
    }
}
