//! The C and C++ programs of `ffi-tests` and `examples`: compiled against the headers, linked with
//! the static library, run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cmd::Cmd;
use crate::parallel;
use crate::readme;
use crate::tool;

/// The static library that `build_library` makes.
pub(crate) const LIBRARY: &str = "target/release/libdocache.a";

/// What the shared library calls itself (capi/build.rs).
pub(crate) const SONAME: &str = "libdocache.so.0";

/// The features of the library for programs that use stores on servers, and where that is built.
const STORES: &str = "redis,nats";

const WARNINGS: &str = "-Wall -Wextra -Wpedantic -Werror";
pub(crate) const SYSTEM_LIBRARIES: &str = "-lpthread -ldl -lm";
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Cpp,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::C, Self::Cpp];

    /// The name of its directory in `ffi-tests`, which is also the suffix of its files.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Cpp => "cpp",
        }
    }

    /// What the programs are written in.
    pub(crate) fn standard(self) -> &'static str {
        match self {
            Self::C => "c11",
            Self::Cpp => "c++17",
        }
    }

    /// The compiler with the standard and the warnings that every program must pass.
    pub(crate) fn compiler(self) -> Cmd {
        match self {
            Self::C => Cmd::new("cc"),
            Self::Cpp => Cmd::new("c++"),
        }
        .arg(format!("-std={}", self.standard()))
        .words(WARNINGS)
        .arg("-Iinclude")
    }

    pub(crate) fn tool(self) -> &'static tool::Tool {
        match self {
            Self::C => &tool::CC,
            Self::Cpp => &tool::CXX,
        }
    }
}

/// How programs are compiled and run.
pub(crate) struct Flavor {
    /// Names its directory below `target/native`.
    pub(crate) name: &'static str,
    pub(crate) flags: &'static str,
    /// The library, static or shared.
    pub(crate) archive: PathBuf,
    /// Words before the program: the tool that runs it.
    pub(crate) runner: &'static str,
    pub(crate) envs: &'static [(&'static str, &'static str)],
    /// What the programs are given.
    pub(crate) arguments: Vec<String>,
}

impl Flavor {
    pub(crate) fn plain() -> Self {
        Self {
            name: "plain",
            flags: "-O2 -g",
            archive: LIBRARY.into(),
            runner: "",
            envs: &[],
            arguments: Vec::new(),
        }
    }
}

/// One program: its name and the files that it is made of.
pub(crate) struct Program {
    pub(crate) name: String,
    language: Language,
    sources: Vec<PathBuf>,
}

/// Builds the static and the dynamic library with the C ABI, where C, C++ and Go look for them.
pub(crate) fn build_library() -> Result<()> {
    Cmd::cargo("build --release -p docache-capi --target-dir target").run()?;
    ensure!(Path::new(LIBRARY).exists(), "the build did not leave {LIBRARY}");
    name_shared_library(Path::new("target/release"))
}

/// Builds the static library with stores on servers, for tests: unoptimized.
pub(crate) fn build_library_with_stores() -> Result<PathBuf> {
    Cmd::cargo("build -p docache-capi --target-dir target").args(["--features", STORES]).run()?;
    Ok("target/debug/libdocache.a".into())
}

/// Programs look for the shared library by its SONAME, which is a link to it.
pub(crate) fn name_shared_library(dir: &Path) -> Result<()> {
    let link = dir.join(SONAME);
    if cfg!(unix) && link.symlink_metadata().is_err() {
        Cmd::new("ln").words("-s libdocache.so").arg(link).run()?;
    }
    Ok(())
}

/// The target triple of the machine that this runs on.
pub(crate) fn host() -> Result<String> {
    let version = Cmd::new("rustc").arg("-vV").read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// The programs of one language: those of `ffi-tests`, the examples, and the one in README.md.
pub(crate) fn programs(language: Language) -> Result<Vec<Program>> {
    let suffix = language.suffix();
    let mut tests = sources(&format!("ffi-tests/{suffix}"), suffix)?;
    ensure!(!tests.is_empty(), "ffi-tests/{suffix} holds no *.{suffix} file");
    let (pair, single): (Vec<_>, Vec<_>) =
        tests.drain(..).partition(|path| stem(path).starts_with("header_"));
    let mut programs: Vec<Program> = Vec::new();
    if !pair.is_empty() {
        programs.push(Program { name: format!("{suffix}-header"), language, sources: pair });
    }
    let examples = sources("examples", suffix)?.into_iter().map(|path| ("example", path));
    let mut shown = vec![("readme", readme::program(suffix)?)];
    if language == Language::C {
        shown.push(("header", readme::header_program()?));
    }
    for (kind, path) in single.into_iter().map(|path| ("test", path)).chain(examples).chain(shown) {
        let name = format!("{suffix}-{kind}-{}", stem(&path));
        programs.push(Program { name, language, sources: vec![path] });
    }
    Ok(programs)
}

/// The programs that are given the URLs of servers.
pub(crate) fn server_programs() -> Result<Vec<Program>> {
    const DIR: &str = "ffi-tests/servers";
    let mut programs = Vec::new();
    for language in Language::ALL {
        let suffix = language.suffix();
        for path in sources(DIR, suffix)? {
            let name = format!("{suffix}-servers-{}", stem(&path));
            programs.push(Program { name, language, sources: vec![path] });
        }
    }
    ensure!(!programs.is_empty(), "{DIR} holds no program");
    Ok(programs)
}

/// The files of a directory that end in `.suffix`, sorted, as paths from the root of the
/// repository.
pub(crate) fn sources(dir: &str, suffix: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {dir}"))?;
    let mut found = Vec::new();
    for entry in entries {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == suffix) {
            found.push(Path::new(dir).join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Compiles and runs all programs, in silence; an error names all that failed, with what they
/// printed, so that one run shows everything.
pub(crate) fn run_all(programs: &[Program], flavor: &Flavor) -> Result<String> {
    let failures: Vec<String> = parallel::map(programs, |program| {
        compile(program, flavor).and_then(|executable| execute(&executable, flavor))
    })
    .into_iter()
    .filter_map(|result| result.err().map(|error| format!("{error:#}")))
    .collect();
    if !failures.is_empty() {
        bail!("{} of {} programs failed:\n{}", failures.len(), programs.len(), failures.join("\n"));
    }
    Ok(format!("{} programs", programs.len()))
}

pub(crate) fn compile(program: &Program, flavor: &Flavor) -> Result<PathBuf> {
    let dir = Path::new("target/native").join(flavor.name);
    fs::create_dir_all(&dir)?;
    let executable = dir.join(&program.name);
    program
        .language
        .compiler()
        .words(flavor.flags)
        .args(&program.sources)
        .arg(&flavor.archive)
        .words(SYSTEM_LIBRARIES)
        .arg("-o")
        .arg(&executable)
        .run()?;
    Ok(executable)
}

fn execute(executable: &Path, flavor: &Flavor) -> Result<()> {
    let mut words = flavor.runner.split_whitespace();
    let mut cmd = match words.next() {
        Some(runner) => Cmd::new(runner).args(words).arg(executable),
        None => Cmd::new(executable),
    };
    for (name, value) in flavor.envs {
        cmd = cmd.env(name, value);
    }
    let cmd = cmd.args(&flavor.arguments);
    println!("$ {cmd}");
    cmd.limit(PROGRAM_LIMIT).run_quietly()
}
