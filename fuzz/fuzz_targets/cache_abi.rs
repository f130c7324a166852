//! C ABI calls of the family cache, against an exact model.

#![no_main]

use docache_fuzz::abi::cache::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| cache::run(&case));
