//! The adaptive policy as it was written down when it was chosen: with deques, divisions and sums,
//! nothing kept that can be counted anew. The real one must take each of its decisions.

use std::collections::VecDeque;

use super::Cells;
use crate::cache::policy::PolicyEntries;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) f: u8,
    pub(super) h: u8,
    pub(super) ep: u8,
    weight: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    fp: u64,
    main: bool,
    h: u8,
    tick: u64,
}

#[derive(Debug)]
pub(super) struct Naive {
    cap: u64,
    weighted: bool,
    /// 16.16.
    pub(super) p: u64,
    newest: u32,
    /// How many of the main queue the present eviction may still send round.
    rounds: usize,
    pub(super) window: VecDeque<u32>,
    pub(super) small: VecDeque<u32>,
    pub(super) main: VecDeque<u32>,
    pub(super) entries: Vec<Entry>,
    /// Up to eight in each set, the youngest first.
    memory: Vec<VecDeque<Slot>>,
    /// The last one, which is put there when the entry that it made room for was looked for.
    pending: Option<(usize, Slot)>,
    /// Small, main.
    out: [u64; 2],
    patience: u64,
    evicted: u64,
    span: u64,
    /// The ticks, and the evictions, before `span` was what it is.
    before: (u64, u64),
}

impl Naive {
    pub(super) fn new(cap: u64, weighted: bool, indices: usize) -> Naive {
        Naive {
            cap,
            weighted,
            p: ((cap << 16) / 10).max(Self::least(cap, weighted)),
            newest: u32::MAX,
            rounds: 0,
            window: VecDeque::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            entries: vec![Entry::default(); indices],
            memory: Vec::new(),
            pending: None,
            out: [0, 0],
            patience: 0,
            evicted: 0,
            span: 1,
            before: (0, 0),
        }
    }

    fn least(cap: u64, weighted: bool) -> u64 {
        ((cap << 16) * if weighted { 2 } else { 1 } / 100).max(2 << 16).min(Self::most(cap))
    }

    fn most(cap: u64) -> u64 {
        ((cap << 16) * 90 / 100).max(1 << 16)
    }

    fn sum(&self, queue: &VecDeque<u32>) -> u64 {
        queue.iter().map(|&i| u64::from(self.entries[i as usize].weight)).sum()
    }

    pub(super) fn weight(&self) -> u64 {
        self.sum(&self.window) + self.sum(&self.small) + self.sum(&self.main)
    }

    fn len(&self) -> usize {
        self.window.len() + self.small.len() + self.main.len()
    }

    fn tick(&self) -> u64 {
        self.before.0 + (self.evicted - self.before.1) * 128 / self.span
    }

    fn epoch(&self) -> u8 {
        (self.tick() / (12 * 128) % 16) as u8
    }

    fn history(&mut self, i: u32) -> u8 {
        let epoch = self.epoch();
        let e = &mut self.entries[i as usize];
        e.h >>= (epoch.wrapping_sub(e.ep) & 15).min(7);
        e.ep = epoch;
        e.h
    }

    fn uses(&mut self, i: u32) -> u8 {
        self.history(i) + self.entries[i as usize].f
    }

    fn absorb_hits(&mut self, i: u32) {
        self.history(i);
        let e = &mut self.entries[i as usize];
        e.h = (e.h + e.f).min(15);
        e.f = 0;
    }

    /// `x` leads the main queue, and goes to the end of it.
    fn send_round(&mut self, x: u32) {
        self.history(x);
        let e = &mut self.entries[x as usize];
        e.h = (e.h + 1).min(15);
        e.f -= 1;
        self.main.rotate_left(1);
        self.rounds -= 1;
    }

    fn victim(&mut self) -> Option<u32> {
        if self.main.iter().all(|&x| x == self.newest) {
            return None;
        }
        while self.rounds > 0 {
            let x = self.main[0];
            if x == self.newest {
                self.main.rotate_left(1);
                self.rounds -= 1;
            } else if self.entries[x as usize].f == 0 {
                return Some(x);
            } else {
                self.send_round(x);
            }
        }
        if self.main[0] == self.newest {
            self.main.rotate_left(1);
        }
        Some(self.main[0])
    }

