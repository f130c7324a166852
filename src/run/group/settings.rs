//! What a group is set to, and what it leaves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cause::StopOn;
use super::report::Report;
use super::shared::Payload;
use crate::clock::Clock;
use crate::context::Context;
use crate::log::{Level, Logger};

/// How a group is to run.
#[derive(Clone)]
pub(in crate::run) struct Settings {
    pub(in crate::run) stop_on: StopOn,
    pub(in crate::run) name: Arc<str>,
    pub(in crate::run) logger: Option<Logger>,
    pub(in crate::run) clock: Arc<dyn Clock>,
    pub(in crate::run) context: Option<Context>,
    pub(in crate::run) deadline: Option<Duration>,
    pub(in crate::run) stages: BTreeMap<u32, Option<Duration>>,
    /// Whether it goes on when all actors have returned.
    pub(in crate::run) stay: bool,
}

impl Settings {
    /// How long the actors of a stage may take to stop.
    pub(in crate::run) fn deadline_of(&self, stage: u32) -> Option<Duration> {
        self.stages.get(&stage).copied().unwrap_or(self.deadline)
    }

    pub(in crate::run) fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        if let Some(logger) = &self.logger {
            logger.log(level, &self.name, message);
        }
    }
}

/// How a group came to its end.
pub(in crate::run) struct Over {
    pub(in crate::run) report: Report,
    /// Whether its cause is that of the group that it is in.
    pub(in crate::run) inherited: bool,
    pub(in crate::run) payload: Option<Payload>,
}
