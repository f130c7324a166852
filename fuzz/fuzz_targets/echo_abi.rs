//! C ABI calls of the families store and echo, with hostile arguments, against a model of what a
//! fetch may return.

#![no_main]

use docache_fuzz::abi::echo::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| echo::run(&case));