    fn sweep(&mut self) {
        for _ in 0..self.rounds {
            match self.main.front() {
                Some(&x) if x != self.newest && self.entries[x as usize].f > 0 => {
                    self.send_round(x);
                }
                _ => return,
            }
        }
    }

    fn set(&self, hash: u64) -> usize {
        (((hash >> 15 & 0xffff_ffff) * self.memory.len() as u64) >> 32) as usize
    }

    fn fp(hash: u64) -> u64 {
        (hash & 0x7fff).max(1)
    }

    /// How long ago it was, as twelve bits tell it.
    fn age(&self, tick: u64) -> u64 {
        (self.tick() - tick) % 4096
    }

    fn put(&mut self, hash: u64, main: bool, h: u8) {
        self.settle();
        let slot = Slot { fp: Self::fp(hash), main, h, tick: self.tick() };
        self.pending = Some((self.set(hash), slot));
    }

    fn settle(&mut self) {
        if let Some((set, slot)) = self.pending.take() {
            self.memory[set].push_front(slot);
            self.memory[set].truncate(8);
        }
    }

    fn take(&mut self, hash: u64) -> Option<Slot> {
        let set = self.set(hash);
        let slots = self.memory.get_mut(set)?;
        let place = slots.iter().position(|slot| slot.fp == Self::fp(hash))?;
        slots.remove(place)
    }

    fn begin(&mut self, entries: u64) {
        self.settle();
        self.before = (self.tick(), self.evicted);
        self.span = entries.max(1);
        let sets = (3 * entries as usize).div_ceil(8);
        if sets > self.memory.len() {
            self.memory = vec![VecDeque::new(); sets];
        }
    }

    /// `x` goes; it is in its queue still.
    fn evict_entry(&mut self, x: u32, main: bool, hash: Option<u64>) -> u32 {
        if self.memory.is_empty() {
            self.begin(self.len() as u64);
        }
        self.absorb_hits(x);
        if let Some(hash) = hash {
            self.put(hash, main, self.entries[x as usize].h);
        }
        self.remove(x);
        if self.out[0] + self.out[1] >= 2 * self.span {
            self.out = [self.out[0] / 2, self.out[1] / 2];
        }
        self.out[usize::from(main)] += 1;
        if !main && self.patience == 0 {
            let less = u64::from(self.entries[x as usize].weight) * 65_536 / 32;
            self.p = self.p.saturating_sub(less).max(Self::least(self.cap, self.weighted));
        } else if !main {
            self.patience -= 1;
        }
        self.sweep();
        let turn = self.tick() / 128;
        self.evicted += 1;
        let (len, span) = (self.len() as u64, self.span);
        if self.weighted && self.tick() / 128 != turn && (len / 2 > span || len < span / 2) {
            self.begin(len);
        }
        x
    }

    fn promote(&mut self, x: u32) {
        self.absorb_hits(x);
        self.remove(x);
        self.main.push_back(x);
    }

    fn fits_main(&self, weight: u32) -> bool {
        self.sum(&self.main) + (self.p >> 16) + u64::from(weight) <= self.cap
    }

    fn evict(&mut self, entries: &Cells) -> u32 {
        self.rounds = 6;
        self.evict_one(entries)
    }

    fn evict_one(&mut self, entries: &Cells) -> u32 {
        loop {
            let filled = self.sum(&self.window) + self.sum(&self.small);
            let first = self.small.front().or(self.window.front()).copied();
            let x = first.filter(|_| filled >= self.p >> 16 || self.main.is_empty());
            let Some(x) = x.filter(|&x| x != self.newest || self.entries[x as usize].f > 0) else {
                return match (self.victim(), first) {
                    (Some(v), _) => self.evict_entry(v, true, entries.hash(v)),
                    (None, Some(v)) => self.evict_entry(v, false, entries.hash(v)),
                    (None, None) => {
                        self.evict_entry(self.main[0], true, entries.hash(self.main[0]))
                    }
                };
            };
            let e = self.entries[x as usize];
            if e.f > 0 {
                self.promote(x);
                self.patience = (self.patience + 16).min(64);
                continue;
            }
            let full = !self.fits_main(e.weight);
            if let Some(v) = full.then(|| self.victim()).flatten() {
                let needed = self.uses(v);
                if self.history(x) > needed + needed / 4 {
                    self.promote(x);
                    return self.evict_entry(v, true, entries.hash(v));
                }
            }
            return self.evict_entry(x, false, entries.hash(x));
        }
    }

