//! Random schedules of calls against what one may expect of them: step by step where one thread
//! does everything, and by the history of what happened where several do.

#[path = "../common/mod.rs"]
mod common;

mod history;
mod model;
mod steps;
mod threads;
