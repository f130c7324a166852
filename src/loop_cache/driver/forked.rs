//! What is left of a loop cache in the child of a fork.
//!
//! A run on a thread is over there unless that thread is the one that forked. Its Doer lay in a
//! frame that is gone, but on the heap; nobody else will drop it, so the loop cache takes it back
//! (HOME), and can be started again. If the fork fell into a call of the Doer, though, what that
//! was changing is half-changed. It is then left where it is, for ever, unless it has nothing of
//! its own [here](crate::loop_cache::settings::Settings::stateless).

use crate::error::{Error, ErrorKind};

/// Why a loop cache cannot be started whose Doer was lost.
pub(super) fn lost() -> Error {
    let message = "the process was forked while the Doer was in its call in another thread; \
        in this child it cannot be called any more";
    Error::new(ErrorKind::Closed, message)
}

#[cfg(not(docache_loom))]
mod imp {
    use std::mem;

    use crate::loop_cache::shared::{Control, Shared};
    use crate::sync::fork::AtFork;
    use crate::sync::thread;

    impl<T: Send + Sync + 'static> AtFork for Shared<T> {
        fn hold(&self) {
            self.control.hold();
        }

        unsafe fn release(&self) {
            // SAFETY: the caller's promise.
            unsafe { self.control.release() };
        }

        unsafe fn reset_in_child(&self) {
            let stateless = self.settings.stateless;
            // SAFETY: the caller's promise.
            unsafe { self.control.reset_in_child(|control| end_run(control, stateless)) };
        }
    }

    /// Ends the run in the child, if its thread is not there.
    fn end_run<T>(control: &mut Control<T>, stateless: bool) {
        if control.runner == Some(thread::token()) {
            return;
        }
        // Nobody is to be joined or detached.
        mem::forget(control.thread.take());
        let Some(lent) = control.lent.take().filter(|_| control.is_running()) else { return };
        let in_call = control.begun > control.done;
        if !control.closed && (stateless || !in_call) {
            // SAFETY: the run's box lay with a thread that is not there.
            control.work = Some(unsafe { lent.take_back() });
        }
        control.ended = control.run;
        (control.done, control.wanted) = (control.begun, control.begun);
        (control.stopping, control.by_context, control.restart) = (false, false, false);
        control.runner = None;
    }
}
