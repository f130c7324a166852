//! What happens when a process is copied by `fork`: the child has the memory as it was at that
//! moment, and of the threads only the one that called it.
//!
//! # State
//! [`forks`] says how many forks lie between this process and the first one. Whatever lies in
//! frames of threads (places in wait lists, calls in flights) notes it, and what holds such things
//! compares: of another number is what belonged to a process before, and is forgotten without a
//! look at it.
//!
//! What lives at an address of its own and has locks is a [member](AtFork): a cache, a loop cache,
//! the timers. Before a fork all of them are held, so that the child finds them whole, and after it
//! let go of, in the child as it is to be there.
//!
//! # Invariants
//! - WHOLE: no other thread has the lock of a member while the process is copied.
//! - ORDER: members are held in the order of their [levels](LockLevel), and otherwise of their age.
//!   Who has a lock of one level takes another one only of a higher level, and never that of the
//!   members themselves.
//! - HELD: what is kept from before the fork until after it belongs to the thread that forks: it
//!   has the lock of the members.
//!
//! # Limits
//! Only `fork` itself calls the handlers (and `daemon`, `forkpty` and the like), not `vfork`,
//! `posix_spawn` or the bare system call: their children are to go on to `exec`. Nobody may fork
//! while he has one of the locks, that is from a key's `Eq` or `Hash`. The handlers are installed
//! when the crate is first used: a fork that another thread has begun by then does not call them.

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Which copy of the first process this is: it changes in the child of a fork, before anything else
/// happens there.
#[inline(always)]
pub(crate) fn forks() -> u32 {
    // Relaxed: it changes while there is one thread.
    FORKS.load(Ordering::Relaxed)
}

/// In which order locks are taken (ORDER).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LockLevel {
    /// A cache, with its place in the background, or a loop cache.
    Object,
    /// The background's threads.
    Upkeep,
    /// Contexts, and whatever else has [striped](crate::lock::striped) locks.
    Striped,
    /// Timers, and the ticking thread.
    Time,
    /// The handles of the threads of these.
    Threads,
    /// Who reads.
    Readers,
    /// The heavy fence: no lock, but the first to be seen to in a child.
    #[cfg_attr(docache_portable, allow(dead_code, reason = "there is none"))]
    Fence,
}

/// Something with locks that a child is to find whole.
pub(crate) trait AtFork: Send + Sync {
    /// Takes the locks.
    fn hold(&self);

    /// Gives them back, in the parent.
    ///
    /// # Safety
    /// The calling thread has called `hold`, and neither of the two since.
    unsafe fn release(&self);

    /// Sees to what is not there any more, and gives the locks back, in the child. There is only
    /// this thread. Starts none.
    ///
    /// # Safety
    /// The calling thread has called `hold`, and neither of the two since.
    unsafe fn reset_in_child(&self);

    /// Goes on with what the parent's threads would have done. Called in the child when it first
    /// uses what there is.
    fn revive(&self) {}
}

