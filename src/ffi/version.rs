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

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn the_library_is_of_the_version_that_its_header_names() {
        let header = include_str!("../../include/docache.h");
        let defined = |name: &str| -> u32 {
            let mut lines = header.lines();
            lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
        };
        assert_eq!(docache_abi_version(), defined("#define DOCACHE_ABI_VERSION "));
        let parts = ["MAJOR", "MINOR", "PATCH"]
            .map(|part| defined(&format!("#define DOCACHE_VERSION_{part} ")).to_string());
        // SAFETY: it is static and ends in NUL.
        let version = unsafe { CStr::from_ptr(docache_version()) };
        assert_eq!(version.to_str().unwrap(), parts.join("."));
    }
}
