//! The programs that README.md and docache.h show, as files. (The Rust ones are doctests of the
//! library.)

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::header;

const README: &str = "README.md";

/// Writes the one program of README.md in `language` (the word after the fence) to a file with that
/// suffix.
pub(crate) fn program(language: &str) -> Result<PathBuf> {
    let text = fs::read_to_string(README).with_context(|| format!("cannot read {README}"))?;
    write(&text, README, language, "readme")
}

/// Writes the program that the introduction of docache.h shows to a file.
pub(crate) fn header_program() -> Result<PathBuf> {
    write(&header::introduction()?, "the introduction of docache.h", "c", "introduction")
}

fn write(text: &str, place: &str, language: &str, name: &str) -> Result<PathBuf> {
    let programs = blocks(text, language);
    ensure!(
        programs.len() == 1,
        "{place} holds {} blocks in `{language}`; it must hold one, a whole program",
        programs.len()
    );
    let dir = Path::new("target/native/readme");
    fs::create_dir_all(dir)?;
    let path = dir.join(name).with_extension(language);
    fs::write(&path, &programs[0])?;
    Ok(path)
}

/// The contents of the fenced blocks in `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(tag) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        if tag == language {
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn only_blocks_of_the_language_count() {
        let text = "a\n```c\nint x;\nint y;\n```\nb\n```cpp\nint z;\n```\n```\nplain\n```\n```c\nlast\n```\n";
        assert_eq!(blocks(text, "c"), ["int x;\nint y;\n", "last\n"]);
        assert_eq!(blocks(text, "cpp"), ["int z;\n"]);
        assert!(blocks(text, "go").is_empty());
    }
}
