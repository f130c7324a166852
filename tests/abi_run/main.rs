//! The family `run` of the C ABI, as C calls it: groups, loops, retries and schedulers, what is
//! refused, and frees inside callbacks and beside them.

mod frees;
mod groups;
mod handles;
mod loops;
mod refused;
mod retries;
mod scheduled;
mod schedulers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../common/seccomp.rs"]
mod seccomp;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod threadless;
