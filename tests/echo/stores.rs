//! Stores by themselves.

use std::sync::Arc;
use std::time::Duration;

use docache::echo::{Life, MemoryStore, Store, Within};
use docache::{Context, ManualClock};

use crate::common::SECOND;

#[test]
fn ages_and_lives_are_told() {
    let clock = ManualClock::new();
    let store = MemoryStore::<u32>::builder().clock(clock.clone()).build().unwrap();
    let context = Context::background();
    let within = Within::new(&context, SECOND);
    store.put("for ever", &1, Life::FOREVER, &within).unwrap();
    let life = Life { ttl: Some(10 * SECOND), age: Some(5 * SECOND) };
    store.put("aged", &2, life, &within).unwrap();
    store.put("ageless", &3, Life { age: None, ..Life::FOREVER }, &within).unwrap();
    clock.advance(SECOND);
    let found = |key| {
        let found = store.get(key, &within).unwrap().unwrap();
        (found.value, found.age, found.left)
    };
    assert_eq!(found("for ever"), (1, Some(SECOND), None));
    assert_eq!(found("aged"), (2, Some(6 * SECOND), Some(9 * SECOND)));
    assert_eq!(found("ageless"), (3, None, None));
    clock.advance(9 * SECOND);
    assert!(store.get("aged", &within).unwrap().is_none());
}

#[test]
fn a_value_whose_destructor_uses_the_store_hangs_nobody() {
    struct Nosy(Option<MemoryStore<Arc<Nosy>>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            let Some(store) = self.0.take() else { return };
            let context = Context::background();
            store.remove("key", &Within::new(&context, SECOND)).unwrap();
        }
    }
    let store = MemoryStore::<Arc<Nosy>>::new(10);
    let context = Context::background();
    let within = Within::new(&context, Duration::from_secs(5));
    for _ in 0..3 {
        store.put("key", &Arc::new(Nosy(Some(store.clone()))), Life::FOREVER, &within).unwrap();
    }
    store.remove("key", &within).unwrap();
    assert!(store.get("key", &within).unwrap().is_none());
}
