//! Operations on a cache and within its loaders, against a sequential model.

#![no_main]

use docache_fuzz::cache::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| cache::run(&case));
