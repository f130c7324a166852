//! Signals as a reason to stop.
//!
//! # State
//! signal-hook has the handlers: one for each signal, installed when somebody first listens and
//! never removed, which runs the actions that are registered. An actor of ours registers two: one
//! that writes to a socket, which the actor's thread reads, and, the first time, one that stays for
//! ever and does what the system would do by itself. The socket is one of datagrams: a write to one
//! that nobody reads any more does not raise SIGPIPE, by which programs end that do not ignore it.
//! [`LISTENERS`] has, for each signal, how many actors listen in which process, as one word.
//!
//! # Invariants
//! - DEFAULT: while nobody of this process listens, a signal that did what the system does by
//!   itself, before the first actor listened, does so again. That is so after the actor's end, and
//!   in the child of a fork, whose parent's threads are not there.
//! - COUNTED: a listener is counted before its own action is registered, and until that is about to
//!   be removed. So no signal is lost between the two.
//!
//! # Orderings
//! The word is changed and read with SeqCst, as it is read in signal handlers, which is all but
//! free at the pace at which people press keys.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};

use signal_hook::consts::FORBIDDEN;
use signal_hook::iterator::backend::{PollResult, SignalDelivery, SignalIterator};
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::low_level::{emulate_default_handler, register};

use super::actor::{Actor, Life};
use super::cause::Cause;
use super::handle::Handle;
use super::shared::Ended;
use super::signal::Signal;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::fork::{exclude, watch};

/// The greatest number of a signal, and one more.
const NUMBERS: usize = 65;

/// Who listens to a signal: the number of the process in the upper half, that of the listeners in
/// the lower. (Not the number of forks, which in a child is not right before its first steps.)
struct Listeners(AtomicU64);

static LISTENERS: [Listeners; NUMBERS] = [const { Listeners(AtomicU64::new(0)) }; NUMBERS];

impl Listeners {
    fn word(count: u32) -> u64 {
        u64::from(std::process::id()) << 32 | u64::from(count)
    }

    /// How many listen in this process.
    fn count(word: u64) -> u32 {
        if word >> 32 == u64::from(std::process::id()) { word as u32 } else { 0 }
    }

    fn get(&self) -> u32 {
        Listeners::count(self.0.load(Ordering::SeqCst))
    }

    fn change(&self, f: impl Fn(u32) -> u32) {
        let change = |word| Some(Listeners::word(f(Listeners::count(word))));
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}

/// That somebody listens to a signal.
struct Listens {
    number: usize,
    process: u32,
}

impl Listens {
    fn new(number: usize) -> Listens {
        LISTENERS[number].change(|count| count.saturating_add(1));
        Listens { number, process: std::process::id() }
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            LISTENERS[self.number].change(|count| count.saturating_sub(1));
        }
    }
}

type Signals = SignalDelivery<UnixDatagram, SignalOnly>;

/// What an actor has.
struct Listener {
    signals: Option<Signals>,
    listens: Vec<Listens>,
}

impl Listener {
    /// Whether it was made in this process: what wakes it is shared with the others.
    fn is_here(&self) -> bool {
        self.listens.iter().all(|listens| listens.process == std::process::id())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let signals = self.signals.take();
        self.listens.clear();
        // signal-hook has a lock of its own.
        exclude(|| drop(signals));
    }
}

