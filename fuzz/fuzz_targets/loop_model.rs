//! The loop cache under a manual clock, against a sequential model.

#![no_main]

use docache_fuzz::timeline::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| timeline::run(case));
