//! Which mutants are tried.

use std::ops::Range;

use anyhow::{Context, Result};
use serde_json::Value;

/// One change, as `cargo mutants --list --json` describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mutant {
    /// Such as `src/lock.rs:31:9: replace is_free -> bool with true`.
    name: String,
    /// Where in the name the path ends.
    path_end: usize,
    /// Line and column, in letters, of what is replaced and of what follows it; both from 1.
    span: [(usize, usize); 2],
    replacement: String,
}

/// What all paths begin with.
const SRC: &str = "src/";

impl Mutant {
    /// All that the list names.
    pub(super) fn parse_list(list: &str) -> Result<Vec<Self>> {
        let list: Value = serde_json::from_str(list).context("cargo mutants printed no JSON")?;
        let mutants = list.as_array().context("cargo mutants printed no list")?;
        mutants.iter().map(Self::parse).collect()
    }

    fn parse(json: &Value) -> Result<Self> {
        let parse = || {
            let name = json["name"].as_str()?;
            let (path, _) = name.strip_prefix(SRC)?.split_once(':')?;
            let place = |end: &str| {
                let number = |key| json["span"][end][key].as_u64()?.try_into().ok();
                Some((number("line")?, number("column")?))
            };
            Some(Mutant {
                name: name.to_owned(),
                path_end: SRC.len() + path.len(),
                span: [place("start")?, place("end")?],
                replacement: json["replacement"].as_str()?.to_owned(),
            })
        };
        parse().with_context(|| {
            format!("`cargo mutants --list --json` printed {json}, which is no change to src")
        })
    }

    /// Where it is and what it changes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file, below src.
    pub(super) fn path(&self) -> &str {
        &self.name[SRC.len()..self.path_end]
    }

    /// The line, from 1.
    pub(super) fn line(&self) -> usize {
        self.span[0].0
    }

    /// The text of its file, changed.
    pub(super) fn apply(&self, text: &str) -> Result<String> {
        let Range { start, end } = self.bytes(text).with_context(|| {
            format!("{} has no {:?}, so it is not the text that was listed", self.path(), self.span)
        })?;
        Ok(format!("{}{}{}", &text[..start], self.replacement, &text[end..]))
    }

    /// The bytes of the text that are replaced.
    fn bytes(&self, text: &str) -> Option<Range<usize>> {
        let at = |(line, column): (usize, usize)| {
            let lines = text.split_inclusive('\n').take(line.checked_sub(1)?);
            let begin = lines.map(str::len).sum();
            let within = text.get(begin..)?.char_indices().nth(column.checked_sub(1)?)?.0;
            Some(begin + within)
        };
        let [start, end] = self.span;
        let range = at(start)?..at(end)?;
        (range.start <= range.end).then_some(range)
    }
}

/// `count` of the mutants, or all for 0: the same for the same seed, whatever order they come in.
pub(super) fn choose(mut mutants: Vec<Mutant>, count: usize, seed: u64) -> Vec<Mutant> {
    mutants.sort();
    let mut state = seed;
    for last in (1..mutants.len()).rev() {
        mutants.swap(last, (next(&mut state) % (last as u64 + 1)) as usize);
    }
    if count > 0 {
        mutants.truncate(count);
    }
    mutants.sort();
    mutants
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A regular expression for that name and no other.
pub(super) fn exactly(name: &str) -> String {
    let mut out = "^".to_owned();
    for letter in name.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out + "$"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str, start: (usize, usize), end: (usize, usize)) -> Value {
        let place = |(line, column)| serde_json::json!({ "line": line, "column": column });
        serde_json::json!({
            "name": name,
            "span": { "start": place(start), "end": place(end) },
            "replacement": "new",
        })
    }

    fn some(count: usize) -> Vec<Mutant> {
        (1..=count)
            .map(|line| format!("src/a/b.rs:{line}:1: change"))
            .map(|name| Mutant::parse(&mutant(&name, (1, 1), (1, 2))).unwrap())
            .collect()
    }

    #[test]
    fn a_listed_mutant_names_its_place() {
        let name = "src/a/b.rs:12:5: replace c -> d::E with e";
        let list = Value::Array(vec![mutant(name, (12, 5), (12, 9))]);
        let mutants = Mutant::parse_list(&list.to_string()).unwrap();
        assert_eq!(mutants.len(), 1);
        assert_eq!((mutants[0].path(), mutants[0].line()), ("a/b.rs", 12));
        Mutant::parse(&mutant("xtask/src/main.rs:1:1: change", (1, 1), (1, 1))).unwrap_err();
        Mutant::parse(&serde_json::json!({ "name": name })).unwrap_err();
    }

    #[test]
    fn a_mutant_replaces_its_span() {
        let text = "é first\n    sécond(\n  )\nthird";
        let changed = |start, end| {
            Mutant::parse(&mutant("src/a.rs:1:1: change", start, end)).unwrap().apply(text)
        };
        assert_eq!(changed((1, 3), (1, 8)).unwrap(), "é new\n    sécond(\n  )\nthird");
        assert_eq!(changed((2, 5), (3, 4)).unwrap(), "é first\n    new\nthird");
        changed((2, 5), (9, 1)).unwrap_err();
        changed((2, 5), (1, 1)).unwrap_err();
    }

    #[test]
    fn a_seed_gives_the_same_sample_in_any_order() {
        let chosen = choose(some(100), 10, 1);
        assert_eq!(chosen.len(), 10);
        assert_eq!(choose(some(100).into_iter().rev().collect(), 10, 1), chosen);
        assert_ne!(choose(some(100), 10, 2), chosen);
        assert_eq!(choose(some(100), 0, 1).len(), 100);
    }

    #[test]
    fn a_name_is_matched_as_it_is() {
        assert_eq!(
            exactly("a.rs:1: replace <T>::f with a+b"),
            r"^a\.rs:1: replace <T>::f with a\+b$"
        );
    }
}
