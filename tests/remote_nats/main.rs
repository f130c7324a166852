//! `NatsStore` against a real server. `DOCACHE_NATS_SERVER` names the program; what is not said is
//! looked for in the PATH. All tests hold with nats-server 2.9 and with a current one.

#[path = "../common/proxy.rs"]
mod proxy;
mod server;
mod wire;

mod conforms;
mod crowd;
mod faults;
mod format;
mod holders;
mod host;
mod locks;
mod trips;

use docache::Context;
use docache::echo::codec::Json;
use docache::echo::{
    Begun, Life, NatsStore, NatsStoreBuilder, RefreshLock, Store, Within, Written,
};
use std::time::Duration;

/// A long time for a call.
const LONG: Duration = Duration::from_secs(10);

/// With enough time to connect on a busy machine.
fn builder(url: &str, bucket: &str) -> NatsStoreBuilder {
    NatsStore::builder(url, bucket).prefix("app").connect_timeout(LONG)
}

fn store(url: &str, bucket: &str) -> NatsStore {
    builder(url, bucket).build().unwrap()
}

/// A store of strings with its calls, each with enough time.
struct Texts(NatsStore<Json>, Context);

impl Texts {
    fn new(url: &str, bucket: &str) -> Texts {
        Texts(store(url, bucket), Context::background())
    }

    fn within(&self) -> Within<'_> {
        Within::new(&self.1, LONG)
    }

    fn get(&self, key: &str) -> Option<String> {
        self.0.get(key, &self.within()).unwrap().map(|found| found.value)
    }

    fn put(&self, key: &str, value: &str, life: Life) {
        self.0.put(key, &value.to_owned(), life, &self.within()).unwrap();
    }

    fn remove(&self, key: &str) {
        Store::<String>::remove(&self.0, key, &self.within()).unwrap();
    }

    fn begin(&self, key: &str, lock: &RefreshLock) -> Begun<String> {
        self.0.begin_refresh(key, lock, &self.within()).unwrap()
    }

    fn renew(&self, key: &str, lock: &RefreshLock) -> bool {
        Store::<String>::renew(&self.0, key, lock, &self.within()).unwrap()
    }

    fn finish(&self, key: &str, value: &str, lock: &RefreshLock) -> Written {
        let value = value.to_owned();
        self.0.finish_refresh(key, &value, Life::FOREVER, lock, &self.within()).unwrap()
    }

    fn abandon(&self, key: &str, lock: &RefreshLock) {
        Store::<String>::abandon_refresh(&self.0, key, lock, &self.within()).unwrap();
    }
}

fn lock(seconds: u64) -> RefreshLock {
    RefreshLock::new(Duration::from_secs(seconds))
}
