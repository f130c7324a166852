//! Compiles the measuring loops that are written in C.

use std::path::Path;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let include = here.join("../../include");
    let source = here.join("src/family/ffi.c");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed={}", include.join("docache.h").display());
    cc::Build::new().file(source).include(include).std("c11").warnings(true).compile("peers_ffi");
}
