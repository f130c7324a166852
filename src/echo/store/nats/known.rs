//! What a store knows of locks; the invariants are those of [`refresh`](super::refresh).

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::echo::codec::Stamp;
use crate::echo::lock::Token;

/// A lock that is ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Of the lock.
    pub(super) revision: u64,
    /// Of the value, when the lock was taken (FENCE).
    pub(super) fence: u64,
    pub(super) since: Instant,
    pub(super) ttl: Duration,
}

/// A lock as it was first seen (UNCHANGED), by one who wants it or by its holder.
#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: u64,
    /// Its holder does not know.
    written: Option<Stamp>,
    first: Instant,
    last: Instant,
}

/// What a store knows of locks. It lives on the store's thread, for longer than a connection.
#[derive(Debug, Default)]
pub(super) struct Known {
    held: HashMap<(String, Token), Held>,
    /// Those that were asked for, and not answered (GRANTED-LATE).
    taking: HashSet<(String, Token)>,
    seen: HashMap<String, Seen>,
    /// When the bucket was created, as the server says it.
    created: Value,
}

/// Beyond so many entries, those are looked for that nobody will ask for any more.
const MANY: usize = 4_096;
const FORGOTTEN: Duration = Duration::from_secs(3600);

impl Known {
    /// Forgets all if it is of another bucket: there revisions begin anew.
    pub(super) fn belongs_to(&mut self, created: &Value) {
        if self.created != *created {
            *self = Known { created: created.clone(), ..Known::default() };
        }
    }

    pub(super) fn hold(&mut self, key: &str, token: Token, held: Held) {
        if self.held.len() >= MANY && self.held.len().is_power_of_two() {
            self.held.retain(|_, held| held.since.elapsed() < held.ttl.saturating_add(FORGOTTEN));
        }
        self.held.insert((key.to_owned(), token), held);
        let now = Instant::now();
        let seen = Seen { revision: held.revision, written: None, first: now, last: now };
        self.seen.insert(key.to_owned(), seen);
    }

    pub(super) fn held(&self, key: &str, token: Token) -> Option<Held> {
        self.held.get(&(key.to_owned(), token)).copied()
    }

    pub(super) fn let_go(&mut self, key: &str, token: Token) -> Option<Held> {
        self.held.remove(&(key.to_owned(), token))
    }

    /// For how long this process has seen a lock as it is (UNCHANGED).
    pub(super) fn unchanged(
        &mut self,
        key: &str,
        (revision, written): (u64, Option<Stamp>),
    ) -> Duration {
        let now = Instant::now();
        if self.seen.len() >= MANY && self.seen.len().is_power_of_two() {
            self.seen.retain(|_, seen| now.duration_since(seen.last) < FORGOTTEN);
        }
        let new = Seen { revision, written, first: now, last: now };
        let seen = self.seen.entry(key.to_owned()).or_insert(new);
        let is_other = seen.written.is_some() && seen.written != new.written;
        if seen.revision != new.revision || is_other {
            *seen = new;
        }
        seen.last = now;
        now.duration_since(seen.first)
    }

    /// Nobody else has the lock: whoever takes it next is seen for the first time.
    pub(super) fn forget_seen(&mut self, key: &str) {
        self.seen.remove(key);
    }

    pub(super) fn begin_taking(&mut self, claim: (String, Token)) {
        self.taking.insert(claim);
    }

    pub(super) fn end_taking(&mut self, claim: &(String, Token)) {
        self.taking.remove(claim);
    }

    pub(super) fn is_taking(&self, claim: &(String, Token)) -> bool {
        self.taking.contains(claim)
    }
}
