//! C ABI calls of the families version, status, value, error, logger, loop and wait, with hostile
//! arguments.

#![no_main]

use docache_fuzz::abi::loops::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| loops::run(case));
