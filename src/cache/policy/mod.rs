//! Which entry goes when a shard is full.
//!
//! Each shard of a cache has a [`Policy`] behind its lock. Readers know nothing of it: they leave
//! hits, 0 to [`MAX_HITS`], on the entries, and the policy looks at those when it needs room.
//! Strict LRU alone must be [told](Policy::touch) of each use.
//!
//! # The adaptive policy
//! It is a mixture, each part of which lifted the hit ratio where the others did not:
//! - *Quick demotion* of S3-FIFO (Yang et al., SOSP 2023): three FIFO queues. New entries join
//!   the *window*, move on to the *small* queue, and leave its end for the *main* queue if they
//!   were hit there, or else the cache. Window and small queue share the room `p`; the window is
//!   the young quarter of it, and hits in it do not prove anything: they follow the insertion too
//!   closely ("correlated references").
//! - *A clock* on the main queue: an entry that was hit goes round again, one hit poorer; without
//!   hits it goes. Each eviction sends a few round, if need be ahead of the next, so that no call
//!   has to send many.
//! - *Adaptation* of ARC (Megiddo & Modha, FAST 2003): the shard remembers what it evicted, and
//!   from which queue. An entry that comes back within a turn (as many evictions as the shard has
//!   entries) enlarges the room of its queue at the cost of the other, between 1 % (but at least a
//!   weight of 2) and 90 % of the whole. An entry that comes back to probation more than twice does
//!   not: it is one of a loop that would not fit there either. Nor does probation keep room in
//!   which nothing is hit: `p` shrinks slowly then.
//! - *Admission by frequency* of W-TinyLFU (Einziger, Friedman & Manes, ACM TOS 2017), without its
//!   sketch: an entry carries four bits of history (beside four of the time at which they last
//!   changed), which its ghost keeps for it, and which halve every twelve turns. An entry that was
//!   not hit on probation still displaces the main queue's next victim if its history is clearly
//!   the longer one, hits included; an entry that comes back goes straight to the main queue on
//!   such terms. Of keys that are used equally often, as those of a loop are, the ones that are
//!   there stay.
//!
//! Mean hit ratio, in %, of four public traces (oltp, web12, multi3, mooncake_conv), each at 0.1, 1
//! and 10 % of its keys, but at least 32 entries; and of loops of 1.05, 1.2, 1.5 and 2 times a
//! capacity of 1,000. moka holds more than its capacity unless it is made to settle after each
//! insert:
//!
//! | | LRU | quick_cache | moka, settled | moka | this, 1 shard | this, shards as by default |
//! |---|---|---|---|---|---|---|
//! | traces | 28.0 | 28.9 | 28.6 | 31.7 | 32.9 | 32.9 |
//! | 1.05 | 0 | 86 | 93 | 93 | 92 | 92 |
//! | 1.2 | 0 | 67 | 81 | 72 | 80 | 81 |
//! | 1.5 | 0 | 54 | 65 | 59 | 64 | 64 |
//! | 2 | 0 | 48 | 49 | 49 | 47 | 48 |
//!
//! Where 32 entries are asked for, moka holds 55 to 59 of them on average, and up to 94. It answers
//! 14.9 % of multi3 so and 30.0 of web12; this, with 32, 11.7 and 24.6, and with as many as moka
//! holds 20.2 and 30.7.
//!
//! Small shards get uneven shares of a loop, and the least room for probation, two entries, is much
//! for them. A main queue full of what was used much and is of no use any more gives way slowly:
//! where one loop follows another every twenty capacities, it has 30 % and moka 40.
//!
//! # State and cost
//! For a new entry the caller takes out one [victim](Policy::next_victim) after the other until
//! there is room, and has the entry [admitted](Policy::admit). For a new value it calls
//! [`replace`](Policy::replace) and, if that was not all, makes room likewise and has the value
//! [enqueued](Policy::enqueue).
//!
//! An entry costs nine bytes of queues here (thirteen where entries have weights), twelve bytes of
//! ghosts from the shard's first eviction on, and two bytes of its own. An operation takes constant
//! time, amortized, and allocates nothing, except where queues grow with the slab. There is no
//! randomness: the same calls evict the same entries.
//!
//! Where entries have weights, the room of a queue is one of weights, while time and ghosts are
//! counted in entries: as many as there were at the shard's first eviction, corrected after each
//! turn in which that was wrong by half. Entries that weigh nothing are in no queue: nothing would
//! be gained by evicting them.
//!
//! # Invariants
//! - LINKED: an entry that weighs something is in exactly one queue from [`admit`](Policy::admit),
//!   [`enqueue`](Policy::enqueue), or a [`replace`](Policy::replace) that is done, on until it is
//!   evicted, replaced or removed. One that weighs nothing is in none, and never evicted.
//! - NEWEST: the entry that was inserted last is not the victim of the next insertion, if the shard
//!   has room for two. (LRU has it first in line again once all others were used: its order is
//!   strict.)
//! - LIMIT: the weights of all entries in the queues never exceed the limit, not even between two
//!   steps.
//! - CONSISTENT: nothing here panics, nor does a [`PolicyEntries`]; so each step is done as a
//!   whole.

