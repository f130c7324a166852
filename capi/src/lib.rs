//! The libraries that C, C++ and Go programs link. All that is in them is docache's `ffi` module;
//! being named here is what brings it in.

use docache_rust as _;
