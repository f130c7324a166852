//! Bytes as an echo cache may find them in a shared store, values as it writes them, and raw keys.

#![no_main]

use docache_fuzz::echo::{self, Case};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case| echo::run(&case));
