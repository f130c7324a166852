//! A store for tasks, as the suite calls it: its futures are driven on the calling thread.

use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::echo::store::{
    AsyncStore, Begun, Found, Life, Store, Within, Written, drive, store_methods,
};

pub(super) struct Driven<S>(pub(super) S);

/// A call whose future is driven here.
macro_rules! driven_call {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        drive($this.0.$async($($argument),+, $within))
    };
}

impl<T, S: AsyncStore<T>> Store<T> for Driven<S> {
    store_methods! { Store<T> by driven_call![] }
}