/// An actor that stops its group when the process is sent one of `signals`, such as
/// [`DEFAULT_SIGNALS`](crate::run::DEFAULT_SIGNALS); the cause is then [`Cause::Signal`], and
/// [`run`](crate::run::Group::run) returns `Ok` if all have stopped. A second one while the group
/// stops ends the wait for its actors at once, and the [report says
/// so](crate::run::Report::cut_short): who wants to end a program that hangs presses Ctrl-C twice.
///
/// - They are listened to from this call on, before the group runs.
/// - The actor is in the last stage, `u32::MAX`, so that it hears the second signal. It keeps no
///   group from finishing when its other actors have returned.
/// - In a group inside another one it stops that one, too, but hears nothing after its own group's
///   end: it belongs in the outermost.
/// - When the actor is gone the signals do what they did before: if that was what the system does
///   by itself, mostly to end the process, then that again, even if another part of the program has
///   meanwhile begun to listen to them through signal-hook (as tokio does). It is so in a forked
///   child, too, where the actor's thread is not; an actor that was made before the fork fails
///   there with [`Closed`](ErrorKind::Closed).
/// - Programs with handlers of their own keep these: they are called as well.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is none, or one that cannot be
/// listened to; [`Internal`](crate::ErrorKind::Internal) if the system refuses.
///
/// ```no_run
/// use docache::run::{self, Actor, Group};
/// use std::time::Duration;
///
/// let mut group = Group::new().deadline(Duration::from_secs(10));
/// group.add(run::signals(run::DEFAULT_SIGNALS)?);
/// group.add(Actor::with_context("server", |ctx| {
///     ctx.wait(None); // serves until then
///     Ok::<(), std::io::Error>(())
/// }));
/// let report = group.run()?; // Ctrl-C: an orderly end
/// println!("{}", report.cause()); // "SIGINT was received"
/// # Ok::<(), docache::BoxError>(())
/// ```
#[doc(alias = "SignalHandler")]
#[doc(alias = "ctrl_c")]
pub fn signals(signals: impl IntoIterator<Item = Signal>) -> Result<Actor> {
    let mut listener = listen(signals)?;
    let handle = listener.signals.as_ref().map(Signals::handle);
    let body = move |life: &Life| {
        if !listener.is_here() {
            let message = "the signals are listened to in the parent of this process";
            return Ended::Failed(None, Error::new(ErrorKind::Closed, message));
        }
        let Some(signals) = &mut listener.signals else { return Ended::Returned };
        match serve(signals, &Handle { shared: life.shared.clone() }) {
            Ok(()) => Ended::Returned,
            Err(error) => Ended::Failed(None, Error::internal("cannot wait for signals", error)),
        }
    };
    let close = move |_: &Cause| {
        if let Some(handle) = &handle {
            handle.close();
        }
    };
    let mut actor = Actor::with_body("signals", Box::new(body)).stage(u32::MAX);
    actor.close = Some(Box::new(close));
    actor.watches = true;
    Ok(actor)
}

/// Tells a group of the signals that come, until it is closed.
fn serve(signals: &mut Signals, handle: &Handle) -> io::Result<()> {
    let mut asked = false;
    let mut signals = SignalIterator::new(signals);
    loop {
        let number = match signals.poll_signal(&mut wait) {
            PollResult::Signal(number) => number,
            PollResult::Pending => continue,
            PollResult::Closed => return Ok(()),
            PollResult::Err(error) => return Err(error),
        };
        let cause = Cause::Signal(Signal::from_number(number));
        if std::mem::replace(&mut asked, true) {
            handle.shared.stop_waiting(cause);
        } else {
            handle.stop_with(cause);
        }
    }
}

/// Waits until something was written.
fn wait(socket: &mut UnixDatagram) -> io::Result<bool> {
    loop {
        match socket.recv(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.map(|_| true),
        }
    }
}

fn listen(signals: impl IntoIterator<Item = Signal>) -> Result<Listener> {
    let accepted = "give signals that a process can listen to, such as DEFAULT_SIGNALS";
    let signals: Vec<Signal> = signals.into_iter().collect();
    let refuse =
        |value: &dyn std::fmt::Display| Error::invalid_argument("signals", value, accepted);
    if signals.is_empty() {
        return Err(refuse(&"an empty list"));
    }
    let mut listens = Vec::with_capacity(signals.len());
    for signal in &signals {
        match usize::try_from(signal.number()) {
            Ok(number @ 1..NUMBERS) if !FORBIDDEN.contains(&signal.number()) => {
                listens.push(Listens::new(number));
            }
            _ => return Err(refuse(signal)),
        }
    }
    watch();
    let numbers: Vec<i32> = signals.iter().map(|signal| signal.number()).collect();
    let registered = exclude(|| {
        for number in &numbers {
            keep_default(*number)?;
        }
        let (read, write) = UnixDatagram::pair()?;
        Signals::with_pipe(read, write, SignalOnly, &numbers)
    });
    let signals = registered.map_err(|error| Error::internal("cannot listen to signals", error))?;
    Ok(Listener { signals: Some(signals), listens })
}

/// Sees to it that a signal to which nobody listens does what the system does by itself, if it does
/// so now (DEFAULT). The caller excludes others.
fn keep_default(number: i32) -> io::Result<()> {
    let mut before = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the place for what there is now is ours, and there is nothing to be set.
    if unsafe { libc::sigaction(number, std::ptr::null(), before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was filled, as the call succeeded.
    if unsafe { before.assume_init() }.sa_sigaction != libc::SIG_DFL {
        // There is a handler, perhaps signal-hook's with our own action, or it is ignored.
        return Ok(());
    }
    let Some(listeners) = usize::try_from(number).ok().and_then(|number| LISTENERS.get(number))
    else {
        return Ok(());
    };
    let action = move || {
        if listeners.get() == 0 {
            let _ = emulate_default_handler(number);
        }
    };
    // SAFETY: the action reads an atomic, asks for the process's number, and calls what is made to
    // be called in a handler.
    unsafe { register(number, action) }.map(drop)
}
