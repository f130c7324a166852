//! What a bucket does for each call of a store, in as few round trips as the protocol takes.
//!
//! | call | round trips |
//! |---|---|
//! | `get` | 1 |
//! | `begin_refresh` | 1: the lock and the value are read; 1 more to take a lock that is free |
//! | `renew` | 1 |
//! | `finish_refresh` | 1 to renew the lock; 1 to write the value and give the lock back |
//! | `abandon_refresh` | 1 |
//! | `put`, `remove` | 1: the value is written, and its lock read; 1 more if that is held |
//!
//! A conflict with another client, and a lock that is not known because an answer to it was lost,
//! cost one or two more.
//!
//! # Invariants
//! - READ-FIRST: a lock is granted by a write that expects the revision which was read *before* the
//!   value was. So between that and the grant nobody had the lock, and what earlier holders wrote
//!   has been seen.
//! - FENCE: a holder's write of a value expects the revision that was read when the lock was taken.
//!   Whoever writes or removes the value meanwhile, with the lock or without, makes it fail. What
//!   makes it fail, too, but is not newer, is that the value's time was over; then it is repeated.
//! - UNCHANGED: a lock is taken over when its message has not changed for its time to live, by the
//!   monotonic clock of whoever wants it, counted from when he first saw it. Each renewal is a new
//!   message. The time in the lock's value is for other programs, and decides nothing.
//! - GRANTED-LATE: a lock whose grant comes when nobody waits for it any more is given back. Who
//!   gives a lock back waits for the answer to what was sent to take it.

use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use foldhash::fast::FixedState;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::bucket::{Bucket, Kind, Note, Put, Stored, What};
use super::known::Held;
use crate::echo::codec::Stamp;
use crate::echo::error::StoreError;
use crate::echo::lock::{RefreshLock, Token};
use crate::echo::store::Written;

/// How long the marker of a lock that was given back stays at least.
const LOCK_MARKER: Duration = Duration::from_secs(60);
/// The same for a value that was removed: longer than a load takes, which it is to fence off.
const VALUE_MARKER: Duration = Duration::from_secs(3600);
/// How long a grant is waited for, so that it can be given back (GRANTED-LATE).
const LATE: Duration = Duration::from_secs(5);
/// How often a call begins again because another client came in between.
const TRIES: usize = 16;

/// The bucket's keys for a key of the user's.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) value: String,
    pub(super) lock: String,
}

/// A lock that was asked for, until this is dropped.
struct Taking {
    bucket: Rc<Bucket>,
    claim: (String, Token),
}

impl Taking {
    fn new(bucket: Rc<Bucket>, claim: (String, Token)) -> Taking {
        bucket.known().borrow_mut().begin_taking(claim.clone());
        Taking { bucket, claim }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.bucket.known().borrow_mut().end_taking(&self.claim);
        self.bucket.taken().notify_waiters();
    }
}

/// The value of a lock: who has it. `None`: it is something else, such as a value of the user's
/// whose key begins with `lock:`.
fn holder(lock: &Stored) -> Option<&str> {
    let text = std::str::from_utf8(&lock.payload).ok()?;
    let (token, time) = text.rsplit_once('|')?;
    Stamp::parse(time).map(|_| token)
}

fn lock_value(lock: &RefreshLock) -> What {
    let now = Stamp::from(SystemTime::now()).whole();
    let note = Note { ttl: Some(lock.ttl()), age: Some(Duration::ZERO) };
    What::Value(format!("{}|{now}", lock.token()).into_bytes(), note)
}

/// Whether a lock can be had.
enum Standing {
    /// By a write that expects this revision.
    Free(u64),
    /// It is whoever's number this is.
    Taken(u64),
}

/// What `begin` found.
pub(super) struct Began {
    pub(super) granted: bool,
    pub(super) value: Option<Stored>,
    pub(super) holder: Option<u64>,
}

fn conflicts() -> StoreError {
    super::bucket::unavailable("NATS: other clients write the key all the time")
}