mod adaptive;
mod balance;
mod blocks;
mod by_index;
mod ghosts;
mod lru;
mod queue;
#[cfg(all(test, not(docache_loom)))]
mod tests;
mod weights;

use adaptive::Adaptive;
use lru::Lru;
use weights::{PerEntryWeight, UnitWeight};

pub(in crate::cache) use blocks::MAX_ENTRIES;

/// More hits than this tell nothing.
pub(crate) const MAX_HITS: u8 = 3;

/// What an entry carries for the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Hits since it was last set. Readers raise them meanwhile, up to [`MAX_HITS`].
    pub(crate) hits: u8,
    /// The policy's own.
    pub(crate) history: u8,
}

/// What a policy asks of the entries, which lie in the shard's slab; `i` is a slab index below
/// 2^30.
pub(crate) trait PolicyEntries {
    /// Where an entry is: what is asked of it more than once is asked by this.
    type Entry: Copy;
    fn entry(&self, i: u32) -> Self::Entry;
    fn mark(&self, entry: Self::Entry) -> Mark;
    fn set_mark(&self, entry: Self::Entry, mark: Mark);
    /// Says that an entry will be looked at soon.
    fn prefetch(&self, _i: u32) {}
    /// Says that the entry of this hash will soon be taken out of the table.
    fn prefetch_unlinking(&self, _hash: u64) {}
    /// The hash of the entry's key; none if the key's `Hash`, which is a user's, panicked.
    fn hash(&self, entry: Self::Entry) -> Option<u64>;
}

/// What is left to be done for a new value after [`replace`](Policy::replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Nothing: it is in its queue, and took nobody's room.
    Done,
    /// It joins those on probation, where there are such.
    Probation,
    /// It joins those that are proven.
    Main,
    /// It joins the queue of this number, as a value that has become heavier does.
    Queue(u8),
}

/// An entry that was evicted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evicted {
    pub(crate) i: u32,
    /// Its hash, if it has one: without, no ghost is kept of it.
    pub(crate) hash: Option<u64>,
}

/// A policy for shards that have a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyKind {
    Adaptive,
    Lru,
}

/// The policy of one shard, and its count of entries and weights.
#[derive(Debug)]
pub(crate) struct Policy(AnyPolicy);

/// Which it is stands first, beside what each write looks at.
#[derive(Debug)]
#[repr(u32)]
enum AnyPolicy {
    Unbounded(Unbounded),
    Adaptive(Adaptive<UnitWeight>),
    AdaptiveByWeight(Adaptive<PerEntryWeight>),
    Lru(Lru<UnitWeight>),
    LruByWeight(Lru<PerEntryWeight>),
}

/// Does the same with whichever policy it is.
macro_rules! with {
    (
        $policy:expr,
        unbounded $unbounded:pat => $if_unbounded:expr,
        adaptive $adaptive:pat => $if_adaptive:expr,
        lru $lru:pat => $if_lru:expr $(,)?
    ) => {
        match $policy {
            AnyPolicy::Unbounded($unbounded) => $if_unbounded,
            AnyPolicy::Adaptive($adaptive) => $if_adaptive,
            AnyPolicy::AdaptiveByWeight($adaptive) => $if_adaptive,
            AnyPolicy::Lru($lru) => $if_lru,
            AnyPolicy::LruByWeight($lru) => $if_lru,
        }
    };
    (
        $policy:expr,
        unbounded $unbounded:pat => $if_unbounded:expr,
        bounded $bounded:pat => $if_bounded:expr $(,)?
    ) => {
        with!(
            $policy,
            unbounded $unbounded => $if_unbounded,
            adaptive $bounded => $if_bounded,
            lru $bounded => $if_bounded,
        )
    };
}
#[cfg(all(test, not(docache_loom)))]
use with;

