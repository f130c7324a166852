//! Which code is compiled here: a change in other code is one that no test can notice.

use std::collections::BTreeMap;
use std::env::consts::OS;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result};

use super::sample::Mutant;

/// The cfgs of our own, of which none is set.
const UNSET: [&str; 2] = ["docache_loom", "docache_portable"];

/// Keeps the mutants in code that is compiled.
pub(super) fn retain_compiled(tree: &Path, mutants: &mut Vec<Mutant>) -> Result<()> {
    let mut absent: BTreeMap<String, Vec<RangeInclusive<usize>>> = BTreeMap::new();
    for mutant in mutants.iter() {
        if !absent.contains_key(mutant.path()) {
            let file = tree.join("src").join(mutant.path());
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            absent.insert(mutant.path().to_owned(), not_compiled(&text));
        }
    }
    mutants
        .retain(|mutant| !absent[mutant.path()].iter().any(|lines| lines.contains(&mutant.line())));
    Ok(())
}

/// The lines, from 1, of the items of a formatted file whose `#[cfg(…)]` does not hold.
fn not_compiled(text: &str) -> Vec<RangeInclusive<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let begin = at;
        at += 1;
        let Some(first) = lines[begin].trim_start().strip_prefix("#[cfg(") else { continue };
        let mut condition = first.to_owned();
        while !condition.ends_with(")]") && at < lines.len() {
            condition += lines[at].trim();
            at += 1;
        }
        if !holds(condition.strip_suffix(")]").unwrap_or(&condition)) {
            let end = end_of_item(&lines, begin, at);
            found.push(begin + 1..=end + 1);
            at = end + 1;
        }
    }
    found
}

/// The last line of the item that follows the attribute in the line `begin`: its closing bracket,
/// as far in as the attribute, behind which nothing is opened, or where it ends without one.
fn end_of_item(lines: &[&str], begin: usize, after: usize) -> usize {
    let indent = lines[begin].len() - lines[begin].trim_start().len();
    let ends = |line: &str| {
        let inside = line.get(indent..).unwrap_or_default();
        inside.starts_with(['}', ')', ']']) && !line.ends_with('{')
            || !inside.starts_with([' ', '#']) && line.ends_with([';', ',', '}'])
    };
    (after..lines.len()).find(|&at| ends(lines[at])).unwrap_or(lines.len() - 1)
}

/// Whether the condition inside a `cfg(…)` holds in the tests. All features are on; of what is not
/// known it is taken for granted.
fn holds(condition: &str) -> bool {
    let condition = condition.trim();
    let inside = |name: &str| {
        condition
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.strip_suffix(')'))
    };
    if let Some(inside) = inside("all") {
        return parts(inside).into_iter().all(holds);
    }
    if let Some(inside) = inside("any") {
        return parts(inside).into_iter().any(holds);
    }
    if let Some(inside) = inside("not") {
        return !holds(inside.trim_end_matches(','));
    }
    match condition.split_once('=') {
        Some((name, value)) if name.trim() == "target_os" => value.trim().trim_matches('"') == OS,
        _ => !UNSET.contains(&condition),
    }
}

/// What stands between the commas that are in no bracket.
fn parts(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in list.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[begin..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_as_the_compiler_says() {
        for condition in [
            "test",
            "not(docache_loom)",
            "any(docache_loom, test)",
            r#"all(feature = "capi", not(docache_loom))"#,
        ] {
            assert!(holds(condition), "{condition}");
        }
        let other = r#"not(all(any(target_os = "OS", docache_loom), not(docache_portable)))"#
            .replace("OS", OS);
        for condition in [
            "docache_loom",
            "all(test, docache_loom)",
            "not(test)",
            r#"target_os = "none""#,
            &other,
        ] {
            assert!(!holds(condition), "{condition}");
        }
    }

    #[test]
    fn the_lines_of_an_item_that_is_not_compiled_are_left_out() {
        let text = "\
#[cfg(docache_loom)]
mod model {
    fn f() {}
}
#[cfg(not(docache_loom))]
fn kept() {}
#[cfg(all(
    test,
    docache_loom
))]
mod other;
impl X {
    #[cfg(docache_loom)]
    #[inline]
    fn g(
        &self,
    ) -> bool {
        true
    }

    fn kept() {}
}
";
        assert_eq!(not_compiled(text), [1..=4, 7..=11, 13..=19]);
    }
}
