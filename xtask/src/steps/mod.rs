//! The steps of `test` and `verify`, in the order in which they run.

mod features;
mod fuzz;
mod headers;
mod lines;
mod loom;
mod programs;
mod rust;
mod strict;

use crate::cost;
use crate::run::{Step, Together};

/// See [`Together`].
pub(crate) const TOGETHER: &[Together] = &[
    &["library", "build"],
    &["examples", "quickstart"],
    &["go-app", "go-examples"],
    &["features", "fuzz-build", "cost"],
];

/// What a user would want to pass.
pub(crate) const TEST: &[Step] = &[
    Step {
        name: "library",
        about: "libdocache.a and libdocache.so, with the C ABI",
        run: programs::library,
    },
    Step { name: "build", about: "the Rust tests are built", run: rust::build },
    Step { name: "rust", about: "unit, property and integration tests", run: rust::tests },
    Step {
        name: "nats-current",
        about: "the tests of the NATS store with a current server",
        run: rust::nats_current,
    },
    Step { name: "doc", about: "the programs in the documentation", run: rust::doc_tests },
    Step { name: "examples", about: "the Rust programs of examples run", run: rust::examples },
    Step { name: "quickstart", about: "the quickstart runs", run: rust::quickstart },
    Step { name: "c", about: "C programs of ffi-tests and examples", run: programs::c },
    Step { name: "cpp", about: "C++ programs of ffi-tests and examples", run: programs::cpp },
    Step {
        name: "stores",
        about: "C and C++ programs over stores in Redis and NATS",
        run: programs::stores,
    },
    Step {
        name: "shared",
        about: "the shared library: its SONAME, and that it can be unloaded",
        run: programs::shared,
    },
    Step { name: "go", about: "go vet and go test: the module and the C ABI", run: programs::go },
    Step {
        name: "go-stores",
        about: "the Go stores in Redis and NATS, beside those for Rust",
        run: programs::go_stores,
    },
    Step {
        name: "go-app",
        about: "a vendored program, and what it says if it cannot be built",
        run: programs::go_app,
    },
    Step { name: "go-examples", about: "Go programs of examples", run: programs::go_examples },
];

/// What a change must pass besides.
pub(crate) const VERIFY: &[Step] = &[
    Step { name: "fmt", about: "rustfmt, also in fuzz", run: rust::fmt },
    Step { name: "gofmt", about: "gofmt over the Go code", run: programs::gofmt },
    Step { name: "lines", about: "lines within 100 columns", run: lines::width },
    Step { name: "clippy", about: "clippy over the workspace, warnings denied", run: rust::clippy },
    Step { name: "rustdoc", about: "rustdoc, warnings denied", run: rust::doc },
    Step { name: "header", about: "include/docache.h is what src/ffi says", run: headers::drift },
    Step {
        name: "header-alone",
        about: "each header compiles alone, from two files",
        run: headers::alone,
    },
    Step {
        name: "header-strict",
        about: "no header warns under any strict flag",
        run: strict::headers,
    },
    Step {
        name: "symbols",
        about: "the library exports what the header declares",
        run: headers::symbols,
    },
    Step {
        name: "features",
        about: "clippy over the features, alone and in pairs",
        run: features::powerset,
    },
    Step { name: "fuzz-build", about: "the fuzz targets are built", run: fuzz::build },
    Step {
        name: "cost",
        about: "no operation takes more instructions or misses",
        run: cost::check,
    },
    Step {
        name: "dependencies",
        about: "nothing unexpected in the default features",
        run: features::dependencies,
    },
    Step { name: "msrv", about: "the rust-version of Cargo.toml", run: features::msrv },
    Step {
        name: "host",
        about: "tests with more threads than cores, up to 30 s each",
        run: rust::host,
    },
    Step { name: "portable", about: "the cache's tests without membarrier", run: rust::portable },
    Step { name: "loom", about: "every interleaving of the loom models", run: loom::models },
    Step { name: "fuzz", about: "15 s of every fuzz target", run: fuzz::smoke },
    Step {
        name: "sanitizers",
        about: "C and C++ programs under ASan and UBSan",
        run: programs::sanitizers,
    },
    Step { name: "valgrind", about: "C and C++ programs under valgrind", run: programs::valgrind },
    Step {
        name: "go-stores-race",
        about: "the Go stores' tests under the race detector",
        run: programs::go_stores_race,
    },
    Step { name: "go-race", about: "Go tests under the race detector", run: programs::go_race },
    Step {
        name: "go-cgocheck",
        about: "Go tests with the strict cgo pointer checks",
        run: programs::go_cgocheck,
    },
];

/// What takes long.
pub(crate) const LONG: &[Step] = &[
    Step {
        name: "holders",
        about: "50 holders of a refresh lock are killed, in Redis and in NATS",
        run: rust::holders,
    },
    Step { name: "fuzz-long", about: "10 minutes of every fuzz target", run: fuzz::long },
];
