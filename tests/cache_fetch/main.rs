//! Loads through the cache: who runs them, who shares them, and what the cache keeps of them.

#[path = "../common/mod.rs"]
mod common;

mod bulk;
mod careless;
mod failing;
mod large;
mod late;
mod options;
mod overtaken;
mod raced;
mod stampede;
mod waiting;
mod within;
