//! The registration of a callback: its `ctx`, and the one call of its `drop`.

use super::firewall::quietly;

/// Called once with the `ctx` of a registration, after its last use.
pub type docache_drop_fn = Option<unsafe extern "C-unwind" fn(ctx: usize)>;

/// The `ctx` and `drop` of a registration; dropping it is the one call of `drop`.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) ctx: usize,
    pub(crate) drop: docache_drop_fn,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // A callback that unwinds breaks its contract; keep it from the caller all the same.
            // SAFETY: CALLBACK; this is the one call.
            quietly((), || unsafe { drop(self.ctx) });
        }
    }
}