#[derive(Clone)]
enum Member {
    Shared(Weak<dyn AtFork>),
    Static(&'static dyn AtFork),
}

/// A member that stays for as long as it is held.
enum Held {
    Shared(Arc<dyn AtFork>),
    Static(&'static dyn AtFork),
}

impl Member {
    fn get(&self) -> Option<Held> {
        match self {
            Member::Shared(member) => member.upgrade().map(Held::Shared),
            Member::Static(member) => Some(Held::Static(*member)),
        }
    }
}

impl Held {
    fn member(&self) -> &dyn AtFork {
        match self {
            Held::Shared(member) => &**member,
            Held::Static(member) => *member,
        }
    }
}

type Members = BTreeMap<(LockLevel, u64), Member>;

static MEMBERS: Mutex<Members> = Mutex::new(Members::new());

fn members() -> MutexGuard<'static, Members> {
    MEMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That something is registered, until this is dropped.
#[derive(Debug)]
pub(crate) struct ForkRegistration((LockLevel, u64));

impl Drop for ForkRegistration {
    fn drop(&mut self) {
        let member = members().remove(&self.0);
        drop(member);
    }
}

fn add(members: &mut Members, level: LockLevel, member: Member) -> (LockLevel, u64) {
    static ADDED: AtomicU64 = AtomicU64::new(0);
    let place = (level, ADDED.fetch_add(1, Ordering::Relaxed));
    members.insert(place, member);
    place
}

/// Makes something a member. To be called with no lock held.
pub(crate) fn register(member: Weak<dyn AtFork>) -> ForkRegistration {
    watch();
    ForkRegistration(add(&mut members(), LockLevel::Object, Member::Shared(member)))
}

/// The same for ever, unless it is one. To be called with no lock held.
#[inline]
pub(crate) fn register_once(
    registered: &AtomicBool,
    level: LockLevel,
    member: &'static dyn AtFork,
) {
    if !registered.load(Ordering::Acquire) {
        watch();
        let mut members = members();
        if !registered.load(Ordering::Relaxed) {
            add(&mut members, level, Member::Static(member));
            registered.store(true, Ordering::Release);
        }
    }
}

/// Does something beside which no fork happens, such as making what is made once: a child would
/// wait for ever for a thread that was at it. `f` uses nothing of this module.
pub(crate) fn exclude<R>(f: impl FnOnce() -> R) -> R {
    let _members = members();
    f()
}

/// Has the handlers called from now on. To be called with no lock held.
#[inline]
pub(crate) fn watch() {
    static WATCHES: AtomicBool = AtomicBool::new(false);
    if !WATCHES.load(Ordering::Acquire) {
        let _members = members();
        if !WATCHES.load(Ordering::Relaxed) {
            #[cfg(unix)]
            // SAFETY: they are functions of the type asked for, and stay. If there is no memory for
            // it a child is on its own.
            unsafe {
                libc::pthread_atfork(Some(prepare), Some(parent), Some(child))
            };
            WATCHES.store(true, Ordering::Release);
        }
    }
}

/// A place for what is kept from before a fork until after it.
pub(crate) struct AcrossFork<T>(UnsafeCell<Option<T>>);

// SAFETY: HELD, as `put` and `take` have promised; what is there stays on the thread that put it
// there.
unsafe impl<T> Sync for AcrossFork<T> {}
// SAFETY: as above.
unsafe impl<T> Send for AcrossFork<T> {}

impl<T> AcrossFork<T> {
    pub(crate) const fn new() -> AcrossFork<T> {
        AcrossFork(UnsafeCell::new(None))
    }

    /// # Safety
    /// Called before a fork by the thread that forks, such as in [`AtFork::hold`] (HELD).
    pub(crate) unsafe fn put(&self, kept: T) {
        // SAFETY: the caller's promise makes this the only access.
        unsafe { *self.0.get() = Some(kept) };
    }

    /// # Safety
    /// Called after a fork by the thread that forked, such as in [`AtFork::release`] (HELD).
    pub(crate) unsafe fn take(&self) -> Option<T> {
        // SAFETY: the caller's promise makes this the only access.
        unsafe { (*self.0.get()).take() }
    }
}

impl<T> std::fmt::Debug for AcrossFork<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcrossFork").finish_non_exhaustive()
    }
}

type Kept = (MutexGuard<'static, Members>, Vec<Held>);

static KEPT: AcrossFork<Kept> = AcrossFork::new();

#[cfg(unix)]
extern "C" fn prepare() {
    let members = members();
    let held: Vec<Held> = members.values().filter_map(Member::get).collect();
    held.iter().for_each(|held| held.member().hold());
    // SAFETY: before the fork, and we have the members' lock.
    unsafe { KEPT.put((members, held)) };
}

/// Gives back what was held, in the reverse order.
#[cfg(unix)]
fn let_go(each: impl FnMut(&Held)) {
    // SAFETY: after the fork; `prepare` was called on this thread.
    let Some((members, held)) = (unsafe { KEPT.take() }) else { return };
    held.iter().rev().for_each(each);
    drop(members);
    // Without any lock: of what others let go of meanwhile these are the last owners.
    drop(held);
}

#[cfg(unix)]
extern "C" fn parent() {
    // SAFETY: `prepare` held it.
    let_go(|held| unsafe { held.member().release() });
}

#[cfg(unix)]
extern "C" fn child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    REVIVE.store(true, Ordering::Relaxed);
    // SAFETY: `prepare` held it.
    let_go(|held| unsafe { held.member().reset_in_child() });
}

/// Set in a child until it uses something.
static REVIVE: AtomicBool = AtomicBool::new(false);

/// Has what the parent's threads did go on in this process, if it is a child that has not done so
/// yet. For the slow paths to which the first uses in a child are led. Starts threads.
#[cold]
pub(crate) fn revive() {
    if !REVIVE.load(Ordering::Relaxed) {
        return;
    }
    // ORDER: the caller may have a lock, for which one who forks waits. Somebody else comes by
    // later.
    let Ok(members) = MEMBERS.try_lock() else { return };
    let all: Vec<Held> = members.values().filter_map(Member::get).collect();
    drop(members);
    if REVIVE.swap(false, Ordering::Relaxed) {
        // Time first: what others have to do may be to set an alarm.
        all.iter().rev().for_each(|held| held.member().revive());
    }
}
