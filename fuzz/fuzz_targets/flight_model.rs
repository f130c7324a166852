//! Schedules of calls of a keyed group, against a sequential model.

#![no_main]

use docache_fuzz::flight::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| flight::run(&case));
