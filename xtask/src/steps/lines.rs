//! The width of lines: code and comments are read side by side, in panes and in reviews.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::cmd::Cmd;

/// In characters.
const WIDTH: usize = 100;

/// No comment of the Rust and Go code is wider than that, and no line of the C and C++ code, which
/// has no formatter in the build as rustfmt is for Rust.
pub(super) fn width() -> Result<String> {
    let sources = ["*.rs", "*.go", "*.c", "*.h", "*.cpp", "*.hpp"];
    let files = Cmd::new("git").arg("ls-files").args(sources).read()?;
    let mut wide = Vec::new();
    for file in files.lines() {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let is_formatted = file.ends_with(".rs") || file.ends_with(".go");
        let of_file = text
            .lines()
            .enumerate()
            .filter(|(_, line)| is_wide(line) && (!is_formatted || is_comment(line)));
        wide.extend(of_file.map(|(at, line)| format!("{file}:{}: {}", at + 1, line.trim())));
    }
    if !wide.is_empty() {
        bail!("lines of more than {WIDTH} columns:\n{}", wide.join("\n"));
    }
    Ok(format!("{} files", files.lines().count()))
}

fn is_wide(line: &str) -> bool {
    line.chars().count() > WIDTH
}

/// A comment that could be broken: a table's row and an example cannot.
fn is_comment(line: &str) -> bool {
    let start = line.trim_start();
    let text = ["//!", "///", "//", "/*", "* "].iter().find_map(|mark| start.strip_prefix(mark));
    text.is_some_and(|text| !text.starts_with('\t') && !text.trim_start().starts_with('|'))
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, is_comment, is_wide};

    #[test]
    fn what_is_a_comment_and_what_is_wide() {
        assert!(["    /// a", "// a", " * a", "/* a */"].into_iter().all(is_comment));
        assert!(
            !["let a = 1; // one", "/// | a | b |", "//\tgo build"].into_iter().any(is_comment)
        );
        assert!(!is_wide(&"≤".repeat(WIDTH)));
        assert!(is_wide(&"a".repeat(WIDTH + 1)));
    }
}
