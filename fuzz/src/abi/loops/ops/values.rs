//! Family `value`.

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::args::{Pick, Span};
use crate::abi::loops::held::values::Held;
use crate::abi::loops::world::World;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, ctx, drop_wrapped};
use crate::input::Bytes;

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum ValueOp {
    New { data: Bytes, span: Span, out: Given, error: Given },
    Wrap { data: Bytes, span: Span, drops: Drops, out: Given, error: Given },
    Read(Pick),
    Retain(Pick),
    Release(Pick),
}

impl ValueOp {
    pub(crate) fn apply(self, world: &mut World) {
        match self {
            ValueOp::New { data, span, out, error } => new(world, &data.0, span, out, error),
            ValueOp::Wrap { data, span, drops, out, error } => {
                wrap(world, data, span, drops, (out, error))
            }
            ValueOp::Read(pick) => read(world, pick),
            ValueOp::Retain(pick) => retain(world, pick),
            ValueOp::Release(pick) => release(world, pick),
        }
    }
}

fn new(world: &mut World, data: &[u8], span: Span, out: Given, error: Given) {
    let (start, len, seen) = span.of(data);
    let mut out = Place::one(out);
    // SAFETY: SPAN, or a length that is refused.
    let made = call("value_new", error, |error| unsafe {
        docache_value_new(start, len, out.pointer(), error)
    });
    made.is_ok_if(seen.is_some() && out.is_valid());
    if let Some(handle) = out.handle(made.is_ok(), "value_new") {
        world.values.push(Held::new(handle, seen.unwrap_or_default().to_vec()));
    }
    world.keep(made);
}

fn wrap(world: &mut World, data: Bytes, span: Span, drops: Drops, (out, error): (Given, Given)) {
    let bytes = data.0.into_boxed_slice();
    let copy = bytes.to_vec();
    let (start, len, seen) = span.of(&bytes);
    let seen = seen.map(<[u8]>::to_vec);
    let wrapped = world.registry.wrap(bytes, drops);
    let drop = wrapped.registration.callback(drop_wrapped);
    let mut out = Place::one(out);
    // SAFETY: SPAN, or a length that is refused; CALLBACK: the registry keeps `wrapped`.
    let made = call("value_wrap", error, |error| unsafe {
        docache_value_wrap(start, len, ctx(&wrapped), drop, out.pointer(), error)
    });
    made.is_ok_if(seen.is_some() && out.is_valid());
    let dropped = wrapped.registration.is_dropped();
    assert_eq!(
        dropped,
        !made.is_ok() && wrapped.registration.is_counted(),
        "dropped at once when refused"
    );
    if let (Some(handle), Some(seen)) = (out.handle(made.is_ok(), "value_wrap"), seen) {
        // SAFETY: HANDLE: it was just made.
        let data = unsafe { docache_value_data(handle) };
        assert!(seen.is_empty() || data == start, "wrapped, not copied");
        assert!(copy.starts_with(&seen));
        world.values.push(Held::new(handle, seen));
    }
    world.keep(made);
}

fn read(world: &World, pick: Pick) {
    if let Some(index) = pick.index(world.values.len()) {
        return world.values[index].check();
    }
    let nothing = pick.handle(&world.values, |held| held.handle);
    // SAFETY: HANDLE: NULL, or what counts as NULL.
    assert!(unsafe { docache_value_data(nothing) }.is_null());
    // SAFETY: as above.
    assert_eq!(unsafe { docache_value_len(nothing) }, 0);
}

fn retain(world: &mut World, pick: Pick) {
    let handle = pick.handle(&world.values, |held| held.handle);
    // SAFETY: HANDLE: a share is held, or it counts as NULL.
    assert_eq!(unsafe { docache_value_retain(handle) }, handle);
    if let Some(index) = pick.index(world.values.len()) {
        world.values[index].shares += 1;
    }
}

fn release(world: &mut World, pick: Pick) {
    let Some(index) = pick.index(world.values.len()) else {
        let nothing = pick.handle(&world.values, |held| held.handle);
        // SAFETY: HANDLE: NULL, or what counts as NULL.
        return unsafe { docache_value_release(nothing) };
    };
    world.values[index].release();
    if world.values[index].shares == 0 {
        world.values.swap_remove(index);
    }
}
