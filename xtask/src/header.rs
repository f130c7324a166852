//! `include/docache.h`: generated from `src/ffi` by cbindgen, committed, and checked for drift.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use similar::TextDiff;

pub(crate) const HEADER: &str = "include/docache.h";
const CONFIG: &str = "cbindgen.toml";

/// Writes the header, unless it is up to date.
pub(crate) fn write() -> Result<()> {
    let wanted = generate()?;
    if current()? == wanted {
        println!("{HEADER} is up to date");
        return Ok(());
    }
    fs::create_dir_all("include")?;
    fs::write(HEADER, wanted).with_context(|| format!("cannot write {HEADER}"))?;
    println!("{HEADER} written");
    Ok(())
}

/// Fails with a diff if the header is not what [`write`] would write.
pub(crate) fn check() -> Result<()> {
    let wanted = generate()?;
    let current = current()?;
    if current == wanted {
        println!("{HEADER} is up to date");
        return Ok(());
    }
    let diff = TextDiff::from_lines(&current, &wanted);
    println!("{}", diff.unified_diff().header(HEADER, "generated from src/ffi"));
    bail!("{HEADER} is not what src/ffi says; run `cargo xtask header` and commit the result")
}

/// The text of the committed header; empty if there is none yet.
fn current() -> Result<String> {
    if !Path::new(HEADER).exists() {
        return Ok(String::new());
    }
    fs::read_to_string(HEADER).with_context(|| format!("cannot read {HEADER}"))
}

/// The text that the header should have.
///
/// Only the ffi module and what lies below it is parsed: constants and types of the other modules
/// stay out of the header, and so does the feature gate of the module itself. The documentation of
/// the module follows the first line.
fn generate() -> Result<String> {
    let module = ffi_module()?;
    let config = cbindgen::Config::from_file(CONFIG)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("cannot read {CONFIG}"))?;
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(module)
        .generate()
        .context("cbindgen cannot make a header of src/ffi")?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).context("cbindgen wrote text that is not UTF-8")?;
    let source =
        fs::read_to_string(module).with_context(|| format!("cannot read {}", module.display()))?;
    let (first, rest) = text.split_once('\n').context("cbindgen wrote no header")?;
    Ok(format!("{first}\n\n{}", for_c(&format!("{}{rest}", module_comment(&source)))))
}

/// The lines as C should see them. In comments, programs are indented instead of fenced.
fn for_c(text: &str) -> String {
    let (mut out, mut in_program) = (String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("* ```") {
            in_program = !in_program;
        } else if in_program {
            out += line.replacen('*', "*    ", 1).trim_end();
            out.push('\n');
        } else {
            out += &adjust(line);
        }
    }
    out
}

/// The `//!` lines at the top of a source file as a C comment.
fn module_comment(source: &str) -> String {
    let mut body = String::new();
    for line in documentation(source) {
        body += format!(" *{line}").trim_end();
        body.push('\n');
    }
    format!("/**\n{body} */\n")
}

/// The `//!` lines at the top of a source file.
fn documentation(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map_while(|line| line.strip_prefix("//!"))
}

/// The documentation of the header, as Markdown.
pub(crate) fn introduction() -> Result<String> {
    let source = fs::read_to_string(ffi_module()?)?;
    let lines = documentation(&source).map(|line| line.strip_prefix(' ').unwrap_or(line));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Turns a line of cbindgen's into the line that C should see: rustdoc's escapes of brackets go; a
/// macro that is a negative number gets its parentheses; and the words that a caller gives us to
/// carry, which may hold a pointer, are `uintptr_t`, where all other `usize` are sizes.
fn adjust(line: &str) -> String {
    if line.trim_start().starts_with('*') {
        return line.replace(r"\[", "[").replace(r"\]", "]") + "\n";
    }
    let carried =
        line.replace("size_t ctx", "uintptr_t ctx").replace("size_t token", "uintptr_t token");
    match carried.strip_prefix("#define ").and_then(|rest| rest.rsplit_once(' ')) {
        Some((name, number)) if number.parse::<i64>().is_ok_and(|n| n < 0) => {
            format!("#define {name} ({number})\n")
        }
        _ => carried + "\n",
    }
}

fn ffi_module() -> Result<&'static Path> {
    ["src/ffi.rs", "src/ffi/mod.rs"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .context("there is neither src/ffi.rs nor src/ffi/mod.rs")
}

/// The names of the functions that the committed header declares.
pub(crate) fn functions() -> Result<Vec<String>> {
    Ok(declared_functions(&current()?))
}

fn declared_functions(header: &str) -> Vec<String> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/', '#']));
    let mut names: Vec<String> = code.filter_map(declared_function).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// The name of the function whose declaration begins in this line: `type name(`, at the margin.
fn declared_function(line: &str) -> Option<&str> {
    let (before, _) = line.split_once('(')?;
    let (kind, name) = before.rsplit_once([' ', '*'])?;
    let at_margin = line.starts_with(|c: char| c.is_ascii_alphabetic());
    (at_margin && !kind.starts_with("typedef") && name.starts_with("docache_")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_adjusted_for_c() {
        assert_eq!(adjust("#define DOCACHE_PANIC -3"), "#define DOCACHE_PANIC (-3)\n");
        assert_eq!(adjust("typedef void (*f)(size_t ctx);"), "typedef void (*f)(uintptr_t ctx);\n");
        assert_eq!(adjust(r" * Makes one. \[NC\]"), " * Makes one. [NC]\n");
        for same in ["#define DOCACHE_OK 0", "#define DOCACHE_H", "  size_t capacity;", ""] {
            assert_eq!(adjust(same), format!("{same}\n"));
        }
    }

    #[test]
    fn the_documentation_of_a_module_becomes_a_comment() {
        let source = "//! One.\n//!\n//! - \\[NC\\]\n\nuse std::ptr;\n//! not this\n";
        assert_eq!(for_c(&module_comment(source)), "/**\n * One.\n *\n * - [NC]\n */\n");
        let source = "//! ```c\n//! int x[2];\n//!\n//! ```\n//! Two.\n";
        assert_eq!(for_c(&module_comment(source)), "/**\n *     int x[2];\n *\n * Two.\n */\n");
    }

    #[test]
    fn functions_are_found_and_callbacks_are_not() {
        let header = "\
/**
 * Calls docache_nothing(x).
 */
typedef void (*docache_drop_fn)(uintptr_t ctx);
const char *docache_version(void);
docache_status docache_value_new(const uint8_t *data,
                                 void (*docache_inner)(int));
DOCACHE_LAYOUT(sizeof(docache_entry), 64);
";
        assert_eq!(declared_functions(header), ["docache_value_new", "docache_version"]);
    }
}
