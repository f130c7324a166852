//! A store of one entry.

use std::future::ready;

use super::{AsyncStore, Begun, Found, Life, MemoryStore, Store, Within, Written, store_methods};
use crate::clock::Clock;
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;

/// A store in memory that ignores the key: it has one entry, and one lock.
///
/// For what there is one of, such as a configuration. Else as [`MemoryStore`].
///
/// ```
/// use docache::echo::{EchoCache, SingleStore, Status};
/// let config = EchoCache::<_, String, std::io::Error>::new(SingleStore::new());
/// config.fetch("config", || Ok("verbose".to_owned())).unwrap();
/// let again = config.fetch("of any name", || unreachable!("it is there")).unwrap();
/// assert_eq!((again.as_str(), again.status), ("verbose", Status::Fresh));
/// ```
#[derive(Debug)]
pub struct SingleStore<T>(MemoryStore<T>);

const KEY: &str = "";

impl<T> Clone for SingleStore<T> {
    fn clone(&self) -> Self {
        SingleStore(self.0.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> SingleStore<T> {
    /// An empty store.
    #[must_use]
    pub fn new() -> SingleStore<T> {
        SingleStore(MemoryStore::new(1))
    }

    /// An empty store that measures time on this clock.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> SingleStore<T> {
        match MemoryStore::<T>::builder().capacity(1).clock(clock).build() {
            Ok(store) => SingleStore(store),
            Err(error) => panic!("{error}"),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Default for SingleStore<T> {
    fn default() -> Self {
        SingleStore::new()
    }
}

/// A call of the one key, whichever is asked for.
macro_rules! call {
    ([] $this:ident.$call:ident / $async:ident($key:expr $(, $argument:expr)*; $within:expr)) => {{
        let _ = $key;
        $this.0.$call(KEY $(, $argument)*, $within)
    }};
}

impl<T: Clone + Send + Sync + 'static> Store<T> for SingleStore<T> {
    fn canonical<'k>(&self, _: &'k str) -> &'k str {
        KEY
    }

    #[inline(always)]
    fn get_now(&self, _: &str, aged: bool) -> Option<Found<T>> {
        self.0.get_now(KEY, aged)
    }

    store_methods! { Store<T> by call![] }
}

super::ready_at_once!(SingleStore<T>);