impl Bucket {
    pub(super) async fn begin(
        self: &Rc<Self>,
        keys: &Keys,
        lock: &RefreshLock,
    ) -> Result<Began, StoreError> {
        for _ in 0..TRIES {
            // READ-FIRST: the server answers in the order of the questions.
            let (held, value) = tokio::join!(biased; self.read(&keys.lock), self.read(&keys.value));
            let (held, value) = (held?, value?);
            let expected = match self.standing(keys, held.as_ref(), lock) {
                Standing::Taken(holder) => {
                    return Ok(Began { granted: false, value, holder: Some(holder) });
                }
                Standing::Free(expected) => expected,
            };
            let since = Instant::now();
            if let Some(revision) = self.take(keys, lock, expected).await? {
                let fence = value.as_ref().map_or(0, |value| value.revision);
                let held = Held { revision, fence, since, ttl: lock.ttl() };
                self.known().borrow_mut().hold(&keys.lock, lock.token(), held);
                return Ok(Began { granted: true, value, holder: None });
            }
        }
        Err(conflicts())
    }

    fn standing(&self, keys: &Keys, held: Option<&Stored>, lock: &RefreshLock) -> Standing {
        let mut known = self.known().borrow_mut();
        let Some(held) = held else {
            known.forget_seen(&keys.lock);
            return Standing::Free(0);
        };
        let holder = holder(held).filter(|_| held.kind == Kind::Value);
        let Some(token) = holder.filter(|token| *token != lock.token().as_str()) else {
            known.forget_seen(&keys.lock);
            return Standing::Free(held.revision);
        };
        let ttl = held.note.ttl.unwrap_or(lock.ttl());
        if known.unchanged(&keys.lock, (held.revision, held.written)) >= ttl {
            return Standing::Free(held.revision);
        }
        Standing::Taken(FixedState::default().hash_one(token))
    }

    /// Takes the lock if its revision is still this one; `None` if not.
    async fn take(
        self: &Rc<Self>,
        keys: &Keys,
        lock: &RefreshLock,
        expected: u64,
    ) -> Result<Option<u64>, StoreError> {
        let (told, answer) = oneshot::channel();
        let lock = *lock;
        let taking = Taking::new(self.clone(), (keys.lock.clone(), lock.token()));
        spawn_local(async move {
            let (bucket, (key, _)) = (&taking.bucket, &taking.claim);
            let write = bucket.write(key, lock_value(&lock), Some(expected));
            let put = timeout(LATE, write).await.unwrap_or_else(|_| Err(StoreError::timeout()));
            if let Err(Ok(Put::Done(revision))) = told.send(put) {
                // GRANTED-LATE
                let _ = bucket.release(key, revision).await;
            }
        });
        match answer.await.unwrap_or_else(|_| Err(StoreError::timeout()))? {
            Put::Done(revision) => Ok(Some(revision)),
            Put::Conflict => Ok(None),
        }
    }

    /// Gives a lock back if its revision is still this one.
    async fn release(&self, key: &str, revision: u64) -> Result<Put, StoreError> {
        self.write(key, What::Marker(LOCK_MARKER), Some(revision)).await
    }

    /// The revision of the lock, if it is the token's.
    async fn look(&self, key: &str, token: Token) -> Result<Option<u64>, StoreError> {
        let lock = self.read(key).await?;
        let is_its =
            |lock: &Stored| lock.kind == Kind::Value && holder(lock) == Some(token.as_str());
        Ok(lock.filter(is_its).map(|lock| lock.revision))
    }

