//! This machine's own figures, asked for once and read many millions of times.
//!
//! Asking the system for its CPU, memory and process figures takes milliseconds. First 64 threads
//! ask a cache about the programs that run, and whenever its answers get old all of them want new
//! ones at the same moment: the system is asked once for each. Then one loop cache asks ten times a
//! second, and four threads read what it last heard as fast as they can, without ever waiting for
//! it. These are a group that stops when its time is over, or when Ctrl-C is pressed.
//!
//! ```sh
//! cargo run --release -p quickstart
//! ```

mod machine;
mod progress;
mod stampede;
mod table;

use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    stampede::show(Duration::from_secs(4))?;
    machine::show(Duration::from_secs(6))
}
