//! Where a shard's entries lie: in chunks that do not move, so that readers may keep addresses, and
//! that are used again and again, so that a cache that churns allocates nothing.
//!
//! # State
//! Place `i` is number `i % n` of chunk `i / n`, where `n` is [`chunk_places`], so that no chunk is
//! large. The addresses of the chunks are in the *directory*, an array that readers find through
//! the shard's view. One that has become too small is kept, for readers that still use it.
//!
//! Some free places are kept *ready*, so that most writes do not look at a chunk: such as were
//! given back, or a run of places that were never given out. Their chunks count them as used.
//!
//! # Invariants
//! - LOCKED: places are given out and taken back under the shard's lock.
//! - THERE: the published directory covers every index that is in a table, and has the address of
//!   its chunk. Both are stored before the index is published (Release). A reader loads the index
//!   first (Acquire), and only then the directory and the chunk's address; so it sees the ones of
//!   that time or later ones, and the address may be loaded Relaxed. It cannot be of another chunk,
//!   since a chunk with a place that a reader may see is not freed (EMPTY). A directory that was
//!   replaced may have the address of a freed chunk, but no reader takes a new index to it.
//! - EMPTY: a chunk is freed only when all its places are free; no reader can see any of them then.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ptr::{NonNull, null_mut};

use super::place::Place;
use crate::cache::policy::MAX_ENTRIES;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// The most bytes of a chunk, unless a single entry is larger.
const CHUNK_BYTES: usize = 12 << 10;
/// The most places of a slab: as many entries as a policy can have.
pub(crate) const MAX_PLACES: usize = MAX_ENTRIES;

/// The places of a chunk: a power of two.
pub(crate) const fn chunk_places<K, V>() -> usize {
    if cfg!(docache_loom) {
        return 2;
    }
    match CHUNK_BYTES / size_of::<Place<K, V>>() {
        0 => 1,
        fit @ 1..=512 => 1 << fit.ilog2(),
        _ => 512,
    }
}
/// How many places are kept ready at most: with their number they fill a cache line.
pub(crate) const READY: usize = 14;
/// No place.
const NONE: u32 = u32::MAX;

/// The address of a chunk; a directory is an array of these.
pub(crate) type ChunkPtr<K, V> = AtomicPtr<Place<K, V>>;

/// The place of an index.
///
/// # Safety
/// The index was found in a table of this shard, or the caller has it from the slab, and its place
/// is not given back meanwhile.
#[inline(always)]
pub(crate) unsafe fn place<'a, K, V>(
    directory: *const ChunkPtr<K, V>,
    index: u32,
) -> &'a Place<K, V> {
    // SAFETY: the directory reaches that far (THERE).
    let chunk = unsafe { directory.add(index as usize / chunk_places::<K, V>()) };
    // SAFETY: as above; directories are kept.
    let chunk = unsafe { &*chunk }.load(Ordering::Relaxed);
    // SAFETY: the chunk is there (THERE, EMPTY).
    unsafe { std::hint::assert_unchecked(!chunk.is_null()) };
    // SAFETY: as above.
    let place = unsafe { chunk.add(index as usize % chunk_places::<K, V>()) };
    // SAFETY: the place has been given out, so it holds a `Place`.
    unsafe { &*place }
}

#[derive(Debug)]
struct Chunk {
    /// How many places it has.
    places: u32,
    /// The high-water mark: how many of them were ever in a run. The memory of the others is still
    /// uninitialized.
    high_water: u32,
    /// How many are given out, or kept ready.
    used: u32,
    /// The first of those that were given back, by index; linked through themselves.
    free: u32,
    /// Whether its number is in `candidates`.
    queued: bool,
}

/// The places of a shard. What each write changes comes [last](Slab::HOT_BYTES).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slab<K, V> {
    chunks: Vec<Chunk>,
    /// Min-heap of the numbers of chunks that may have free places (full and freed ones are skipped
    /// when they come up). Low numbers come first, so that indices become small again after a
    /// surge.
    candidates: BinaryHeap<Reverse<u32>>,
    /// All directories there have been; the last is the one that is published.
    directories: Vec<Box<[ChunkPtr<K, V>]>>,
    /// The numbers of chunks that were freed.
    freed: Vec<u32>,
    /// How many places there may be.
    max_places: usize,
    /// How many there are.
    places: usize,
    /// How many places no chunk has: those that are given out, and those that are ready.
    taken: u32,
    ready_len: u32,
    /// The first `ready_len` of these are ready, and the last of them is given out next. Places of
    /// high index are not kept here, so that indices can become small again.
    ready: [u32; READY],
}