    pub(super) async fn renew(&self, keys: &Keys, lock: &RefreshLock) -> Result<bool, StoreError> {
        let Some(mut held) = self.known().borrow().held(&keys.lock, lock.token()) else {
            return Ok(false);
        };
        for _ in 0..TRIES {
            let since = Instant::now();
            let put = self.write(&keys.lock, lock_value(lock), Some(held.revision)).await?;
            if let Put::Done(revision) = put {
                let held = Held { revision, since, ..held };
                self.known().borrow_mut().hold(&keys.lock, lock.token(), held);
                return Ok(true);
            }
            // It may have been renewed by a call whose answer was lost.
            match self.look(&keys.lock, lock.token()).await? {
                Some(revision) => held.revision = revision,
                None => {
                    self.known().borrow_mut().let_go(&keys.lock, lock.token());
                    return Ok(false);
                }
            }
        }
        Err(conflicts())
    }

    pub(super) async fn finish(
        &self,
        keys: &Keys,
        lock: &RefreshLock,
        (payload, note): (Vec<u8>, Note),
    ) -> Result<Written, StoreError> {
        // It is ours, and stays so for its time to live.
        if !self.renew(keys, lock).await? {
            return Ok(Written::Lost);
        }
        let Some(held) = self.known().borrow().held(&keys.lock, lock.token()) else {
            return Ok(Written::Lost);
        };
        let write = |payload, fence| self.write(&keys.value, What::Value(payload, note), fence);
        let (mut put, released) = tokio::join!(
            biased;
            write(payload.clone(), Some(held.fence)),
            self.release(&keys.lock, held.revision)
        );
        if put.as_ref().is_ok_and(|put| *put == Put::Conflict) {
            if let Some(fence) = self.fence_after_expiry(&keys.value).await? {
                put = write(payload, Some(fence)).await;
            }
        }
        let put = put?;
        released?;
        self.known().borrow_mut().let_go(&keys.lock, lock.token());
        Ok(match put {
            Put::Done(_) => Written::Yes,
            Put::Conflict => Written::Lost,
        })
    }

    /// The value's revision, if nothing but the end of its time has changed it (FENCE).
    async fn fence_after_expiry(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(match self.read(key).await? {
            None => Some(0),
            Some(stored) if stored.kind == Kind::Expired => Some(stored.revision),
            Some(_) => None,
        })
    }

    pub(super) async fn abandon(&self, keys: &Keys, token: Token) -> Result<(), StoreError> {
        let claim = (keys.lock.clone(), token);
        // Between the look and the wait nothing else runs on this thread.
        while self.known().borrow().is_taking(&claim) {
            self.taken().notified().await;
        }
        let held = self.known().borrow_mut().let_go(&keys.lock, token);
        if let Some(held) = held {
            if self.release(&keys.lock, held.revision).await? != Put::Conflict {
                return Ok(());
            }
        }
        if let Some(revision) = self.look(&keys.lock, token).await? {
            self.release(&keys.lock, revision).await?;
        }
        Ok(())
    }

    pub(super) async fn put(
        &self,
        keys: &Keys,
        (payload, note): (Vec<u8>, Note),
    ) -> Result<(), StoreError> {
        self.overwrite(keys, What::Value(payload, note)).await
    }

    pub(super) async fn remove(&self, keys: &Keys) -> Result<(), StoreError> {
        self.overwrite(keys, What::Marker(VALUE_MARKER)).await
    }

    /// Writes whatever is there, and takes the lock away. Whoever has it could not write the value
    /// any more (FENCE); this is for those who wait for him.
    async fn overwrite(&self, keys: &Keys, what: What) -> Result<(), StoreError> {
        let write = self.write(&keys.value, what, None);
        let (put, lock) = tokio::join!(biased; write, self.read(&keys.lock));
        put?;
        let mut lock = lock?.filter(|lock| lock.kind == Kind::Value);
        let Some(first) = lock.as_ref().and_then(holder).map(str::to_owned) else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let is_his =
                |lock: &Stored| lock.kind == Kind::Value && holder(lock) == Some(first.as_str());
            let Some(held) = lock.filter(is_his) else { return Ok(()) };
            if self.release(&keys.lock, held.revision).await? != Put::Conflict {
                return Ok(());
            }
            lock = self.read(&keys.lock).await?;
        }
        Err(conflicts())
    }
}
