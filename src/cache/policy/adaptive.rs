//! The adaptive policy: probation, proof and memory. The parent module's head tells what it does
//! and why.

use super::balance::Balance;
use super::blocks::Position;
use super::ghosts::{From, Ghost, Ghosts, TURN, Turns};
use super::queue::Queues;
use super::weights::Weights;
use super::{Admission, Evicted, MAX_HITS, Mark, PolicyEntries};

/// The young part of those on probation: hits in it do not count, for they follow the insertion too
/// closely to tell anything.
const WINDOW: usize = 0;
/// The others on probation, which stand before it in one list.
const SMALL: usize = 1;
/// Those that proved themselves, or came while there was room.
const MAIN: usize = 2;

/// How many entries an eviction may send back to the end of the main queue: before one goes in
/// spite of its hits, or ahead of the next eviction. Else it would be many at once, and none most
/// of the time.
const ROUNDS: usize = 6;
/// The least room for those on probation, in percent: of entries, and of weight, where less may be
/// room for one only.
const LEAST: u128 = 1;
const LEAST_WEIGHT: u128 = 2;
const MAX_HISTORY: u8 = 15;
/// An entry that comes back to probation with a longer history than this will not be helped by more
/// room there.
const NEWCOMER: u8 = 2;

/// An entry's use in the past: `h:4 | epoch:4`. `h` grows by its hits and was true in the epoch
/// beside it; with each epoch that has passed since it halves.
#[derive(Clone, Copy, PartialEq, Eq)]
struct History(u8);

impl History {
    #[inline]
    fn new(h: u8, epoch: u8) -> History {
        History(h.min(MAX_HISTORY) << 4 | epoch)
    }

    /// Whether it was noted in this epoch.
    #[inline]
    fn is_of(self, epoch: u8) -> bool {
        (self.0 ^ epoch) & 15 == 0
    }

    /// `h` at `epoch`.
    #[inline]
    fn at(self, epoch: u8) -> u8 {
        let passed = epoch.wrapping_sub(self.0) & 15;
        (self.0 >> 4) >> passed.min(7)
    }
}

/// What each replacement looks at comes first, then what each eviction changes.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Adaptive<W: Weights> {
    /// What was put in last: nothing else that can go goes after it.
    newest: u32,
    queues: Queues<W, 3>,
    turns: Turns,
    limit: u64,
    ghosts: Ghosts,
    balance: Balance,
}

/// Asserts that a replacement looks at the first cache line, behind the 8 bytes of the
/// [tag](super::AnyPolicy), and an eviction at two more.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use super::UnitWeight;
    use std::mem::offset_of;
    type Here = Adaptive<UnitWeight>;
    assert!(8 + offset_of!(Here, queues) + Queues::<UnitWeight, 3>::SUBSTITUTED_BYTES == 64);
    assert!(8 + offset_of!(Here, balance) + Balance::EVICTED_BYTES <= 3 * 64);
};

/// An entry that is to go: the first of its queue.
#[derive(Clone, Copy, Debug)]
struct Victim<E> {
    i: u32,
    entry: E,
    queue: usize,
    /// What its ghost is to remember.
    h: u8,
}

impl<W: Weights> Adaptive<W> {
    pub(super) fn new(limit: u64) -> Self {
        Adaptive {
            newest: u32::MAX,
            queues: Queues::new(limit),
            turns: Turns::new(1),
            limit,
            balance: Balance::new(limit, if W::DIFFER { LEAST_WEIGHT } else { LEAST }),
            ghosts: Ghosts::default(),
        }
    }

    pub(super) fn queues(&self) -> &Queues<W, 3> {
        &self.queues
    }

    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn balance(&self) -> &Balance {
        &self.balance
    }