impl<K, V> Slab<K, V> {
    /// The size of its tail, which every write changes.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "models have no cache lines"))]
    pub(super) const HOT_BYTES: usize = size_of::<Self>() - std::mem::offset_of!(Self, taken);

    /// An empty slab that may grow to `max_places` places.
    pub(crate) fn new(max_places: usize) -> Slab<K, V> {
        Slab {
            chunks: Vec::new(),
            candidates: BinaryHeap::new(),
            directories: Vec::new(),
            freed: Vec::new(),
            max_places: max_places.min(MAX_PLACES),
            places: 0,
            taken: 0,
            ready_len: 0,
            ready: [NONE; READY],
        }
    }

    /// How many places are given out.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        (self.taken - self.ready_len) as usize
    }

    pub(crate) fn directory(&self) -> *const ChunkPtr<K, V> {
        self.directories.last().map_or(std::ptr::null(), |directory| directory.as_ptr())
    }

    /// Bytes.
    pub(crate) fn memory(&self) -> usize {
        let entries: usize =
            self.chunks.iter().map(|chunk| chunk.places as usize * size_of::<Place<K, V>>()).sum();
        let directories: usize =
            self.directories.iter().map(|directory| size_of_val(&**directory)).sum();
        entries + directories + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// How many places are ready, of [`READY`] at most.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.ready_len as usize
    }

    /// A place that is ready, if there is one.
    #[inline(always)]
    pub(crate) fn take_ready(&mut self) -> Option<u32> {
        let last = self.ready_len.checked_sub(1)?;
        self.ready_len = last;
        self.ready.get(last as usize).copied()
    }

    /// A free place, or `None` if there are no more. The directory may have moved.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.take_ready().or_else(|| self.take_from_chunk())
    }

    fn take_from_chunk(&mut self) -> Option<u32> {
        let number = self.chunk_with_room()?;
        let index = self.chunks[number].free;
        if index == NONE {
            self.begin_run(number);
            return self.take_ready();
        }
        let directory = self.directory();
        let chunk = &mut self.chunks[number];
        // SAFETY: given out before and given back, so it holds a `Place`, and its chunk is there.
        chunk.free = unsafe { place(directory, index) }.next_free();
        chunk.used += 1;
        self.taken += 1;
        Some(index)
    }

    /// Keeps places of this chunk ready, which has room and none that was given back; nothing else
    /// is ready.
    fn begin_run(&mut self, number: usize) {
        let base = self.directories.last().expect("a chunk has an address")[number]
            .load(Ordering::Relaxed);
        let chunk = &mut self.chunks[number];
        let begin = chunk.high_water;
        let end = chunk.places.min(begin + READY as u32);
        for at in begin..end {
            // SAFETY: less than the chunk's places.
            let place = unsafe { base.add(at as usize) };
            // SAFETY: it was never given out (`high_water`), so nobody has a reference to it.
            unsafe { place.write(Place::vacant()) };
        }
        chunk.used += end - begin;
        chunk.high_water = end;
        let first = (number * chunk_places::<K, V>()) as u32;
        // The first is taken first.
        let run = (first + begin..first + end).rev();
        self.ready.iter_mut().zip(run).for_each(|(ready, index)| *ready = index);
        self.ready_len = end - begin;
        self.taken += end - begin;
    }

    /// The least index that is a high one.
    #[inline]
    fn high(&self) -> usize {
        2 * self.used() + chunk_places::<K, V>()
    }

    /// Takes a place back.
    ///
    /// # Safety
    /// It was given out, it is empty, and nobody can see it any more.
    #[inline]
    pub(crate) unsafe fn give_back(&mut self, index: u32) {
        let is_high = index as usize >= self.high();
        match self.ready.get_mut(self.ready_len as usize).filter(|_| !is_high) {
            Some(ready) => {
                *ready = index;
                self.ready_len += 1;
            }
            // SAFETY: the caller's promise.
            None => unsafe { self.return_to_chunk(index) },
        }
    }

    /// Takes places back that were used a while ago together.
    ///
    /// # Safety
    /// As [`give_back`](Slab::give_back)'s, of each.
    #[inline]
    pub(crate) unsafe fn give_all_back(&mut self, indices: &[u32]) {
        let high = self.high();
        let any_high = indices.iter().fold(false, |any, &index| any | (index as usize >= high));
        let begin = self.ready_len as usize;
        match self.ready.get_mut(begin..begin + indices.len()).filter(|_| !any_high) {
            Some(ready) => {
                ready.copy_from_slice(indices);
                self.ready_len += indices.len() as u32;
            }
            // SAFETY: the caller's promise.
            None => indices.iter().for_each(|&index| unsafe { self.give_back(index) }),
        }
    }

    /// Returns places to their chunks that are ready but have become high ones, since fewer are
    /// given out now: each of them would keep a chunk alive.
    pub(crate) fn trim_ready(&mut self) {
        let (high, ready) = (self.high(), self.ready);
        let count = std::mem::take(&mut self.ready_len) as usize;
        for &index in &ready[..count] {
            if (index as usize) < high {
                self.ready[self.ready_len as usize] = index;
                self.ready_len += 1;
            } else {
                // SAFETY: it was ready, so it holds an empty `Place`, and nobody can see it.
                unsafe { self.return_to_chunk(index) };
            }
        }
    }

    /// # Safety
    /// It was given out or ready, it is empty, and nobody can see it any more.
    unsafe fn return_to_chunk(&mut self, index: u32) {
        let number = index as usize / chunk_places::<K, V>();
        // SAFETY: it was given out or ready, by the caller's promise, so it holds a `Place`.
        let place = unsafe { place(self.directory(), index) };
        let chunk = &mut self.chunks[number];
        place.set_next_free(chunk.free);
        chunk.free = index;
        chunk.used -= 1;
        self.taken -= 1;
        let empty = chunk.used == 0;
        if !chunk.queued {
            chunk.queued = true;
            self.candidates.push(Reverse(number as u32));
        }
        // Up to two empty chunks are kept, so that a shard whose size hovers around a chunk's edge
        // does not allocate and free all the time.
        if empty && self.places - self.used() > 2 * chunk_places::<K, V>() {
            // SAFETY: none of its places is given out (EMPTY).
            unsafe { self.free_chunk(number) };
        }
    }

    /// A chunk with a free place.
    fn chunk_with_room(&mut self) -> Option<usize> {
        while let Some(&Reverse(number)) = self.candidates.peek() {
            let chunk = &mut self.chunks[number as usize];
            if chunk.used < chunk.places {
                return Some(number as usize);
            }
            chunk.queued = false;
            self.candidates.pop();
        }
        self.grow()
    }

    /// Adds a chunk.
    #[cold]
    fn grow(&mut self) -> Option<usize> {
        let number = self.freed.last().map_or(self.chunks.len(), |&number| number as usize);
        let places = self
            .max_places
            .saturating_sub(number * chunk_places::<K, V>())
            .min(chunk_places::<K, V>());
        if places == 0 {
            return None;
        }
        self.freed.pop();
        self.places += places;
        let layout = layout::<K, V>(places);
        // SAFETY: an entry is not zero-sized.
        let base = unsafe { alloc(layout) }.cast::<Place<K, V>>();
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        let chunk =
            Chunk { places: places as u32, high_water: 0, used: 0, free: NONE, queued: true };
        if number == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[number] = chunk;
        }
        self.extend_directory(number);
        self.directories.last().expect("just reached")[number]
            .store(base.as_ptr(), Ordering::Release);
        self.candidates.push(Reverse(number as u32));
        Some(number)
    }

    /// Makes the directory reach as far as this chunk.
    fn extend_directory(&mut self, number: usize) {
        let length = self.directories.last().map_or(0, |directory| directory.len());
        if number < length {
            return;
        }
        let max_chunks = self.max_places.div_ceil(chunk_places::<K, V>());
        let longer = (2 * length).max(number + 1).max(4).min(max_chunks);
        let old: &[ChunkPtr<K, V>] = self.directories.last().map_or(&[], |directory| directory);
        let chunk = |at| {
            old.get(at).map_or(null_mut(), |chunk: &ChunkPtr<K, V>| chunk.load(Ordering::Relaxed))
        };
        let directory = (0..longer).map(|at| AtomicPtr::new(chunk(at))).collect();
        self.directories.push(directory);
    }

    /// Frees a chunk. Its number may stay in the heap `candidates`: `chunk_with_room` pops it,
    /// since it has no room, before it grows the slab, so no number is in there twice.
    ///
    /// # Safety
    /// No pair lies in the chunk, and nobody can see its places.
    #[cold]
    unsafe fn free_chunk(&mut self, number: usize) {
        let queued = self.chunks[number].queued;
        let gone = Chunk { places: 0, high_water: 0, used: 0, free: NONE, queued };
        let chunk = std::mem::replace(&mut self.chunks[number], gone);
        if chunk.places == 0 {
            return;
        }
        self.places -= chunk.places as usize;
        self.freed.push(number as u32);
        let base = self.directories.last().expect("a chunk has an address")[number]
            .load(Ordering::Relaxed);
        // SAFETY: allocated in `grow` with this layout, and used by nobody, as the caller promises.
        // A `Place` itself needs no destructor.
        unsafe { dealloc(base.cast(), layout::<K, V>(chunk.places as usize)) };
    }
}

