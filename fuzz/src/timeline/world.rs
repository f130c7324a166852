//! The loop cache beside its model, and the steps that both take.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docache::{Clock, Context, Level, Logger, LoopCache, Reader, Schedule, Tick};

use super::check::{self, Kept};
use super::model::{Model, NEVER, Settings};
use super::stage::{Actor, Counted, NAME, Stage, Watched};
use super::watch::Watch;
use crate::patience::soon;

/// The loop cache beside its model.
pub(super) struct World {
    pub(super) cache: LoopCache<Counted>,
    context: Context,
    pub(super) stage: Arc<Stage>,
    pub(super) model: Model,
    block: bool,
    pub(super) snapshots: Vec<Kept>,
    readers: Vec<Reader<Counted>>,
    pub(super) watches: Vec<Watch>,
}

impl World {
    pub(super) fn new(settings: Settings, block: bool) -> World {
        let stage = Arc::new(Stage::default());
        let context = Context::new();
        let span = |ns| if ns == NEVER { Duration::MAX } else { Duration::from_nanos(ns) };
        let cache = LoopCache::builder(Actor { stage: stage.clone(), settings: settings.clone() })
            .interval(span(settings.interval))
            .first_delay(span(settings.first_delay))
            .jitter(Duration::from_nanos(settings.jitter))
            .schedule(if settings.fixed_rate { Schedule::FixedRate } else { Schedule::FixedDelay })
            .capacity(settings.capacity)
            .context(&context)
            .name(NAME)
            .logger(Logger::new(Level::Trace, {
                let stage = stage.clone();
                move |record| stage.record(record)
            }))
            .clock(Watched(stage.clone()))
            .build()
            .expect("the settings are good");
        let model = Model::new(settings);
        let (snapshots, readers, watches) = (Vec::new(), Vec::new(), Vec::new());
        World { cache, context, stage, model, block, snapshots, readers, watches }
    }

    /// Waits until the loop's thread has done what it has to do by now, and compares.
    pub(super) fn sync(&mut self) {
        let version = self.model.shown.version;
        if self.block && version > 0 {
            let seen = self.cache.changed(version - 1).wait(None).expect("it was published");
            assert_eq!(seen, version, "a call that the model does not know of");
        }
        // The records tell one run from the next, and the last record of a call is the last that it
        // does.
        soon("the records of all that has happened", || {
            self.stage.records() == self.model.records()
        });
        if let Some(run) = self.model.run.as_mut().filter(|run| run.due.0 != NEVER) {
            let until = self.stage.await_sleep(version, run.due);
            run.due = (until, until);
        }
        assert_eq!(self.cache.version(), version);
        check::stats(&self.cache.stats(), &self.model);
        assert_eq!(self.cache.is_running(), self.model.is_running());
        assert_eq!(self.cache.now(), Tick::from_nanos(self.model.now));
        self.watches.iter().for_each(|watch| watch.await_wake(&self.model));
    }

    pub(super) fn start(&mut self) {
        if !self.model.is_running() {
            self.stage.forget_sleep();
        }
        match self.cache.start() {
            Ok(started) => {
                assert!(!self.model.cancelled);
                assert_eq!(started, !self.model.is_running());
                if started {
                    self.model.begin();
                }
            }
            Err(error) => assert!(self.model.cancelled && error.is_cancelled(), "{error}"),
        }
        self.model.catch_up();
        self.sync();
    }

    pub(super) fn stop(&mut self) {
        self.cache.stop();
        assert!(!self.cache.is_running());
        self.model.run = None;
        self.sync();
    }

    pub(super) fn advance(&mut self, ns: u64) {
        self.stage.clock.advance(Duration::from_nanos(ns));
        self.model.advance(ns);
        self.model.catch_up();
        self.sync();
    }

    pub(super) fn refresh(&mut self, later: bool) {
        let refresh = self.cache.refresh();
        let before = self.model.shown.version;
        if self.model.is_running() {
            self.model.refresh();
            self.model.catch_up();
        }
        if later {
            self.sync();
        }
        match refresh.wait(None) {
            Ok(result) => {
                let possible = before + 1..=self.model.shown.version;
                assert!(possible.contains(&result.sequence()), "a refresh came to {result:?}");
            }
            Err(error) => assert!(!self.model.is_running() && error.is_closed(), "{error}"),
        }
        self.sync();
    }

