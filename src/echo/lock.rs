//! The refresh lock of a key: who may load it, among all processes that share a store.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::clock::{Clock, SystemClock};
use crate::sync::fork::forks;

/// Tells one holder of a lock from all others: 22 random characters of `A-Z a-z 0-9 - _`.
///
/// ```
/// use docache::echo::Token;
/// assert_ne!(Token::random(), Token::random());
/// assert_eq!(Token::random().as_str().len(), 22);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; Token::LEN]);

impl Token {
    const LEN: usize = 22;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// The one of whoever changes a value without a claim. No claim has it.
    pub(super) const NOBODYS: Token = Token([b'-'; Token::LEN]);

    /// A token that nobody else has: 128 random bits.
    #[must_use]
    pub fn random() -> Token {
        let mut bits = u128::from(random()) << 64 | u128::from(random());
        let mut token = [0; Token::LEN];
        for character in &mut token {
            *character = Token::ALPHABET[(bits & 63) as usize];
            bits >>= 6;
        }
        Token(token)
    }

    /// A number that most likely no other token has.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        FixedState::default().hash_one(self.0)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.as_str())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A random number.
///
/// The keys of std's hasher come from the system, once for each thread. The rest tells calls, forks
/// of one process, and a process from another that was copied together with its machine.
pub(super) fn random() -> u64 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(DRAWN.fetch_add(1, Ordering::Relaxed));
    hasher.write_u32(forks());
    hasher.write_u32(std::process::id());
    hasher.write_u64(SystemClock.now().as_nanos());
    hasher.finish()
}

/// A claim on a key's refresh lock.
///
/// ```
/// use docache::echo::RefreshLock;
/// use std::time::Duration;
/// let lock = RefreshLock::new(Duration::from_secs(10));
/// assert_eq!(lock.ttl(), Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshLock {
    token: Token,
    ttl: Duration,
}

impl RefreshLock {
    /// A claim with a token of its own.
    #[must_use]
    pub fn new(ttl: Duration) -> RefreshLock {
        RefreshLock { token: Token::random(), ttl }
    }

    /// Who claims it.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// How long the lock is held, from when it is granted or renewed, if it is not given back.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }
}