impl<K, V> Drop for Slab<K, V> {
    fn drop(&mut self) {
        for number in 0..self.chunks.len() {
            // SAFETY: `Shard::drop` has dropped all pairs, and nobody else is there.
            unsafe { self.free_chunk(number) };
        }
    }
}

/// The layout of a chunk of so many places, aligned so that they straddle as few cache lines as
/// possible.
fn layout<K, V>(places: usize) -> Layout {
    let layout = Layout::array::<Place<K, V>>(places).expect("a chunk of places fits into memory");
    layout.align_to(64).expect("cache lines are small")
}

// SAFETY: it owns its entries. Readers reach them through the shard's view, and the shard's own
// bounds (`K` and `V`: Send + Sync) are for them.
unsafe impl<K: Send, V: Send> Send for Slab<K, V> {}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_there_may_be() {
        let max = 5 * chunk_places::<u64, u64>() / 2;
        let mut slab = Slab::<u64, u64>::new(max);
        let places: Vec<u32> = std::iter::from_fn(|| slab.take()).collect();
        assert_eq!(places, (0..max as u32).collect::<Vec<_>>());
        assert_eq!((slab.used(), slab.take()), (max, None));
        // SAFETY: it was given out, and nothing was put there.
        unsafe { slab.give_back(7) };
        assert_eq!((slab.take(), slab.take()), (Some(7), None));
    }

    #[test]
    fn places_that_are_ready_hold_no_chunk_up() {
        let per_chunk = chunk_places::<u64, u64>() as u32;
        let mut slab = Slab::<u64, u64>::new(usize::MAX);
        let places: Vec<u32> = (0..10 * per_chunk).map(|_| slab.take().unwrap()).collect();
        // First those that are then ready: one of each chunk.
        let first = |place: &u32| place % per_chunk == 0;
        let give_back = |slab: &mut Slab<u64, u64>, place: &u32| {
            // SAFETY: it was given out, and nothing was put there.
            unsafe { slab.give_back(*place) };
        };
        places.iter().filter(|place| first(place)).for_each(|place| give_back(&mut slab, place));
        places.iter().filter(|place| !first(place)).for_each(|place| give_back(&mut slab, place));
        let held_up = slab.memory();
        slab.trim_ready();
        assert_eq!(slab.used(), 0);
        assert!(slab.memory() < held_up / 2, "{} of {held_up}", slab.memory());
        let again: std::collections::HashSet<u32> =
            (0..10 * per_chunk).map(|_| slab.take().unwrap()).collect();
        assert_eq!(again, places.into_iter().collect(), "each is given out once");
    }
}