    fn adapt(&mut self, main: bool) {
        let mean = if self.weighted { self.weight() / (self.len() as u64).max(1) } else { 1 };
        let [small_out, main_out] = self.out;
        let ratio =
            |others: u64, lost: u64| ((others << 16) / lost.max(1)).clamp(1 << 16, 16 << 16) * mean;
        let p = if main {
            self.p.saturating_sub(ratio(small_out, main_out))
        } else {
            self.p + ratio(main_out, small_out)
        };
        self.p = p.clamp(Self::least(self.cap, self.weighted), Self::most(self.cap));
    }

    pub(super) fn admit(&mut self, entries: &Cells, i: u32, hash: u64, weight: u32) -> Vec<u32> {
        let evicted = self.make_room(entries, weight);
        let ghost = self.take(hash);
        self.settle();
        let past = ghost.map_or(0, |ghost| {
            let then = self.tick() - self.age(ghost.tick);
            ghost.h >> (self.tick() / (12 * 128) - then / (12 * 128))
        });
        let h = (past + 1).min(15);
        self.entries[i as usize] = Entry { f: 0, h, ep: self.epoch(), weight };
        self.newest = i;
        if weight == 0 {
            return evicted;
        }
        let mut to_main = self.fits_main(weight);
        if let Some(ghost) = ghost.filter(|ghost| self.age(ghost.tick) <= 128) {
            if ghost.main || past <= 2 {
                self.adapt(ghost.main);
            }
            let first = self.main.front().copied();
            to_main = self.fits_main(weight) || first.is_none_or(|x| h > self.uses(x) + 1);
        }
        self.enqueue(i, to_main);
        evicted
    }

    fn enqueue(&mut self, i: u32, to_main: bool) {
        if to_main {
            self.main.push_back(i);
            return;
        }
        self.window.push_back(i);
        while self.window.len() > 1 && self.sum(&self.window) > self.p >> 18 {
            let x = self.window.pop_front().unwrap();
            self.absorb_hits(x);
            self.small.push_back(x);
        }
    }

    fn make_room(&mut self, entries: &Cells, weight: u32) -> Vec<u32> {
        let mut evicted = Vec::new();
        while self.weight() + u64::from(weight) > self.cap {
            evicted.push(self.evict(entries));
        }
        evicted
    }

    pub(super) fn replace(&mut self, entries: &Cells, old: u32, new: u32, weight: u32) -> Vec<u32> {
        let was = self.entries[old as usize];
        self.entries[new as usize] = Entry { f: (was.f + 1).min(3), weight, ..was };
        let fits = self.weight() - u64::from(was.weight) + u64::from(weight) <= self.cap;
        if was.weight == 0 {
            if weight == 0 {
                self.newest = new;
                return Vec::new();
            }
            let to_main = self.fits_main(weight);
            let evicted = self.make_room(entries, weight);
            self.newest = new;
            self.enqueue(new, to_main);
            return evicted;
        }
        let queues = [&mut self.window, &mut self.small, &mut self.main];
        let places = queues.iter().map(|queue| queue.iter().position(|&x| x == old));
        let (queue, place) =
            places.enumerate().find_map(|(queue, place)| Some((queue, place?))).unwrap();
        if fits && weight > 0 {
            queues[queue][place] = new;
            self.newest = new;
            return Vec::new();
        }
        queues[queue].remove(place);
        let evicted = self.make_room(entries, weight);
        self.newest = new;
        if weight > 0 {
            let young_end = if queue == 2 { &mut self.main } else { &mut self.window };
            young_end.push_back(new);
        }
        evicted
    }

    pub(super) fn remove(&mut self, i: u32) {
        for queue in [&mut self.window, &mut self.small, &mut self.main] {
            queue.retain(|&x| x != i);
        }
    }

    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.small.clear();
        self.main.clear();
    }
}
