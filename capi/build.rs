//! Gives the shared library its name: programs linked with it ask for libdocache.so.0, and so never
//! run with one whose ABI was broken since.
//!
//! The number is that of breaks, not DOCACHE_ABI_VERSION, which also grows when something is added.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if matches!(
        system.as_str(),
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly"
    ) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libdocache.so.0");
    }
}
