//! What stores may have: which values a fetch may return.
//!
//! Values are numbered in the order in which they are made, and their bytes say the number; all
//! empty values are number 0. A store is made of leaves, each of which keeps values by itself.
//!
//! Of a leaf in memory it is known which values it may have: the one that was last put in or
//! loaded, unless others load at the same moment. Leaves that a tiered store copies between, and
//! those that fail as they are told, may have any value that was ever made for them.

use std::collections::{BTreeMap, BTreeSet};

/// A key of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    leaf: usize,
    key: usize,
}

/// The key of a leaf that has one entry.
const ANY: usize = usize::MAX;

#[derive(Debug, Default)]
struct Cell {
    /// How often it was written or removed by hand: what was begun before is not kept.
    epoch: u64,
    /// Changes with everything that is noted.
    version: u64,
    /// What may be there, each with the epoch in which its load began.
    may_be: Vec<(u32, u64)>,
    ever: BTreeSet<u32>,
}

#[derive(Debug)]
struct Leaf {
    single: bool,
    /// Leaves that values are copied between have the same group.
    group: usize,
    exact: bool,
    never_fails: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Model {
    leaves: Vec<Leaf>,
    cells: BTreeMap<Slot, Cell>,
    made: u32,
}

/// What there was when a fetch began.
#[derive(Debug)]
pub(crate) struct Before(Vec<(Slot, u64, BTreeSet<u32>)>);

impl Model {
    pub(crate) fn add_leaf(&mut self, single: bool, never_fails: bool) -> usize {
        let leaf = self.leaves.len();
        self.leaves.push(Leaf { single, group: leaf, exact: never_fails, never_fails });
        leaf
    }

    /// Values are copied between these from now on.
    pub(crate) fn tie(&mut self, leaves: &[usize]) {
        let groups: Vec<_> = leaves.iter().map(|leaf| self.leaves[*leaf].group).collect();
        for leaf in &mut self.leaves {
            if groups.contains(&leaf.group) {
                leaf.group = groups[0];
                leaf.exact &= groups.len() < 2;
            }
        }
    }

    /// The number of a new value.
    pub(crate) fn number(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    /// Where a key's values are.
    pub(crate) fn slots(&self, leaves: &[usize], key: usize) -> Vec<Slot> {
        let slot = |leaf: &usize| {
            let key = if self.leaves[*leaf].single { ANY } else { key };
            Slot { leaf: *leaf, key }
        };
        leaves.iter().map(slot).collect()
    }

    /// Whether what is written to one can be found in the other.
    fn are_tied(&self, one: Slot, other: Slot) -> bool {
        let group = self.leaves[one.leaf].group;
        let tied = |leaf: &Leaf| leaf.group == group;
        tied(&self.leaves[other.leaf])
            && (one.key == other.key
                || self.leaves.iter().filter(|leaf| tied(leaf)).any(|leaf| leaf.single))
    }

    /// Whether these share a lock or a value.
    pub(crate) fn meet(&self, some: &[Slot], others: &[Slot]) -> bool {
        some.iter().any(|one| others.iter().any(|other| self.are_tied(*one, *other)))
    }

    /// Whether all of these are in memory, and nothing else.
    pub(crate) fn never_fail(&self, slots: &[Slot]) -> bool {
        slots.iter().all(|slot| self.leaves[slot.leaf].never_fails)
    }

    pub(crate) fn epoch(&self, slots: &[Slot]) -> u64 {
        slots.iter().filter_map(|slot| self.cells.get(slot)).map(|cell| cell.epoch).sum()
    }

    /// A value was loaded. If nobody else can be at it, it is what there is.
    pub(crate) fn loaded(&mut self, slots: &[Slot], number: u32, epoch: u64, alone: bool) {
        for slot in slots {
            let cell = self.cells.entry(*slot).or_default();
            cell.version += 1;
            cell.ever.insert(number);
            if epoch == cell.epoch {
                if alone {
                    cell.may_be.clear();
                }
                cell.may_be.push((number, epoch));
            }
        }
    }

    /// A value is put in, or what there is is taken out.
    pub(crate) fn overwrite(&mut self, slots: &[Slot], number: Option<u32>) {
        for slot in slots {
            let cell = self.cells.entry(*slot).or_default();
            cell.version += 1;
            cell.epoch += 1;
            cell.may_be.clear();
            if let Some(number) = number {
                cell.ever.insert(number);
                cell.may_be.push((number, cell.epoch));
            }
        }
    }

    pub(crate) fn before(&mut self, slots: &[Slot]) -> Before {
        let may_be = |cell: &Cell| cell.may_be.iter().map(|(number, _)| *number).collect();
        let seen = |slot: &Slot| {
            let cell = self.cells.entry(*slot).or_default();
            (*slot, cell.version, may_be(cell))
        };
        Before(slots.iter().map(seen).collect())
    }

    /// Whether a fetch may have returned a value that it found.
    pub(crate) fn may_find(&self, before: &Before, number: u32) -> bool {
        before.0.iter().any(|(slot, version, may_be)| {
            let unchanged = self.cells.get(slot).is_some_and(|cell| cell.version == *version);
            if self.leaves[slot.leaf].exact && unchanged {
                return may_be.contains(&number);
            }
            self.was_ever(*slot, number)
        })
    }

    /// Whether somebody may have got it from a load.
    pub(crate) fn may_share(&self, slots: &[Slot], number: u32) -> bool {
        slots.iter().any(|slot| self.was_ever(*slot, number))
    }

    fn was_ever(&self, slot: Slot, number: u32) -> bool {
        self.cells
            .iter()
            .any(|(other, cell)| cell.ever.contains(&number) && self.are_tied(slot, *other))
    }
}

/// The bytes of a value.
pub(crate) fn bytes(number: u32) -> Vec<u8> {
    if number == 0 {
        return Vec::new();
    }
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(4 + number as usize % 24, 7);
    bytes
}

/// The number of a value of these bytes.
///
/// # Panics
/// If it is not one of ours.
pub(crate) fn number(of: &[u8]) -> u32 {
    let Some(start) = of.first_chunk::<4>() else {
        assert!(of.is_empty(), "a value of {} bytes", of.len());
        return 0;
    };
    let number = u32::from_le_bytes(*start);
    assert_eq!(of, bytes(number), "a value's bytes");
    number
}
