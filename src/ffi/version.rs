//! Family `version`: which library, and which ABI, is loaded.

use std::ffi::c_char;

/// The version of the ABI. It grows when something is added; nothing is ever changed or taken away.
pub const DOCACHE_ABI_VERSION: u32 = 1;
/// The library's version, as the header was generated from it.
pub const DOCACHE_VERSION_MAJOR: u32 = 0;
/// See DOCACHE_VERSION_MAJOR.
pub const DOCACHE_VERSION_MINOR: u32 = 1;
/// See DOCACHE_VERSION_MAJOR.
pub const DOCACHE_VERSION_PATCH: u32 = 0;

/// The ABI version of the library that is loaded. \[NC\]
#[unsafe(no_mangle)]
pub extern "C" fn docache_abi_version() -> u32 {
    DOCACHE_ABI_VERSION
}

/// The version of the library that is loaded, such as "0.1.0", NUL-terminated and static. \[NC\]
#[unsafe(no_mangle)]
pub extern "C" fn docache_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
