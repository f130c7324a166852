//! Sequences of C ABI calls. Whatever a caller does within the promises HANDLE, SPAN and CALLBACK,
//! every call must keep the conventions that `docache::ffi` states, and the objects behind the
//! handles must do what their model does.

mod args;
pub mod cache;
pub mod echo;
pub mod group;
mod keys;
pub mod loops;
mod memory;
mod outcome;
mod place;
mod registry;
pub mod run;
mod shutdown;