    /// Says that [`admit`](Adaptive::admit) will soon be called for an entry of this hash.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        self.ghosts.prefetch(hash);
    }

    #[inline(always)]
    pub(super) fn admit(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        hash: u64,
        weight: u32,
    ) -> Mark {
        let ghost = self.ghosts.take(hash, self.turns.tick());
        let past = ghost.map_or(0, |ghost| ghost.history >> self.turns.epochs_since(ghost.age));
        let h = past + 1;
        self.newest = i;
        if W::DIFFER && weight == 0 {
            self.queues.push(WINDOW, i, weight);
        } else if self.is_proven(entries, ghost, past, weight) {
            self.queues.push(MAIN, i, weight);
        } else {
            self.queues.push(WINDOW, i, weight);
            self.drain_window(entries);
        }
        self.ghosts.settle();
        Mark { hits: 0, history: History::new(h, self.turns.epoch()).0 }
    }

    /// Whether a new entry belongs to the main queue: if that has room, or if the entry comes back
    /// soon and is better than the first there. That it comes back changes how much room there is.
    #[inline(always)]
    fn is_proven(
        &mut self,
        entries: &impl PolicyEntries,
        ghost: Option<Ghost>,
        past: u8,
        weight: u32,
    ) -> bool {
        let Some(from) = ghost.filter(|ghost| ghost.age <= TURN).map(|ghost| ghost.from) else {
            return self.main_has_room(weight);
        };
        if from == From::Main || past <= NEWCOMER {
            self.balance.adapt(from, self.average_weight());
        }
        self.main_has_room(weight) || {
            // One use more is not enough: in a loop it is this one's turn, and not yet the first's.
            let h = (past + 1).min(MAX_HISTORY);
            let first = self.queues.first(MAIN);
            first.is_none_or(|i| h > self.uses(entries, entries.entry(i)) + 1)
        }
    }

    #[inline(always)]
    pub(super) fn replace(
        &mut self,
        entries: &impl PolicyEntries,
        old: u32,
        new: u32,
        weight: u32,
    ) -> (Admission, Mark) {
        let Mark { hits, history } = entries.mark(entries.entry(old));
        let mark = Mark { hits: hits.min(MAX_HITS - 1) + 1, history };
        if W::DIFFER {
            return (self.replace_by_weight(old, new, weight), mark);
        }
        self.queues.substitute(old, new, weight);
        self.newest = new;
        (Admission::Done, mark)
    }

    #[inline(never)]
    fn replace_by_weight(&mut self, old: u32, new: u32, weight: u32) -> Admission {
        let Some(queue) = self.queues.queue_of(old) else {
            let proven = weight == 0 || self.main_has_room(weight);
            return if proven { Admission::Main } else { Admission::Probation };
        };
        let left = u64::from(self.queues.entry_weight(old));
        if weight > 0 && self.queues.weight() - left + u64::from(weight) <= self.limit {
            self.queues.substitute(old, new, weight);
            self.newest = new;
            return Admission::Done;
        }
        self.queues.unlink(old);
        Admission::Queue(queue as u8)
    }

    /// Evicts an entry if one more of this weight does not fit in.
    #[inline(always)]
    pub(super) fn next_victim(
        &mut self,
        entries: &impl PolicyEntries,
        weight: u32,
    ) -> Option<Evicted> {
        if self.queues.weight() + u64::from(weight) <= self.limit {
            return None;
        }
        let (mut rounds, main) = (ROUNDS, self.queues.head(MAIN));
        let victim = self.victim(entries, &mut rounds)?;
        let evicted = self.evict(entries, victim, rounds);
        self.prefetch_next(entries, main);
        Some(evicted)
    }

    #[inline(always)]
    pub(super) fn enqueue(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        weight: u32,
        admission: Admission,
    ) {
        self.newest = i;
        match admission {
            Admission::Probation => {
                self.queues.push(WINDOW, i, weight);
                self.drain_window(entries);
            }
            Admission::Main => self.queues.push(MAIN, i, weight),
            Admission::Queue(queue) => self.push_into(queue.into(), i, weight),
            Admission::Done => {}
        }
    }

    /// For those on probation the young end is that of the window.
    #[cold]
    fn push_into(&mut self, queue: usize, i: u32, weight: u32) {
        self.queues.push(if queue == MAIN { MAIN } else { WINDOW }, i, weight);
    }

    #[inline]
    pub(super) fn remove(&mut self, i: u32) {
        self.queues.unlink(i);
    }

    pub(super) fn memory(&self) -> usize {
        self.queues.memory() + self.ghosts.memory()
    }

    /// Whether one more entry of this weight fits into what those on probation leave to the others.
    #[inline]
    fn main_has_room(&self, weight: u32) -> bool {
        self.queues.weight_of(MAIN) + self.balance.small() + u64::from(weight) <= self.limit
    }

    fn average_weight(&self) -> u64 {
        if W::DIFFER { self.queues.weight() / (self.queues.len() as u64).max(1) } else { 1 }
    }

    /// The entry that is to go. It ends: each entry on probation that it passes over leaves
    /// probation. Takes those that it sends round off `rounds`, which is 0 then if the first of the
    /// main queue has no hits, and stays.
    #[inline(always)]
    fn victim<P: PolicyEntries>(
        &mut self,
        entries: &P,
        rounds: &mut usize,
    ) -> Option<Victim<P::Entry>> {
        loop {
            let Some(i) = self.candidate(entries) else {
                return self.victim_elsewhere(entries, rounds);
            };
            let entry = entries.entry(i);
            let mark = entries.mark(entry);
            if mark.hits > 0 {
                self.promote(entries, i);
                self.balance.probation_pays();
                continue;
            }
            let h = self.remember(entries, entry, mark, 0);
            if !self.main_has_room(self.queues.entry_weight(i)) {
                if let Some(victim) = self.beaten_by(entries, h, rounds) {
                    self.promote(entries, i);
                    return Some(victim);
                }
            }
            let queue = self.eldest_queue();
            return Some(Victim { i, entry, queue, h });
        }
    }

    /// The same if nobody on probation is a candidate.
    #[inline(never)]
    fn victim_elsewhere<P: PolicyEntries>(
        &mut self,
        entries: &P,
        rounds: &mut usize,
    ) -> Option<Victim<P::Entry>> {
        // If there is no victim the newest is in the main queue alone, or all alone.
        let (i, queue) = match (self.main_victim(entries, rounds), self.on_probation()) {
            (Some(i), _) => (i, MAIN),
            (None, Some(i)) => (i, self.eldest_queue()),
            (None, None) => (self.queues.first(MAIN)?, MAIN),
        };
        let entry = entries.entry(i);
        Some(Victim { i, entry, queue, h: self.absorb_hits(entries, entry) })
    }

    /// A contest: the main queue's next victim, if one that was used so often was used clearly
    /// more.
    #[inline(always)]
    fn beaten_by<P: PolicyEntries>(
        &mut self,
        entries: &P,
        uses: u8,
        rounds: &mut usize,
    ) -> Option<Victim<P::Entry>> {
        let i = self.queues.first(MAIN)?;
        let entry = entries.entry(i);
        let mark = entries.mark(entry);
        let has_no_hits = mark.hits == 0 && i != self.newest;
        let (i, entry, needed) = if has_no_hits {
            (i, entry, self.remember(entries, entry, mark, 0))
        } else {
            self.main_victim_and_its_uses(entries, rounds)?
        };
        let victim = Victim { i, entry, queue: MAIN, h: needed.min(MAX_HISTORY) };
        let is_beaten = uses > needed + needed / 4;
        if has_no_hits && !is_beaten {
            *rounds = 0;
        }
        is_beaten.then_some(victim)
    }

    #[inline(never)]
    fn main_victim_and_its_uses<P: PolicyEntries>(
        &mut self,
        entries: &P,
        rounds: &mut usize,
    ) -> Option<(u32, P::Entry, u8)> {
        let i = self.main_victim(entries, rounds)?;
        let entry = entries.entry(i);
        Some((i, entry, self.uses(entries, entry)))
    }

    /// The next entry that must prove itself or go, if those on probation fill their room. The
    /// newest is not asked to: unless it was hit, it is there alone.
    #[inline]
    fn candidate(&self, entries: &impl PolicyEntries) -> Option<u32> {
        let filled = self.queues.weight_of(WINDOW) + self.queues.weight_of(SMALL);
        if filled < self.balance.small() && self.queues.len_of(MAIN) > 0 {
            return None;
        }
        self.on_probation().filter(|&i| i != self.newest || entries.mark(entries.entry(i)).hits > 0)
    }

    /// The eldest on probation.
    #[inline]
    fn on_probation(&self) -> Option<u32> {
        self.queues.first(self.eldest_queue())
    }

    /// The queue that the eldest on probation is in.
    #[inline]
    fn eldest_queue(&self) -> usize {
        if self.queues.len_of(SMALL) > 0 { SMALL } else { WINDOW }
    }

    /// The next entry to go from the main queue, which it still leads. Those before it that were
    /// hit go round once more and are one hit poorer; the newest goes round, too.
    #[inline]
    fn main_victim(&mut self, entries: &impl PolicyEntries, rounds: &mut usize) -> Option<u32> {
        if self.queues.len_of(MAIN) == 1 && self.queues.first(MAIN) == Some(self.newest) {
            return None;
        }
        self.queues.beside_first(MAIN).take(ROUNDS).for_each(|i| entries.prefetch(i));
        *rounds -= self.send_round(entries, *rounds, true);
        if self.queues.first(MAIN) == Some(self.newest) {
            self.queues.rotate_while(MAIN, 1, |_| true);
        }
        self.queues.first(MAIN)
    }

    /// Sends the first ones of the main queue to the end of it, as long as they were hit, each one
    /// hit poorer; and the newest, if `with_newest`. At most so many: how many it were.
    #[inline(never)]
    fn send_round(
        &mut self,
        entries: &impl PolicyEntries,
        most: usize,
        with_newest: bool,
    ) -> usize {
        let (newest, turns) = (self.newest, &self.turns);
        self.queues.rotate_while(MAIN, most, |i| {
            if i == newest {
                return with_newest;
            }
            let entry = entries.entry(i);
            let mark = entries.mark(entry);
            if mark.hits > 0 {
                remember(turns, entries, entry, mark, 1);
            }
            mark.hits > 0
        })
    }

    /// Asks for entries that the next evictions will look at, while others have their turn. `main`:
    /// the head of the main queue when that was last done.
    #[inline(always)]
    fn prefetch_next(&self, entries: &impl PolicyEntries, main: Position) {
        if let Some(i) = self.queues.beside_first(self.eldest_queue()).nth(1) {
            entries.prefetch(i);
        }
        if self.queues.head(MAIN).block() != main.block() {
            self.queues.next_block(MAIN).for_each(|i| entries.prefetch(i));
        }
    }

    /// Moves the eldest on probation to the main queue.
    #[inline(never)]
    fn promote(&mut self, entries: &impl PolicyEntries, i: u32) {
        self.absorb_hits(entries, entries.entry(i));
        self.queues.move_first(self.eldest_queue(), MAIN, i);
    }

    /// Unlinks an entry and leaves a ghost of it. While its ghosts and its bucket, which long since
    /// left the processor's caches, are on their way, sends others round.
    #[inline(always)]
    fn evict<P: PolicyEntries>(
        &mut self,
        entries: &P,
        Victim { i, entry, queue, h }: Victim<P::Entry>,
        rounds: usize,
    ) -> Evicted {
        if self.turns_are_unknown() {
            self.measure_turns();
        }
        let hash = entries.hash(entry);
        let from = if queue == MAIN { From::Main } else { From::Small };
        if let Some(hash) = hash {
            self.ghosts.put(hash, from, h, self.turns.tick());
            entries.prefetch_unlinking(hash);
        }
        self.balance.count(from, self.queues.entry_weight(i), self.turns.span());
        self.queues.unlink_first(queue, i);
        self.send_round(entries, rounds, false);
        if self.turns.advance() && W::DIFFER {
            self.correct_turns();
        }
        Evicted { i, hash }
    }

    /// Lets the eldest of the window grow up while there are too many; the youngest stays.
    #[inline(always)]
    fn drain_window(&mut self, entries: &impl PolicyEntries) {
        while self.queues.weight_of(WINDOW) > self.balance.window()
            && self.queues.len_of(WINDOW) > 1
        {
            let Some(eldest) = self.queues.first(WINDOW) else { return };
            self.absorb_hits(entries, entries.entry(eldest));
            self.queues.hand_over();
        }
    }

    /// An entry's history, and the hits that will be added to it.
    #[inline]
    fn uses<P: PolicyEntries>(&self, entries: &P, entry: P::Entry) -> u8 {
        let mark = entries.mark(entry);
        self.remember(entries, entry, mark, 0) + mark.hits.min(MAX_HITS)
    }

    #[inline]
    fn remember<P: PolicyEntries>(&self, entries: &P, entry: P::Entry, mark: Mark, hits: u8) -> u8 {
        remember(&self.turns, entries, entry, mark, hits)
    }

    /// Turns an entry's hits into history.
    #[inline]
    fn absorb_hits<P: PolicyEntries>(&self, entries: &P, entry: P::Entry) -> u8 {
        let mark = entries.mark(entry);
        self.remember(entries, entry, mark, mark.hits)
    }

    #[inline]
    fn turns_are_unknown(&self) -> bool {
        self.ghosts.is_empty()
    }

    /// The first entry is to be evicted: now it is known how many fit in.
    #[cold]
    #[inline(never)]
    fn measure_turns(&mut self) {
        let entries = self.queues.len();
        self.turns.set_span(entries);
        self.ghosts.grow(entries);
    }

    /// After a turn: entries may have become heavier or lighter on average.
    #[cold]
    #[inline(never)]
    fn correct_turns(&mut self) {
        let (entries, span) = (self.queues.len(), self.turns.span() as usize);
        if entries / 2 > span || entries < span / 2 {
            self.turns.set_span(entries);
            self.ghosts.grow(entries);
        }
    }
}

/// Turns so many hits of an entry with this mark into history, which it returns. What has not
/// changed is not written: readers share the line.
#[inline]
fn remember<P: PolicyEntries>(
    turns: &Turns,
    entries: &P,
    entry: P::Entry,
    mark: Mark,
    hits: u8,
) -> u8 {
    let (was, epoch) = (History(mark.history), turns.epoch());
    if hits == 0 && was.is_of(epoch) {
        // As most are.
        return was.0 >> 4;
    }
    let h = (was.at(epoch) + hits.min(MAX_HITS)).min(MAX_HISTORY);
    let now = Mark { hits: mark.hits - hits, history: History::new(h, epoch).0 };
    if now != mark {
        entries.set_mark(entry, now);
    }
    h
}
