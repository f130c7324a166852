//! Stores by themselves.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use docache::echo::{Life, MemoryStore, RefreshLock, Store, Within, Written};
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

type Hook = Box<dyn FnOnce() + Send>;

/// A value that does something when it is first cloned, and when it is first dropped.
struct Hooked {
    number: u32,
    cloned: Arc<Mutex<Option<Hook>>>,
    dropped: Arc<Mutex<Option<Hook>>>,
}

fn call(hook: &Mutex<Option<Hook>>) {
    let hook = hook.lock().unwrap().take();
    if let Some(hook) = hook {
        hook();
    }
}

impl Clone for Hooked {
    fn clone(&self) -> Hooked {
        call(&self.cloned);
        let Hooked { number, cloned, dropped } = self;
        Hooked { number: *number, cloned: cloned.clone(), dropped: dropped.clone() }
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        call(&self.dropped);
    }
}

fn hooked(number: u32) -> Hooked {
    Hooked { number, cloned: Arc::default(), dropped: Arc::default() }
}

#[test]
fn a_load_that_began_before_an_overwrite_or_a_removal_was_over_does_not_write_after_it() {
    let context = Context::background();
    let within = Within::new(&context, SECOND);
    let lock = RefreshLock::new(60 * SECOND);
    let begins = |store: &MemoryStore<Hooked>| -> Hook {
        let store = store.clone();
        Box::new(move || {
            let context = Context::background();
            drop(store.begin_refresh("key", &lock, &Within::new(&context, SECOND)).unwrap());
        })
    };
    for removes in [false, true] {
        let store = MemoryStore::<Hooked>::new(10);
        let value = hooked(2);
        if removes {
            let old = hooked(1);
            *old.dropped.lock().unwrap() = Some(begins(&store));
            store.put("key", &old, Life::FOREVER, &within).unwrap();
            std::mem::forget(old);
            Store::<Hooked>::remove(&store, "key", &within).unwrap();
        } else {
            *value.cloned.lock().unwrap() = Some(begins(&store));
            store.put("key", &value, Life::FOREVER, &within).unwrap();
        }
        let late = store.finish_refresh("key", &hooked(1), Life::FOREVER, &lock, &within).unwrap();
        assert_eq!(late, Written::Lost, "removes: {removes}");
        let found = store.get("key", &within).unwrap().map(|found| found.value.number);
        assert_eq!(found, (!removes).then_some(2));
    }
}

#[test]
fn a_holder_who_is_long_in_writing_takes_no_newer_value_out() {
    let context = Context::background();
    let within = Within::new(&context, SECOND);
    for removes in [false, true] {
        let store = MemoryStore::<Hooked>::new(10);
        let lock = RefreshLock::new(60 * SECOND);
        assert!(store.begin_refresh("key", &lock, &within).unwrap().granted);
        let value = hooked(1);
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        *value.cloned.lock().unwrap() = Some(Box::new(move || {
            enter.send(()).unwrap();
            left.recv().unwrap();
        }));
        std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                let context = Context::background();
                let within = Within::new(&context, SECOND);
                store.finish_refresh("key", &value, Life::FOREVER, &lock, &within).unwrap()
            });
            entered.recv().unwrap();
            if removes {
                Store::<Hooked>::remove(&store, "key", &within).unwrap();
            } else {
                store.put("key", &hooked(2), Life::FOREVER, &within).unwrap();
            }
            leave.send(()).unwrap();
            assert_eq!(writes.join().unwrap(), Written::Lost);
        });
        let found = store.get("key", &within).unwrap().map(|found| found.value.number);
        assert_eq!(found, (!removes).then_some(2));
    }
}
