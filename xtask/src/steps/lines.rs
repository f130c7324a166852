//! The width of prose: comments are read beside code, in panes and in reviews.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::cmd::Cmd;

/// In characters. rustfmt sees to code.
const WIDTH: usize = 100;

/// No comment of the Rust and Go code, or of the headers, is wider than that.
pub(super) fn comments() -> Result<String> {
    let files = Cmd::new("git").args(["ls-files", "*.rs", "*.go", "include"]).read()?;
    let mut wide = Vec::new();
    for file in files.lines() {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let of_file = text.lines().enumerate().filter(|(_, line)| is_wide_comment(line));
        wide.extend(of_file.map(|(at, line)| format!("{file}:{}: {}", at + 1, line.trim())));
    }
    if !wide.is_empty() {
        bail!("comments of more than {WIDTH} columns:\n{}", wide.join("\n"));
    }
    Ok(format!("{} files", files.lines().count()))
}

/// A table's row cannot be broken.
fn is_wide_comment(line: &str) -> bool {
    let start = line.trim_start();
    let text = ["//!", "///", "//", "/*", "* "].iter().find_map(|mark| start.strip_prefix(mark));
    text.is_some_and(|text| {
        line.chars().count() > WIDTH
            && !text.starts_with('\t')
            && !text.trim_start().starts_with('|')
    })
}
