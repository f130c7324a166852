//! The loom models: unit tests in modules named `model`, built with `--cfg docache_loom`.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;

use crate::cmd::Cmd;
use crate::parallel;

/// How long one model may take.
const LIMIT: Duration = Duration::from_secs(60);
const RUSTFLAGS: &str = "--cfg docache_loom";

struct Outcome {
    model: String,
    time: Duration,
    /// What loom tried, or why the model failed.
    result: Result<String>,
}

/// Runs every model in a process of its own, as many at a time as there are processors.
pub(super) fn models() -> Result<String> {
    let executable = build()?;
    let models = list(&executable)?;
    ensure!(!models.is_empty(), "there is no test in a module named `model`");
    let outcomes = parallel::map(&models, |model| run(&executable, model));
    let failures: Vec<String> = outcomes.iter().filter_map(failure).collect();
    if !failures.is_empty() {
        bail!("{} of {} models failed\n{}", failures.len(), outcomes.len(), failures.join("\n"));
    }
    let slowest = outcomes.iter().max_by_key(|outcome| outcome.time).context("no model ran")?;
    Ok(format!(
        "{} models passed; the slowest, {}, took {:.1} s",
        outcomes.len(),
        slowest.model,
        slowest.time.as_secs_f64()
    ))
}

fn run(executable: &Path, model: &str) -> Outcome {
    let start = Instant::now();
    let cmd = Cmd::new(executable).args(["--exact", model, "--nocapture"]).limit(LIMIT);
    let result = cmd.read_all().and_then(|text| executions(&text));
    let time = start.elapsed();
    match &result {
        Ok(tried) => println!("{model}: {tried} in {:.2} s", time.as_secs_f64()),
        Err(_) => println!("{model}: FAILED in {:.2} s", time.as_secs_f64()),
    }
    Outcome { model: model.to_owned(), time, result }
}

fn failure(outcome: &Outcome) -> Option<String> {
    outcome.result.as_ref().err().map(|error| format!("{}: {error:#}", outcome.model))
}

/// How many executions a model says that it took.
fn executions(output: &str) -> Result<String> {
    let count = output.lines().find_map(|line| line.strip_suffix(" executions"));
    count
        .map(|count| format!("passed {count} executions"))
        .context("the model does not say how many executions it took")
}

/// Builds the unit tests under loom and returns the path of their executable.
///
/// The release profile is cut back to what the models need: its settings for the shipped library
/// make the build slow.
fn build() -> Result<PathBuf> {
    let build = Cmd::cargo("test -p docache --lib --release --no-run --target-dir target/loom")
        .arg("--message-format=json-render-diagnostics")
        .env("RUSTFLAGS", RUSTFLAGS)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    println!("$ {build}");
    let messages = build.read()?;
    for message in Message::parse_stream(Cursor::new(messages)) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.profile.test
            && let Some(executable) = artifact.executable
        {
            return Ok(executable.into());
        }
    }
    bail!("`{build}` built no test")
}

fn list(executable: &Path) -> Result<Vec<String>> {
    let listing = Cmd::new(executable).words("--list --format=terse").read()?;
    let names = listing.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.filter(|name| is_model(name)).map(str::to_owned).collect())
}

/// Whether a test lies in a module named `model`, as in `latest::model::store_against_load`.
fn is_model(test: &str) -> bool {
    test.rsplit("::").skip(1).any(|module| module == "model")
}

#[cfg(test)]
mod tests {
    use super::{executions, is_model};

    #[test]
    fn a_model_that_does_not_count_is_refused() {
        assert_eq!(
            executions("running 1 test\n440 executions\nok").unwrap(),
            "passed 440 executions"
        );
        executions("test x ... ok").unwrap_err();
    }

    #[test]
    fn a_model_is_a_test_in_a_module_of_that_name() {
        assert!(is_model("latest::model::store_against_load"));
        assert!(is_model("model::wait::notify"));
        assert!(!is_model("latest::tests::model"));
        assert!(!is_model("remodel::store"));
    }
}
