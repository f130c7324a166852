//! The loads that are under way in a shard, and which of them a later write has beaten.

use crate::clock::Tick;

/// What names a load to its shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadId {
    pub(super) id: u32,
    /// Its key's, which also says in which shard it is.
    pub(super) hash: u64,
    pub(super) began: Tick,
}

/// One load.
#[derive(Debug)]
struct Load {
    id: u32,
    hash: u64,
    /// Something was written, removed or cleared since, so that the result is out of date.
    beaten: bool,
    /// Whether calls that come after that may still join its flight.
    joinable: bool,
}

/// Few at a time, and usually none: a list will do.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    loads: Vec<Load>,
    next: u32,
}

impl Loads {
    /// Notes that a load has begun; the result names it.
    pub(crate) fn begin(&mut self, hash: u64) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.loads.push(Load { id: self.next, hash, beaten: false, joinable: true });
        self.next
    }

    /// Whether a load has lost already.
    pub(crate) fn is_beaten(&self, id: u32) -> bool {
        self.loads.iter().any(|load| load.id == id && load.beaten)
    }

    /// Notes that a load is over. Whether its result may be kept.
    pub(crate) fn end(&mut self, id: u32) -> bool {
        let at = self.loads.iter().position(|load| load.id == id);
        at.is_some_and(|at| !self.loads.swap_remove(at).beaten)
    }

    /// A key of this hash was written: its loads have lost. (So have those of other keys of the same hash, which costs them
    /// another load.) Whether there were any.
    #[inline]
    pub(crate) fn beat(&mut self, hash: u64) -> bool {
        self.beat_those(|load| load.hash == hash)
    }

    /// All keys were.
    pub(crate) fn beat_all(&mut self) -> bool {
        self.beat_those(|_| true)
    }

    #[inline]
    fn beat_those(&mut self, which: impl Fn(&Load) -> bool) -> bool {
        let mut any = false;
        for load in self.loads.iter_mut().filter(|load| which(load)) {
            load.beaten = true;
            any = true;
        }
        any
    }

    /// Whether a load of this hash has lost whose flight can be joined. Only says so once.
    pub(crate) fn close_beaten(&mut self, hash: u64) -> bool {
        let mut any = false;
        for load in self.loads.iter_mut().filter(|load| load.beaten && load.hash == hash) {
            any |= std::mem::take(&mut load.joinable);
        }
        any
    }

    /// Whether a load has lost whose flight can be joined.
    pub(crate) fn any_beaten(&self) -> bool {
        self.loads.iter().any(|load| load.beaten && load.joinable)
    }
}
