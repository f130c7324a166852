// Package clib is where cgo finds the C library, for all packages of this module: they import it
// for its link flags.
//
// # Where header and archive are
//
// `cargo xtask go-lib` puts docache.h, libdocache.a and built.h, which tells Go of a new archive,
// into this folder. They lie in a folder of Go files because `go mod vendor` copies those and no
// others, and side by side because each header goes with its archive; that is also why git knows
// neither of them. Without them the header and the archive of the checkout around the module are
// taken, as `cargo build --release -p docache-capi` leaves them.
package clib
