//! What happened on all threads, and whether it could have.

use crate::model::Ending;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Orders events: of two ticks the later one is the larger.
#[derive(Debug, Default)]
pub(crate) struct Ticks(AtomicU64);

impl Ticks {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Names a call, and the runs that it leads.
pub(crate) type Caller = u64;

/// From the first instruction of the work to its last.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) leader: Caller,
    pub(crate) key: u8,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// `None`: it was dropped.
    pub(crate) ending: Option<Ending>,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Its own run ended so.
    Led(Ending),
    /// The run of another ended so.
    Joined(Caller, Ending),
    Reentrant,
    /// At its deadline, which had passed.
    Left,
    /// Its future was dropped.
    Dropped,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) key: u8,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The run of the same key on the same stack that it was made from.
    pub(crate) inside: Option<Caller>,
    pub(crate) came: Came,
}

/// A call of `forget` that found something.
#[derive(Debug)]
pub(crate) struct Forget {
    pub(crate) key: u8,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) runs: Vec<Run>,
    pub(crate) calls: Vec<Call>,
    pub(crate) forgets: Vec<Forget>,
}

impl History {
    pub(crate) fn add(&mut self, other: History) {
        self.runs.extend(other.runs);
        self.calls.extend(other.calls);
        self.forgets.extend(other.forgets);
    }

    pub(crate) fn check(&self) {
        let runs: HashMap<_, _> =
            self.runs.iter().map(|run| ((run.leader, run.key), run)).collect();
        assert_eq!(runs.len(), self.runs.len(), "a call ran its work twice");
        let calls: HashMap<_, _> =
            self.calls.iter().map(|call| ((call.caller, call.key), call)).collect();
        for run in &self.runs {
            let call = calls[&(run.leader, run.key)];
            assert!(call.begin < run.begin && run.end < call.end, "{run:?} is not within {call:?}");
            let expected = run.ending.map_or(Came::Dropped, Came::Led);
            assert_eq!(call.came, expected, "the one that ran {run:?}");
        }
        for call in &self.calls {
            self.check_call(call, &runs, &calls);
        }
        self.check_overlaps(&calls);
    }

    fn check_call(
        &self,
        call: &Call,
        runs: &HashMap<(Caller, u8), &Run>,
        calls: &HashMap<(Caller, u8), &Call>,
    ) {
        match call.came {
            Came::Led(ending) => {
                let run = runs.get(&(call.caller, call.key)).expect("the run that it led");
                assert_eq!(run.ending, Some(ending), "{call:?}");
            }
            Came::Joined(leader, ending) => {
                let run = runs.get(&(leader, call.key)).expect("a run of its key");
                assert_eq!(run.ending, Some(ending), "{call:?} of {run:?}");
                // The run is over for others at some time before the call that led it returns.
                let over = calls[&(leader, call.key)].end;
                assert!(
                    call.begin < over && run.begin < call.end,
                    "{call:?} does not overlap {run:?}"
                );
            }
            Came::Reentrant => {
                assert!(call.inside.is_some(), "{call:?} is not inside of its own run")
            }
            Came::Left | Came::Dropped => {}
        }
        if let (Some(outer), Came::Joined(leader, _)) = (call.inside, call.came) {
            assert_ne!(outer, leader, "{call:?} waited for the run that it was made from");
        }
    }

    /// Two runs of one key overlap only if one of them was forgotten. That happened after its
    /// leader had called, though perhaps long before it ran, for those that wait for a forgotten
    /// run inherit it forgotten; and before both ran.
    fn check_overlaps(&self, calls: &HashMap<(Caller, u8), &Call>) {
        for second in &self.runs {
            let earlier = |first: &&Run| {
                first.key == second.key && first.begin < second.begin && second.begin < first.end
            };
            for first in self.runs.iter().filter(earlier) {
                let [one, other] = [first, second].map(|run| calls[&(run.leader, run.key)].begin);
                let forgotten = |forget: &Forget| {
                    forget.key == second.key
                        && one.min(other) < forget.end
                        && forget.begin < second.begin
                };
                assert!(self.forgets.iter().any(forgotten), "{first:?} and {second:?} overlap");
            }
        }
    }
}