/// No limit: nothing to decide, so no order is kept.
#[derive(Debug)]
struct Unbounded {
    len: usize,
    weight: u64,
    /// If entries have weights: the weight of each index; those of free indices are undefined.
    weights: Option<Vec<u32>>,
}

impl Policy {
    /// `limit`: the shard's share, in weight units; entries are of weight 1 unless `weighted`.
    pub(crate) fn new(kind: PolicyKind, limit: Option<u64>, weighted: bool) -> Policy {
        let Some(limit) = limit else {
            return Policy(AnyPolicy::Unbounded(Unbounded {
                len: 0,
                weight: 0,
                weights: weighted.then(Vec::new),
            }));
        };
        Policy(match (kind, weighted) {
            (PolicyKind::Adaptive, false) => AnyPolicy::Adaptive(Adaptive::new(limit)),
            (PolicyKind::Adaptive, true) => AnyPolicy::AdaptiveByWeight(Adaptive::new(limit)),
            (PolicyKind::Lru, false) => AnyPolicy::Lru(Lru::new(limit)),
            (PolicyKind::Lru, true) => AnyPolicy::LruByWeight(Lru::new(limit)),
        })
    }

    /// Says that [`admit`](Policy::admit) will soon be called for a new entry of this hash.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let AnyPolicy::Adaptive(adaptive) = &self.0 {
            adaptive.prefetch(hash);
        }
    }

    /// Takes in `i`, a new entry for which there is room: [`next_victim`](Policy::next_victim) was
    /// called until there was none. Returns the mark that it is to have before the policy is asked
    /// anything else.
    #[inline(always)]
    pub(crate) fn admit(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        hash: u64,
        weight: u32,
    ) -> Mark {
        // The common case first, without a table of jumps, here and below.
        if let AnyPolicy::Adaptive(adaptive) = &mut self.0 {
            return adaptive.admit(entries, i, hash, weight);
        }
        self.admit_by_call(entries, i, hash, weight)
    }

    #[inline(never)]
    fn admit_by_call(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        hash: u64,
        weight: u32,
    ) -> Mark {
        with!(&mut self.0,
            unbounded all => {
                all.add(i, weight);
                Mark::default()
            },
            adaptive adaptive => adaptive.admit(entries, i, hash, weight),
            lru lru => {
                lru.enqueue(i, weight);
                Mark::default()
            },
        )
    }

    /// `new` takes over the place and the history of `old`: the same key got another value. That
    /// counts as a use, as it does with other caches: it is a hit more, or the young end of the LRU
    /// queue. Unless the answer is [`Done`](Admission::Done), [`next_victim`](Policy::next_victim)
    /// is then called until there is none, and [`enqueue`](Policy::enqueue).
    ///
    /// If the new value is heavier than there is room for, others are evicted for it (neither `old`
    /// nor `new`), and it takes the young end of the queue that `old` was in, or of the window if
    /// it was on probation. If `old` weighed nothing, it is enqueued as a new entry is.
    #[inline(always)]
    pub(crate) fn replace(
        &mut self,
        entries: &impl PolicyEntries,
        old: u32,
        new: u32,
        weight: u32,
    ) -> (Admission, Mark) {
        if let AnyPolicy::Adaptive(adaptive) = &mut self.0 {
            return adaptive.replace(entries, old, new, weight);
        }
        self.replace_by_call(entries, old, new, weight)
    }

    #[inline(never)]
    fn replace_by_call(
        &mut self,
        entries: &impl PolicyEntries,
        old: u32,
        new: u32,
        weight: u32,
    ) -> (Admission, Mark) {
        with!(&mut self.0,
            unbounded all => {
                all.remove(old);
                (Admission::Probation, Mark::default())
            },
            adaptive adaptive => adaptive.replace(entries, old, new, weight),
            lru lru => {
                lru.remove(old);
                (Admission::Probation, Mark::default())
            },
        )
    }

    /// Evicts an entry if there is no room for one more of this weight.
    #[inline(always)]
    pub(crate) fn next_victim(
        &mut self,
        entries: &impl PolicyEntries,
        weight: u32,
    ) -> Option<Evicted> {
        if let AnyPolicy::Adaptive(adaptive) = &mut self.0 {
            adaptive.next_victim(entries, weight)
        } else {
            self.next_victim_by_call(entries, weight)
        }
    }

    #[inline(never)]
    fn next_victim_by_call(
        &mut self,
        entries: &impl PolicyEntries,
        weight: u32,
    ) -> Option<Evicted> {
        match &mut self.0 {
            AnyPolicy::Unbounded(_) | AnyPolicy::Adaptive(_) => None,
            AnyPolicy::AdaptiveByWeight(adaptive) => adaptive.next_victim(entries, weight),
            AnyPolicy::Lru(lru) => lru.next_victim(entries, weight),
            AnyPolicy::LruByWeight(lru) => lru.next_victim(entries, weight),
        }
    }

    /// The second half of [`replace`](Policy::replace), when there is room.
    #[inline(always)]
    pub(crate) fn enqueue(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        weight: u32,
        admission: Admission,
    ) {
        if let AnyPolicy::Adaptive(adaptive) = &mut self.0 {
            return adaptive.enqueue(entries, i, weight, admission);
        }
        self.enqueue_by_call(entries, i, weight, admission);
    }

    #[inline(never)]
    fn enqueue_by_call(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        weight: u32,
        admission: Admission,
    ) {
        match &mut self.0 {
            AnyPolicy::Unbounded(all) => all.add(i, weight),
            AnyPolicy::Adaptive(_) => {}
            AnyPolicy::AdaptiveByWeight(adaptive) => {
                adaptive.enqueue(entries, i, weight, admission);
            }
            AnyPolicy::Lru(lru) => lru.enqueue(i, weight),
            AnyPolicy::LruByWeight(lru) => lru.enqueue(i, weight),
        }
    }

    /// `i` was removed or has expired. No ghost is kept of it.
    #[inline(always)]
    pub(crate) fn remove(&mut self, i: u32) {
        if let AnyPolicy::Adaptive(adaptive) = &mut self.0 {
            return adaptive.remove(i);
        }
        self.remove_by_call(i);
    }

    #[inline(never)]
    fn remove_by_call(&mut self, i: u32) {
        with!(&mut self.0, unbounded all => all.remove(i), bounded policy => policy.remove(i));
    }

    /// `i` was used; only LRU wants to know.
    #[inline]
    pub(crate) fn touch(&mut self, i: u32) {
        with!(&mut self.0, unbounded _ => {}, adaptive _ => {}, lru lru => lru.touch(i));
    }

    /// Whether `i` is in a queue, so that it may be evicted for size.
    #[inline]
    pub(crate) fn holds(&self, i: u32) -> bool {
        with!(&self.0, unbounded _ => false, bounded policy => policy.queues().queue_of(i).is_some())
    }

    /// The weight of an entry.
    #[inline]
    pub(crate) fn weight_of(&self, i: u32) -> u32 {
        with!(&self.0,
            unbounded all => all.weight_of(i),
            bounded policy => policy.queues().entry_weight(i),
        )
    }

    /// Entries; if there is a limit, those that weigh something.
    #[cfg(all(test, not(docache_loom)))]
    pub(crate) fn len(&self) -> usize {
        with!(&self.0, unbounded all => all.len, bounded policy => policy.queues().len())
    }

    pub(crate) fn weight(&self) -> u64 {
        with!(&self.0, unbounded all => all.weight, bounded policy => policy.queues().weight())
    }

    #[cfg(all(test, not(docache_loom)))]
    pub(crate) fn limit(&self) -> Option<u64> {
        with!(&self.0, unbounded _ => None, bounded policy => Some(policy.limit()))
    }

    /// Bytes that lie on the heap.
    pub(crate) fn memory(&self) -> usize {
        with!(&self.0, unbounded all => all.memory(), bounded policy => policy.memory())
    }
}

impl Unbounded {
    fn memory(&self) -> usize {
        self.weights.as_ref().map_or(0, |weights| weights.capacity() * size_of::<u32>())
    }

    #[inline]
    fn add(&mut self, i: u32, weight: u32) {
        if let Some(weights) = &mut self.weights {
            if i as usize >= weights.len() {
                weights.resize(i as usize + 1, 0);
            }
            weights[i as usize] = weight;
        }
        self.len += 1;
        self.weight += u64::from(weight);
    }

    #[inline]
    fn remove(&mut self, i: u32) {
        self.len -= 1;
        self.weight -= u64::from(self.weight_of(i));
    }

    #[inline]
    fn weight_of(&self, i: u32) -> u32 {
        self.weights.as_ref().map_or(1, |weights| weights[i as usize])
    }
}
