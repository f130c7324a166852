//! What is shown while threads are busy.

use std::time::Duration;

use docache::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar moves.
const TICK: Duration = Duration::from_millis(100);
/// Where there is no terminal, one of so many ticks prints a line.
const TICKS_PER_LINE: u64 = 10;

/// Shows `message` until `session`, which lasts for `time`, is done: behind a bar if standard
/// output is a terminal, else as plain lines.
pub(crate) fn show(
    session: &Context,
    time: Duration,
    what: &str,
    message: impl Fn() -> Option<String>,
) {
    let bar =
        ProgressBar::with_draw_target(Some(time.as_millis() as u64), ProgressDrawTarget::stdout());
    if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan} {percent:>3} %  {msg}") {
        bar.set_style(style);
    }
    println!("\n{what} for {} s ...", time.as_secs());
    // `wait` is true once the session is done.
    for tick in 1_u64.. {
        if session.wait(TICK) {
            break;
        }
        bar.set_position(bar.elapsed().as_millis() as u64);
        let Some(message) = message() else { continue };
        if bar.is_hidden() && tick.is_multiple_of(TICKS_PER_LINE) {
            println!("  {} s: {message}", tick / TICKS_PER_LINE);
        }
        bar.set_message(message);
    }
    bar.finish_and_clear();
}
