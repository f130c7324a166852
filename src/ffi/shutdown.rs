//! Ending the threads that have nothing to do.

use std::time::Duration;

use super::boundary::{DOCACHE_BUSY, DOCACHE_OK, docache_status, guard};
use crate::{cache, clock, echo, housekeeping, run};

/// How long work under way is waited for.
const PATIENCE: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);
/// The threads of echo caches and of schedulers, and those of stores on servers.
const LEAVING: [&str; 4] = [echo::THREAD, run::THREAD, "docache-redis", "docache-nats"];
/// How long these are waited for: the former stay for a second after their work, the latter until a
/// connection is made or refused.
const LEAVING_PATIENCE: u32 = 2000;

/// Ends the threads that the library keeps for itself, and waits until they have ended. For
/// programs that are searched for leaks, and before the library is unloaded; others need not call
/// it. Free all handles first: loops have threads of their own, which end when they are freed. OK:
/// there are none left; a few hundred bytes stay reachable. BUSY, after three seconds at most: a
/// cache or a wait still needs one, or a callback on one of them has not returned, or the call
/// comes from such a callback. It may be called again, and what is used meanwhile or later starts
/// them again. \[NC\] \[BLK\]
#[unsafe(no_mangle)]
pub extern "C" fn docache_shutdown() -> docache_status {
    guard(std::ptr::null_mut(), || {
        if housekeeping::is_here() {
            return Ok(DOCACHE_BUSY);
        }
        let left = housekeeping::finish_leaving(&LEAVING, LEAVING_PATIENCE, PAUSE);
        // The sweep sets alarms, and both read the clock.
        let swept = (0..PATIENCE).any(|turn| {
            if turn > 0 {
                std::thread::sleep(PAUSE);
            }
            cache::dismiss_workers()
        });
        let timed = clock::dismiss_timer();
        clock::dismiss_ticker();
        Ok(if left && swept && timed { DOCACHE_OK } else { DOCACHE_BUSY })
    })
}
