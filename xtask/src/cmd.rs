//! One external command: shown before it runs, named in full when it fails.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A command line with its directory, environment and time limit.
#[derive(Clone)]
pub(crate) struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(String, OsString)>,
    dir: Option<PathBuf>,
    limit: Option<Duration>,
}

impl Cmd {
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), envs: Vec::new(), dir: None, limit: None }
    }

    /// `cargo` with the words of `line` as its arguments.
    pub(crate) fn cargo(line: &str) -> Self {
        Self::new("cargo").words(line)
    }

    /// Adds the words of `line`, split at white space.
    pub(crate) fn words(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.envs.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Kills the command, and fails, when it takes longer than `limit`.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the command with its output on this terminal.
    pub(crate) fn run(&self) -> Result<()> {
        println!("$ {self}");
        let output = self.finish(self.expression())?;
        self.check(&output)
    }

    /// Runs the command with its output on this terminal and returns its exit code, if a signal did
    /// not end it.
    pub(crate) fn exit_code(&self) -> Result<Option<i32>> {
        println!("$ {self}");
        Ok(self.finish(self.expression())?.status.code())
    }

    /// Runs the command and returns its standard output; its standard error goes to this terminal.
    pub(crate) fn read(&self) -> Result<String> {
        let output = self.finish(self.expression().stdout_capture())?;
        self.check(&output)?;
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{self}` printed text that is not UTF-8"))
    }

    /// Runs the command in silence and returns all that it printed, which becomes part of the error
    /// if it fails.
    pub(crate) fn read_all(&self) -> Result<String> {
        let output = self.finish(self.expression().stderr_to_stdout().stdout_capture())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.check(&output).with_context(|| format!("it printed:\n{}", text.trim_end()))?;
        Ok(text)
    }

    /// Runs the command in silence; what it printed is part of the error if it fails.
    pub(crate) fn run_quietly(&self) -> Result<()> {
        self.read_all().map(drop)
    }

    /// Runs a command that must fail, in silence, and returns all that it printed.
    pub(crate) fn read_failure(&self) -> Result<String> {
        let output = self.finish(self.expression().stderr_to_stdout().stdout_capture())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            bail!("`{self}` should have failed; it printed:\n{}", text.trim_end());
        }
        Ok(text)
    }

    /// Whether the command exists and succeeds, in silence.
    pub(crate) fn succeeds(&self) -> bool {
        self.expression()
            .stdout_null()
            .stderr_null()
            .run()
            .is_ok_and(|output| output.status.success())
    }

    /// Whether the command succeeds, in silence, within `limit`; what it started is killed with it.
    pub(crate) fn succeeds_within(&self, limit: Duration) -> bool {
        let timed = Self {
            program: "timeout".into(),
            args: vec!["--signal=KILL".into(), limit.as_secs().to_string().into()],
            ..self.clone()
        };
        timed.arg(&self.program).args(&self.args).succeeds()
    }

    fn expression(&self) -> duct::Expression {
        let mut expression = duct::cmd(&self.program, &self.args).stdin_null().unchecked();
        for (name, value) in &self.envs {
            expression = expression.env(name, value);
        }
        if let Some(dir) = &self.dir {
            expression = expression.dir(dir);
        }
        expression
    }

    fn finish(&self, expression: duct::Expression) -> Result<Output> {
        let handle = expression.start().with_context(|| format!("cannot start `{self}`"))?;
        if let Some(limit) = self.limit
            && handle.wait_timeout(limit)?.is_none()
        {
            handle.kill()?;
            bail!("`{self}` was still running after {} s and was killed", limit.as_secs());
        }
        handle.into_output().with_context(|| format!("cannot wait for `{self}`"))
    }

    fn check(&self, output: &Output) -> Result<()> {
        if !output.status.success() {
            bail!("`{self}` failed ({})", output.status);
        }
        Ok(())
    }
}

/// The line that a user would paste into a shell at the root of the repository.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", quoted(&dir.to_string_lossy()))?;
        }
        for (name, value) in &self.envs {
            write!(f, "{name}={} ", quoted(&value.to_string_lossy()))?;
        }
        write!(f, "{}", quoted(&self.program.to_string_lossy()))?;
        for arg in &self.args {
            write!(f, " {}", quoted(&arg.to_string_lossy()))?;
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let cmd = Cmd::cargo("test --lib").env("RUSTFLAGS", "--cfg x").dir("go").arg("it's");
        assert_eq!(cmd.to_string(), r"cd go && RUSTFLAGS='--cfg x' cargo test --lib 'it'\''s'");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_printed() {
        let error =
            Cmd::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).read_all().unwrap_err();
        let text = format!("{error:#}");
        for part in ["out", "err", "sh -c", "3"] {
            assert!(text.contains(part), "{text:?} does not contain {part:?}");
        }
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let error = Cmd::new("sleep").arg("30").limit(Duration::from_millis(50)).run().unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        let limit = Duration::from_secs(1);
        assert!(Cmd::new("true").succeeds_within(limit));
        assert!(!Cmd::new("false").succeeds_within(limit));
        assert!(!Cmd::new("sleep").arg("30").succeeds_within(limit));
    }
}
