//! Which mutants are tried.

use anyhow::{Context, Result};

/// One change, as `cargo mutants --list` prints it: `src/lock.rs:31:9: replace is_free -> bool with
/// true`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mutant {
    name: String,
    /// Where in the name the path ends.
    path_end: usize,
    line: usize,
}

/// What all paths begin with.
const SRC: &str = "src/";

impl Mutant {
    pub(super) fn parse(name: &str) -> Result<Self> {
        let parse = || {
            let (path, rest) = name.strip_prefix(SRC)?.split_once(':')?;
            let line = rest.split(':').next()?.parse().ok()?;
            Some(Mutant { name: name.to_owned(), path_end: SRC.len() + path.len(), line })
        };
        parse().with_context(|| {
            format!("`cargo mutants --list` printed {name:?}, which names no line of src")
        })
    }

    /// Where it is and what it changes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> String {
        self.name
    }

    /// The file, below src.
    pub(super) fn path(&self) -> &str {
        &self.name[SRC.len()..self.path_end]
    }

    /// The line, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
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

    fn some(count: usize) -> Vec<Mutant> {
        (1..=count)
            .map(|line| Mutant::parse(&format!("src/a/b.rs:{line}:1: change")).unwrap())
            .collect()
    }

    #[test]
    fn a_listed_line_names_its_place() {
        let mutant = Mutant::parse("src/a/b.rs:12:5: replace c -> d::E with e").unwrap();
        assert_eq!((mutant.path(), mutant.line()), ("a/b.rs", 12));
        Mutant::parse("xtask/src/main.rs:1:1: replace main with ()").unwrap_err();
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
