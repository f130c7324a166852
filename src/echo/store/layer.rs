//! Stores around other stores: what they do is written once, over [`Calls`](super::Calls), and is
//! for threads where the stores inside are, and for tasks likewise.

use crate::clock::SystemClock;
use crate::wait::block_on;

/// Drives a call that its own time bounds.
pub(in crate::echo) fn drive<F: Future>(call: F) -> F::Output {
    match block_on(call, &SystemClock, None) {
        Some(called) => called,
        None => unreachable!("there is no deadline"),
    }
}

/// Makes a type a [`Store`](super::Store) where its parts are, and an
/// [`AsyncStore`](super::AsyncStore) likewise. It has a method `layer` that makes the calls of it
/// out of those of its parts, each of which is named as its field; and a method `at_once` for
/// [`get_now`](super::Store::get_now).
macro_rules! layer {
    ($store:ident<$($part:ident: $field:ident),+>) => {
        impl<T, $($part),+> super::Store<T> for $store<$($part),+>
        where
            T: Clone + Send + Sync + 'static,
            $($part: super::Store<T>,)+
        {
            fn canonical<'k>(&self, key: &'k str) -> &'k str {
                let layer = self.layer($(Threads(&self.$field)),+);
                Calls::<T>::canonical(&layer, key)
            }

            #[inline(always)]
            fn get_now(&self, key: &str, aged: bool) -> Option<super::Found<T>> {
                self.at_once(key, aged)
            }

            store_methods! { Store<T> by call_layer![Threads: $($field),+] }
        }

        impl<T, $($part),+> super::AsyncStore<T> for $store<$($part),+>
        where
            T: Clone + Send + Sync + 'static,
            $($part: super::AsyncStore<T>,)+
        {
            fn canonical<'k>(&self, key: &'k str) -> &'k str {
                let layer = self.layer($(Tasks(&self.$field)),+);
                Calls::<T>::canonical(&layer, key)
            }

            store_methods! { AsyncStore<T> by call_layer![Tasks: $($field),+] }
        }
    };
}

/// A call of a layer, whose parts are these fields.
macro_rules! call_layer {
    ([Threads: $($field:ident),+]
        $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {{
        let layer = $this.layer($(Threads(&$this.$field)),+);
        drive(Calls::<T>::$call(&layer, $($argument),+, $within))
    }};
    ([Tasks: $($field:ident),+]
        $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        async move {
            let layer = $this.layer($(Tasks(&$this.$field)),+);
            Calls::<T>::$call(&layer, $($argument),+, $within).await
        }
    };
}

pub(super) use {call_layer, layer};
