//! C ABI calls of the family run, with hostile arguments, and actors that free what they are in.

#![no_main]

use docache_fuzz::abi::run::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| run::run(&case));