    /// Runs the loop on this thread: its first call cancels the run.
    pub(super) fn run(&mut self, cancelled: bool) {
        let context = Context::new();
        if cancelled {
            context.cancel();
        }
        let runs = !self.model.is_running() && !self.model.cancelled && !cancelled;
        if runs {
            if self.model.settings.first_delay > 0 || self.model.now == NEVER {
                return;
            }
            *self.stage.cancel_next.lock().expect("not poisoned") = Some(context.clone());
            self.model.begin();
            self.model.call(self.model.now);
            self.model.run = None;
        }
        let error = self.cache.run(&context).expect_err("every run is cancelled, or refused");
        let busy = !runs && !cancelled && !self.model.cancelled;
        assert_eq!((error.is_busy(), error.is_cancelled()), (busy, !busy), "{error}");
        self.sync();
    }

    pub(super) fn cancel(&mut self) {
        assert_eq!(self.context.cancel(), !self.model.cancelled);
        self.model.cancelled = true;
        self.stop();
    }

    pub(super) fn snapshot(&mut self) {
        let (shown, capacity) = (self.model.shown.clone(), self.model.settings.capacity);
        let kept = Kept { snapshot: self.cache.snapshot(), shown, capacity };
        kept.check();
        if self.snapshots.len() < 8 {
            self.snapshots.push(kept);
        }
    }

    pub(super) fn latest(&self) {
        let (found, expected) = (self.cache.latest(), &self.model.shown.latest);
        assert_eq!(found.is_some(), expected.is_some());
        if let (Some(found), Some(expected)) = (found, expected) {
            check::entry(found.entry(), expected);
            check::entry(&found.to_entry(), expected);
            assert_eq!((found.sequence, found.sequence()), (expected.sequence, expected.sequence));
            assert_eq!(found.age(), Duration::from_nanos(self.model.now - expected.started));
            assert_eq!(found.entry().age_at(Watched(self.stage.clone()).now()), found.age());
        }
    }

    pub(super) fn reader(&mut self) {
        let reader = match self.readers.first() {
            Some(reader) if self.readers.len() % 2 == 1 => reader.clone(),
            _ => self.cache.reader(),
        };
        if self.readers.len() < 4 {
            self.readers.push(reader);
        }
        self.read();
    }

    pub(super) fn read(&mut self) {
        let (shown, capacity) = (&self.model.shown, self.model.settings.capacity);
        for reader in &mut self.readers {
            let latest = shown.latest.as_ref().map(|record| record.sequence);
            assert_eq!(reader.value().map(|value| value.sequence), latest);
            check::view(reader.view(), shown, capacity);
            check::view(&reader.snapshot(), shown, capacity);
        }
    }

    pub(super) fn changed(&self, since: u64) {
        let version = self.model.shown.version;
        match self.cache.changed(since).wait(Duration::ZERO) {
            Ok(found) => assert!(version > since && found == version),
            Err(error) if version > since => panic!("{error}, although the version is {version}"),
            Err(error) => {
                assert_eq!((error.is_cancelled(), error.is_timeout()), self.missing(), "{error}")
            }
        }
    }

    /// How a wait for what will not come now ends: cancelled, or in a timeout.
    fn missing(&self) -> (bool, bool) {
        (self.model.cancelled, !self.model.cancelled)
    }

    pub(super) fn wait_first(&self) {
        match (self.cache.wait_first(Duration::ZERO), &self.model.shown.latest) {
            (Ok(found), Some(expected)) => check::entry(found.entry(), expected),
            (Err(error), None) => {
                assert_eq!((error.is_cancelled(), error.is_timeout()), self.missing(), "{error}");
            }
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    pub(super) fn finish(mut self, snapshots_last: bool) {
        self.read();
        self.stop();
        self.watches.iter_mut().for_each(|watch| watch.poll(&self.model));
        let World { cache, stage, snapshots, mut readers, watches, model, .. } = self;
        snapshots.iter().for_each(Kept::check);
        if snapshots_last {
            drop(cache);
            watches.into_iter().for_each(Watch::finish);
            for reader in &mut readers {
                check::view(reader.view(), &model.shown, model.settings.capacity);
            }
            snapshots.iter().for_each(Kept::check);
            drop((snapshots, readers));
        } else {
            drop((snapshots, readers));
            drop(cache);
            watches.into_iter().for_each(Watch::finish);
        }
        assert_eq!(stage.live.load(Ordering::SeqCst), 0, "values that nobody shows");
        soon("the drop of the Doer and the clock", || Arc::strong_count(&stage) == 1);
    }
}
