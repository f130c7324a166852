//! Whether what happened to one key could have happened one thing at a time, in the manner of Wing
//! and Gong: an order is sought in which each event happens between its begin and its end, and
//! finds what the ones before have left.

use std::collections::HashSet;

pub(crate) type Value = u32;

/// Names a load.
pub(crate) type Load = u8;

/// What happened, and what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Write(Value),
    Read(Option<Value>),
    Has(bool),
    Remove(Option<Value>),
    Clear,
    /// A load begins: nothing was there.
    Miss(Load),
    /// A load ends with a value, which the cache keeps unless somebody wrote, removed or cleared
    /// since the miss.
    Land(Load, Value),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) act: Act,
}

/// What the cache has under the key, and the loads that nothing has beaten yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    value: Option<Value>,
    loads: u64,
}

impl State {
    /// The state after a lookup that found `got`; `None` if it could not. Where things are evicted,
    /// one that found nothing shows that there is nothing, until somebody writes.
    fn read(self, got: Option<Value>, evicts: bool) -> Option<State> {
        match got {
            None if evicts => Some(State { value: None, ..self }),
            got => (got == self.value).then_some(self),
        }
    }

    fn after(self, act: Act, evicts: bool) -> Option<State> {
        match act {
            Act::Write(value) => Some(State { value: Some(value), loads: 0 }),
            Act::Clear => Some(State::default()),
            Act::Read(got) => self.read(got, evicts),
            Act::Has(true) => self.value.is_some().then_some(self),
            Act::Has(false) => self.read(None, evicts),
            Act::Remove(got) => self.read(got, evicts).map(|_| State::default()),
            Act::Miss(load) => {
                let state = self.read(None, evicts)?;
                Some(State { loads: state.loads | 1 << load, ..state })
            }
            Act::Land(load, _) if self.loads & 1 << load == 0 => Some(self),
            Act::Land(load, value) => {
                Some(State { value: Some(value), loads: self.loads & !(1 << load) })
            }
        }
    }
}

struct Search<'a> {
    events: &'a [Event],
    evicts: bool,
    /// What was tried: which events have happened, and the state after them.
    tried: HashSet<(u64, State)>,
}

impl Search<'_> {
    /// Whether the events that are not in `done` can all happen.
    fn goes_on(&mut self, done: u64, state: State) -> bool {
        let open = |at: &usize| done & 1 << at == 0;
        let Some(first_end) =
            (0..self.events.len()).filter(open).map(|at| self.events[at].end).min()
        else {
            return true;
        };
        if !self.tried.insert((done, state)) {
            return false;
        }
        // What begins after another has ended comes after it.
        let next: Vec<usize> = (0..self.events.len())
            .filter(open)
            .filter(|at| self.events[*at].begin < first_end)
            .collect();
        next.into_iter().any(|at| {
            state
                .after(self.events[at].act, self.evicts)
                .is_some_and(|state| self.goes_on(done | 1 << at, state))
        })
    }
}

/// Whether a history of one key, at most 64 events, is one that a cache may have; one that evicts
/// if `evicts`.
pub(crate) fn is_linearizable(events: &[Event], evicts: bool) -> bool {
    assert!(events.len() <= 64);
    Search { events, evicts, tried: HashSet::new() }.goes_on(0, State::default())
}

#[cfg(test)]
mod tests {
    use super::Act::{Clear, Has, Land, Miss, Read, Remove, Write};
    use super::*;

    /// Whether these are possible: events from one time to another, without and with eviction.
    fn judge(events: &[(u64, u64, Act)]) -> (bool, bool) {
        let events: Vec<Event> = events
            .iter()
            .map(|(begin, end, act)| Event { begin: *begin, end: *end, act: *act })
            .collect();
        (is_linearizable(&events, false), is_linearizable(&events, true))
    }

    const NEVER: (bool, bool) = (false, false);
    const ALWAYS: (bool, bool) = (true, true);
    const IF_EVICTED: (bool, bool) = (false, true);

    #[test]
    fn what_happens_at_once_may_happen_in_any_order() {
        assert_eq!(judge(&[]), ALWAYS);
        for seen in [None, Some(1), Some(2)] {
            assert_eq!(judge(&[(0, 9, Write(1)), (1, 8, Write(2)), (2, 7, Read(seen))]), ALWAYS);
        }
        assert_eq!(
            judge(&[(0, 9, Write(1)), (1, 2, Read(Some(1))), (3, 4, Read(Some(1)))]),
            ALWAYS
        );
        assert_eq!(
            judge(&[(0, 9, Write(1)), (1, 2, Read(Some(1))), (3, 4, Read(None))]),
            IF_EVICTED
        );
    }

    #[test]
    fn what_was_never_written_or_is_gone_is_not_seen() {
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Read(Some(2)))]), NEVER);
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Write(2)), (4, 5, Read(Some(1)))]), NEVER);
        assert_eq!(
            judge(&[(0, 1, Write(1)), (2, 3, Remove(Some(1))), (4, 5, Read(Some(1)))]),
            NEVER
        );
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Clear), (4, 5, Has(true))]), NEVER);
        assert_eq!(judge(&[(0, 1, Read(Some(1))), (2, 3, Write(1))]), NEVER);
    }

    #[test]
    fn what_is_there_is_seen_unless_it_was_evicted_and_then_it_stays_away() {
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Read(None))]), IF_EVICTED);
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Remove(None))]), IF_EVICTED);
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Read(None)), (4, 5, Read(Some(1)))]), NEVER);
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Has(false)), (4, 5, Has(true))]), NEVER);
    }

    #[test]
    fn two_removals_do_not_find_the_same() {
        assert_eq!(
            judge(&[(0, 1, Write(1)), (2, 9, Remove(Some(1))), (3, 8, Remove(Some(1)))]),
            NEVER
        );
        assert_eq!(
            judge(&[(0, 1, Write(1)), (2, 9, Remove(Some(1))), (3, 8, Remove(None))]),
            ALWAYS
        );
    }

    #[test]
    fn a_load_lands_unless_somebody_was_there_meanwhile() {
        let load = |beside: Act, seen: Option<Value>| {
            judge(&[(0, 1, Miss(0)), (2, 3, beside), (4, 5, Land(0, 7)), (6, 7, Read(seen))])
        };
        assert_eq!(load(Read(None), Some(7)), ALWAYS);
        assert_eq!(load(Read(None), None), IF_EVICTED);
        assert_eq!(load(Write(1), Some(1)), ALWAYS);
        assert_eq!(load(Write(1), Some(7)), NEVER);
        for gone in [Remove(None), Clear] {
            assert_eq!(load(gone, None), ALWAYS);
            assert_eq!(load(gone, Some(7)), NEVER);
        }
        assert_eq!(judge(&[(0, 1, Write(1)), (2, 3, Miss(0))]), IF_EVICTED);
    }
}
