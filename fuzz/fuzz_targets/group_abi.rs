//! C ABI calls of the family group, with hostile arguments, against an exact model.

#![no_main]

use docache_fuzz::abi::group::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| group::run(&case));
