//! Family `loop`: snapshots.

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::args::Pick;
use crate::abi::loops::held::snapshots::Held;
use crate::abi::loops::world::World;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place, Places};

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum SnapshotOp {
    Take { pick: Pick, out: Given, error: Given },
    Look(Pick),
    Read { pick: Pick, first: u8, count: u8, out: Given, written: Given, error: Given },
    Retain(Pick),
    Release(Pick),
}

impl SnapshotOp {
    pub(crate) fn apply(self, world: &mut World) {
        match self {
            SnapshotOp::Take { pick, out, error } => take(world, pick, out, error),
            SnapshotOp::Look(pick) => look(world, pick),
            SnapshotOp::Read { pick, first, count, out, written, error } => {
                read(world, pick, (first, usize::from(count % 32)), (out, written, error));
            }
            SnapshotOp::Retain(pick) => retain(world, pick),
            SnapshotOp::Release(pick) => release(world, pick),
        }
    }
}

fn take(world: &mut World, pick: Pick, out: Given, error: Given) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let mut out = Place::one(out);
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let taken = call("loop_snapshot", error, |error| unsafe {
        docache_loop_snapshot(handle, out.pointer(), error)
    });
    let index = pick.index(world.loops.len());
    taken.is_ok_if(index.is_some() && out.is_valid());
    if let (Some(handle), Some(index)) = (out.handle(taken.is_ok(), "loop_snapshot"), index) {
        let held = &mut world.loops[index];
        // SAFETY: HANDLE: a share that was handed out.
        let version = unsafe { docache_snapshot_version(handle) };
        held.saw(version);
        let len = usize::try_from(version)
            .map_or(held.effect.capacity, |all| all.min(held.effect.capacity));
        let snapshot = Held { handle, shares: 1, plan: held.plan.clone(), version, len };
        snapshot.check();
        world.snapshots.push(snapshot);
    }
    world.keep(taken);
}

fn look(world: &World, pick: Pick) {
    if let Some(index) = pick.index(world.snapshots.len()) {
        return world.snapshots[index].check();
    }
    let nothing = pick.handle(&world.snapshots, |held| held.handle);
    // SAFETY: HANDLE: counts as NULL.
    assert_eq!(unsafe { docache_snapshot_len(nothing) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { docache_snapshot_version(nothing) }, 0);
}

fn read(
    world: &mut World,
    pick: Pick,
    (first, count): (u8, usize),
    (out, written, error): (Given, Given, Given),
) {
    let held = pick.index(world.snapshots.len()).map(|index| &world.snapshots[index]);
    // One past the end is fine, two are not.
    let near = usize::from(first) % (held.map_or(0, |held| held.len) + 3);
    let first = if first == u8::MAX { usize::MAX } else { near };
    let handle = pick.handle(&world.snapshots, |held| held.handle);
    let (mut out, mut written) = (Places::many(out, count), Place::one(written));
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let read = call("snapshot_read", error, |error| unsafe {
        docache_snapshot_read(handle, first, out.pointer(), count, written.pointer(), error)
    });
    let held = held
        .filter(|held| first <= held.len && written.is_valid() && (out.is_valid() || count == 0));
    read.is_ok_if(held.is_some());
    let number = written.take(read.is_ok(), "snapshot_read").unwrap_or(0);
    match held {
        Some(held) => {
            assert_eq!(number, count.min(held.len - first));
            held.check_entries(&out, first, number);
        }
        None => assert!(out.untouched_from(0), "entries were written without success"),
    }
    world.keep(read);
}

fn retain(world: &mut World, pick: Pick) {
    let handle = pick.handle(&world.snapshots, |held| held.handle);
    // SAFETY: HANDLE: a share is held, or it counts as NULL.
    assert_eq!(unsafe { docache_snapshot_retain(handle) }, handle);
    if let Some(index) = pick.index(world.snapshots.len()) {
        world.snapshots[index].shares += 1;
    }
}

fn release(world: &mut World, pick: Pick) {
    let Some(index) = pick.index(world.snapshots.len()) else {
        let nothing = pick.handle(&world.snapshots, |held| held.handle);
        // SAFETY: HANDLE: NULL, or what counts as NULL.
        return unsafe { docache_snapshot_release(nothing) };
    };
    world.snapshots[index].release();
    if world.snapshots[index].shares == 0 {
        world.snapshots.swap_remove(index);
    }
}
