//! Stores: made, shared, told to fail.

use std::ptr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use docache::ffi::*;

use super::own::{Own, callbacks, drop_own};
use super::script::Stock;
use super::world::{Shape, StoreShare, World, called};
use crate::abi::args::{Pick, Returned};
use crate::abi::memory::{Memory, Size, Tail};
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, Registration, ctx};

const HOUR: u64 = 3_600_000_000_000;
/// Stores around stores around stores: no more than these.
const LAYERS: usize = 4;

/// A time to live.
fn life(which: u8) -> u64 {
    match which {
        0..=159 => 0,
        160..=199 => DOCACHE_NEVER,
        200..=229 => HOUR,
        230..=255 => u64::from(which - 229),
    }
}

/// What a store is to be made of, if that is acceptable, and the call that makes it.
struct Plan<'a> {
    what: &'static str,
    shape: Option<Shape>,
    own: Option<std::sync::Arc<Own>>,
    #[allow(clippy::type_complexity, reason = "a call")]
    make: Box<dyn FnOnce(*mut *mut docache_store, *mut *mut docache_error) -> docache_status + 'a>,
}

pub(crate) fn new(world: &World, stock: &Stock, (out, error): (Given, Given)) {
    let plan = match stock {
        Stock::Memory { capacity, time_to_live, lru, size, tail } => {
            memory(world, (*capacity, *time_to_live, *lru), (*size, *tail))
        }
        Stock::Single { time_to_live } => single(world, *time_to_live),
        Stock::Tiered { near, far, most } => match tiered(world, (*near, *far), *most) {
            Some(plan) => plan,
            None => return,
        },
        Stock::Breaker { inner, failures } => match breaker(world, *inner, *failures) {
            Some(plan) => plan,
            None => return,
        },
        Stock::Own { drops, missing, size } => own(world, *drops, *missing, *size),
    };
    let Plan { what, shape, own, make } = plan;
    let mut out = Place::one(out);
    let place = out.pointer();
    let made = call(what, error, |error| make(place, error));
    made.is_ok_if(shape.is_some() && out.is_valid());
    let handle = out.handle(made.is_ok(), what);
    if let (Some(handle), Some(shape)) = (handle, shape) {
        if shape.leaves.len() > 1 {
            world.common.model().tie(&shape.leaves);
        }
        world.stores.borrow_mut().push(StoreShare { handle, shape: Rc::new(shape), own });
    } else if let (Some(own), Stock::Own { .. }) = (own, stock) {
        assert_eq!(own.registration.is_dropped(), own.registration.is_counted());
    }
}

fn leaf(world: &World, single: bool, exact: bool) -> Shape {
    Shape { leaves: vec![world.common.model().add_leaf(single, exact)], layers: 1 }
}

fn memory<'a>(
    world: &World,
    (capacity, time_to_live, lru): (u8, u8, bool),
    (size, tail): (Size, Tail),
) -> Plan<'a> {
    let options = docache_store_memory_options {
        size: size.of(size_of::<docache_store_memory_options>()),
        capacity: u64::from(capacity),
        time_to_live_ns: life(time_to_live),
        shards: 0,
        policy: u32::from(lru),
        reserved: 0,
    };
    let memory = Memory::new(&options, options.size, tail);
    let is_good = memory.fits && (!lru || capacity > 0);
    Plan {
        what: "store_memory_new",
        shape: is_good.then(|| leaf(world, false, true)),
        own: None,
        // SAFETY: SPAN: the memory is as long as it says, or says what is refused.
        make: Box::new(move |out, error| unsafe {
            docache_store_memory_new(memory.pointer(), out, error)
        }),
    }
}

fn single<'a>(world: &World, time_to_live: u8) -> Plan<'a> {
    Plan {
        what: "store_single_new",
        shape: Some(leaf(world, true, true)),
        own: None,
        // SAFETY: all pointers are the caller's.
        make: Box::new(move |out, error| unsafe {
            docache_store_single_new(life(time_to_live), out, error)
        }),
    }
}

