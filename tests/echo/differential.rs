//! Statuses against a sequential model, step by step, on a clock that stands still in between.

use std::time::Duration;

use docache::ManualClock;
use docache::echo::{LazyEchoCache, MemoryStore, Status};
use proptest::prelude::*;

use crate::common::flight::until;

const MS: Duration = Duration::from_millis(1);
const REFRESH_AFTER: Duration = Duration::from_millis(10);
const EXPIRES: Duration = Duration::from_millis(25);
const STALE_UNTIL: Duration = Duration::from_millis(60);
const NEGATIVE: Duration = Duration::from_millis(15);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The load returns this, if there is one.
    Fetch(usize, Option<u32>),
    Pass(u32),
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..2_usize;
    let step = prop_oneof![
        5 => (key.clone(), proptest::option::weighted(0.7, 0..9_u32))
            .prop_map(|(key, load)| Step::Fetch(key, load)),
        4 => (0..14_u32).prop_map(Step::Pass),
        1 => (10..70_u32).prop_map(Step::Pass),
        1 => key.prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 1..60)
}

fn is_negative(value: u32) -> bool {
    value % 3 == 0
}

/// What a key has, and how long ago it was loaded.
#[derive(Clone, Copy, Debug, Default)]
struct Model(Option<(u32, Duration)>);

impl Model {
    fn pass(&mut self, span: Duration) {
        if let Some((_, age)) = &mut self.0 {
            *age += span;
        }
    }

    /// What a fetch yields, and what there is when its refresh is over.
    fn fetch(&mut self, load: Option<u32>) -> Option<(u32, Status)> {
        let before = self.0;
        let mut load = || {
            let loaded = load.map(|value| (value, Duration::ZERO));
            self.0 = loaded.or(self.0);
            loaded.map(|(value, _)| (value, Status::Loaded))
        };
        let Some((value, age)) = before else { return load() };
        let stale = (value, Status::Stale { age });
        if is_negative(value) {
            return if age < NEGATIVE { Some((value, Status::Negative)) } else { load() };
        }
        if age < REFRESH_AFTER {
            Some((value, Status::Fresh))
        } else if age < EXPIRES {
            load();
            Some(stale)
        } else if age < STALE_UNTIL {
            load().or(Some(stale))
        } else {
            load()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn statuses_are_those_of_the_model(steps in steps()) {
        let clock = ManualClock::new();
        let store = MemoryStore::builder().clock(clock.clone()).build().unwrap();
        let lazy: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store)
            .refresh_after(REFRESH_AFTER)
            .expires(EXPIRES)
            .stale_until(STALE_UNTIL)
            .negative(|value| is_negative(*value), NEGATIVE)
            .clock(clock.clone())
            .build()
            .unwrap();
        let mut models = [Model::default(); 2];
        for step in steps {
            match step {
                Step::Pass(span) => {
                    clock.advance(span * MS);
                    models.iter_mut().for_each(|model| model.pass(span * MS));
                }
                Step::Remove(key) => {
                    lazy.remove(["a", "b"][key]).unwrap();
                    models[key] = Model::default();
                }
                Step::Fetch(key, load) => {
                    let work = move || load.ok_or_else(|| "down".to_owned());
                    let fetched = lazy.fetch(["a", "b"][key], work).ok();
                    until(|| lazy.refreshing() == 0);
                    let fetched = fetched.map(|fetched| (fetched.value, fetched.status));
                    prop_assert_eq!(fetched, models[key].fetch(load), "{:?}", step);
                }
            }
        }
    }
}
