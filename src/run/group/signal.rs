//! The names of signals.

use std::fmt;

/// A signal that a process can be sent.
///
/// ```
/// use docache::run::Signal;
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_number(15), Signal::TERM);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// What `run::signals` listens to if nothing else is wanted: SIGINT (Ctrl-C) and
/// SIGTERM.
///
/// ```
/// use docache::run::{DEFAULT_SIGNALS, Signal};
/// assert_eq!(DEFAULT_SIGNALS, [Signal::INT, Signal::TERM]);
/// ```
pub const DEFAULT_SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

impl Signal {
    /// SIGINT: Ctrl-C.
    pub const INT: Signal = Signal(2);
    /// SIGTERM: the usual request to end.
    pub const TERM: Signal = Signal(15);
    /// SIGHUP: the terminal is gone, or the configuration is to be read again.
    #[cfg(unix)]
    pub const HUP: Signal = Signal(libc::SIGHUP);
    /// SIGQUIT: Ctrl-\.
    #[cfg(unix)]
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    /// SIGUSR1: whatever the program says.
    #[cfg(unix)]
    pub const USR1: Signal = Signal(libc::SIGUSR1);
    /// SIGUSR2: whatever the program says.
    #[cfg(unix)]
    pub const USR2: Signal = Signal(libc::SIGUSR2);

    /// The signal of this number on this system.
    ///
    /// ```
    /// assert_eq!(docache::run::Signal::from_number(2), docache::run::Signal::INT);
    /// ```
    #[must_use]
    pub const fn from_number(number: i32) -> Signal {
        Signal(number)
    }

    /// Its number. A program that ends because of it by custom ends with 128 plus this number.
    ///
    /// ```
    /// assert_eq!(docache::run::Signal::TERM.number(), 15);
    /// ```
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Signal::INT => "SIGINT",
            Signal::TERM => "SIGTERM",
            #[cfg(unix)]
            Signal::HUP => "SIGHUP",
            #[cfg(unix)]
            Signal::QUIT => "SIGQUIT",
            #[cfg(unix)]
            Signal::USR1 => "SIGUSR1",
            #[cfg(unix)]
            Signal::USR2 => "SIGUSR2",
            Signal(number) => return write!(f, "signal {number}"),
        };
        f.write_str(name)
    }
}