fn tiered<'a>(world: &World, (near, far): (Pick, Pick), most: u8) -> Option<Plan<'a>> {
    let (near, one) = world.store(near);
    let (far, two) = world.store(far);
    let most_ns = if most < 8 { 0 } else { life(most).max(1) };
    let shape = match (&one, &two) {
        (Some(one), Some(two)) => {
            let layers = 1 + one.shape.layers + two.shape.layers;
            let mut leaves = one.shape.leaves.clone();
            if layers > LAYERS || two.shape.leaves.iter().any(|leaf| leaves.contains(leaf)) {
                return None;
            }
            leaves.extend(&two.shape.leaves);
            (most_ns > 0).then_some(Shape { leaves, layers })
        }
        _ => None,
    };
    let own = one.and_then(|one| one.own).or(two.and_then(|two| two.own));
    let own = own.filter(|_| shape.is_some());
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let make =
        move |out, error| unsafe { docache_store_tiered_new(near, far, most_ns, out, error) };
    Some(Plan { what: "store_tiered_new", shape, own, make: Box::new(make) })
}

fn breaker<'a>(world: &World, inner: Pick, failures: u8) -> Option<Plan<'a>> {
    let (handle, share) = world.store(inner);
    let shape = share
        .as_ref()
        .map(|share| Shape { leaves: share.shape.leaves.clone(), layers: 1 + share.shape.layers });
    if shape.as_ref().is_some_and(|shape| shape.layers > LAYERS) {
        return None;
    }
    let own = share.and_then(|share| share.own).filter(|_| shape.is_some());
    let (failures, pause) = (u32::from(failures), u64::from(failures));
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let make =
        move |out, error| unsafe { docache_store_breaker_new(handle, failures, pause, out, error) };
    Some(Plan { what: "store_breaker_new", shape, own, make: Box::new(make) })
}

fn own<'a>(world: &World, drops: Drops, missing: Option<u8>, size: Size) -> Plan<'a> {
    // Without a drop it would not be known when the last of the callbacks is over.
    let drops = if drops == Drops::Null { Drops::Counted } else { drops };
    let own = Own::new(Registration::new(drops), called);
    world.owns.borrow_mut().push(own.clone());
    let mut table = callbacks(missing);
    table.size = size.of(table.size);
    let memory = Memory::new(&table, table.size, Tail::default());
    let shape = (memory.fits && missing.is_none()).then(|| leaf(world, false, false));
    let (ctx, drop) = (ctx(&own), own.registration.callback(drop_own));
    // SAFETY: SPAN, CALLBACK: the store lives as long as the case.
    let make = move |out, error| unsafe {
        docache_store_custom_new(memory.pointer(), ctx, drop, out, error)
    };
    Plan { what: "store_custom_new", shape, own: Some(own), make: Box::new(make) }
}

pub(crate) fn release(world: &World, pick: Pick) {
    let (handle, share) = world.store(pick);
    if share.is_some() {
        let mut stores = world.stores.borrow_mut();
        let at = stores.iter().position(|share| share.handle == handle);
        stores.swap_remove(at.expect("it is there"));
    }
    // SAFETY: HANDLE: a share that has left the table, or counts as NULL.
    unsafe { docache_store_release(handle) };
}

pub(crate) fn retain(world: &World, pick: Pick) {
    let (handle, share) = world.store(pick);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let same = unsafe { docache_store_retain(handle) };
    assert!(ptr::eq(same, handle), "retain returns its argument");
    world.stores.borrow_mut().extend(share);
}

pub(crate) fn fail(world: &World, pick: Pick, status: Returned, (count, unwinds): (u8, bool)) {
    if let Some(own) = world.store(pick).1.and_then(|share| share.own) {
        own.failure.store(status.0, Ordering::SeqCst);
        own.unwinds.store(unwinds, Ordering::SeqCst);
        own.failures.store(i32::from(count), Ordering::SeqCst);
    }
}

pub(crate) fn age(world: &World, pick: Pick, which: u8) {
    if let Some(own) = world.store(pick).1.and_then(|share| share.own) {
        let age = match which % 8 {
            0..=1 => 0,
            2..=5 => 2,
            6 => 2 * HOUR,
            _ => DOCACHE_AGE_UNKNOWN,
        };
        own.age_ns.store(age, Ordering::SeqCst);
    }
}
