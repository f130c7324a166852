//! The world of a case: tables of handles. Callbacks on its thread come back to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use docache::ffi::*;

use super::model::{Model, Slot, bytes};
use super::own::Own;
use super::script::{Answer, Callback, Op};
use crate::abi::args::Pick;
use crate::abi::registry::{Drops, Registration, Registry, drop_wrapped};

/// Calls inside calls inside calls: further down nothing is done.
const DEPTH: u32 = 5;

/// What a store keeps its values in.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) leaves: Vec<usize>,
    /// How many stores it is made of.
    pub(crate) layers: usize,
}

/// A share of a store.
#[derive(Clone)]
pub(crate) struct StoreShare {
    pub(crate) handle: *mut docache_store,
    pub(crate) shape: Rc<Shape>,
    pub(crate) own: Option<Arc<Own>>,
}

/// What any thread may use, for as long as anything of the case is there.
#[derive(Default)]
pub(crate) struct Common {
    pub(crate) registry: Registry,
    model: Mutex<Model>,
    /// The codes of all failures that were reported, and whether one was a panic.
    codes: Mutex<Vec<i64>>,
    panicked: AtomicBool,
}

impl Common {
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("not poisoned")
    }

    /// Work reports a failure.
    pub(crate) fn failed(&self, status: docache_status, code: i64) {
        if status == DOCACHE_PANIC {
            self.panicked.store(true, Ordering::SeqCst);
        }
        self.codes.lock().expect("not poisoned").push(code);
    }

    /// Somebody is told of a failure of work.
    pub(crate) fn check_failure(&self, status: docache_status, code: Option<i64>) {
        assert!(status != DOCACHE_PANIC || self.panicked.load(Ordering::SeqCst), "a panic");
        let codes = self.codes.lock().expect("not poisoned");
        assert!(code.is_none_or(|code| code == 0 || codes.contains(&code)), "code {code:?}");
        assert!(!codes.is_empty(), "no work has failed");
    }

    /// A share of a new value with this number.
    pub(crate) fn value(&self, number: u32, drops: Option<Drops>) -> *mut docache_value {
        self.registry.value(&bytes(number), drops, drop_value).0
    }
}

unsafe extern "C-unwind" fn drop_value(ctx: usize) {
    called(Callback::DropValue);
    // SAFETY: CALLBACK: as this was called.
    unsafe { drop_wrapped(ctx) };
}

/// What the callbacks of a cache find at their `ctx`.
pub(crate) struct About {
    pub(crate) registration: Registration,
    pub(crate) common: Arc<Common>,
    pub(crate) leaves: Vec<usize>,
    /// What its own work returns.
    pub(crate) answer: Mutex<Answer>,
    /// Taken, and freed, by the next refresh.
    pub(crate) to_free: AtomicPtr<docache_echo>,
    pub(crate) warnings: AtomicU32,
}

/// Who does the work of refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refreshes {
    None,
    Own,
    Host,
}

/// A cache.
pub(crate) struct Echo {
    /// NULL once it was freed, or is to be by a refresh.
    pub(crate) handle: Cell<*mut docache_echo>,
    /// It was given to a refresh to free.
    pub(crate) lent: Cell<bool>,
    pub(crate) shape: Rc<Shape>,
    pub(crate) refreshes: Refreshes,
    pub(crate) negative: bool,
    /// Its store has as long as it needs.
    pub(crate) has_time: bool,
    /// It waits for the locks of others until it has them.
    pub(crate) waits: bool,
    pub(crate) about: Arc<About>,
    /// How many calls on it are on the stack.
    pub(crate) frames: Cell<u32>,
    /// The notification of refreshes.
    pub(crate) told: Arc<Told>,
}

impl Echo {
    /// A call on it, or on one of its calls.
    pub(crate) fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        self.frames.set(self.frames.get() + 1);
        let result = f();
        self.frames.set(self.frames.get() - 1);
        result
    }

    /// Nothing may be left of one that is gone.
    pub(crate) fn check(&self) {
        if self.handle.get().is_null() && !self.lent.get() && self.frames.get() == 0 {
            let registration = &self.about.registration;
            assert_eq!(registration.is_dropped(), registration.is_counted(), "a cache was freed");
        }
    }
}

/// How often a notification was called, on whatever thread.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) times: AtomicU32,
    /// It must not be called any more.
    pub(crate) over: AtomicBool,
    pub(crate) of_refresh: bool,
}

/// The notification.
pub(crate) unsafe extern "C-unwind" fn notify(token: usize) {
    // SAFETY: CALLBACK: the token is the address of a `Told`, which lives as long as its case.
    let told = unsafe { &*std::ptr::with_exposed_provenance::<Told>(token) };
    assert!(!told.over.load(Ordering::SeqCst), "a notification that was taken back");
    told.times.fetch_add(1, Ordering::SeqCst);
    called(if told.of_refresh { Callback::Refresh } else { Callback::Notify });
}

/// How it stands with a call, as far as it has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Leads,
    Finished,
    /// With this status, and this value.
    Over(docache_status, Option<u32>),
}

/// A call that is out.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_echo_call,
    pub(crate) echo: Rc<Echo>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) refreshes: bool,
    /// The epoch in which it was seen to lead.
    pub(crate) epoch: Cell<u64>,
    pub(crate) stage: Cell<Stage>,
    pub(crate) told: Arc<Told>,
    /// How often it was armed, and how often that was taken back, or could be once more.
    pub(crate) armed: Cell<u32>,
    pub(crate) is_armed: Cell<bool>,
}

/// Work under way: of which cache, where, and in which epoch it began.
pub(crate) struct Loading {
    pub(crate) echo: Rc<Echo>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) epoch: u64,
}

/// Tables of handles. Nothing is borrowed while the library is called.
pub(crate) struct World {
    apply: fn(&World, &Op),
    pub(crate) common: Arc<Common>,
    pub(crate) stores: RefCell<Vec<StoreShare>>,
    /// All there ever were: their callbacks may come late.
    pub(crate) owns: RefCell<Vec<Arc<Own>>>,
    pub(crate) abouts: RefCell<Vec<Arc<About>>>,
    pub(crate) caches: RefCell<Vec<Rc<Echo>>>,
    pub(crate) calls: RefCell<Vec<Rc<Held>>>,
    pub(crate) all_told: RefCell<Vec<Arc<Told>>>,
    inside: RefCell<Vec<(Callback, Vec<Op>)>>,
    /// Where calls on the stack load or write.
    active: RefCell<Vec<Vec<Slot>>>,
    /// The work on the stack.
    pub(crate) loading: RefCell<Vec<Loading>>,
    depth: Cell<u32>,
}

thread_local! {
    static WORLD: Cell<*const World> = const { Cell::new(std::ptr::null()) };
}

/// A callback was called; if this is the thread of the case, what is to happen inside happens.
pub(crate) fn called(kind: Callback) {
    // SAFETY: the world is there until its thread forgets it.
    let Some(world) = (unsafe { WORLD.get().as_ref() }) else { return };
    let mut inside = world.inside.borrow_mut();
    let Some(at) = inside.iter().position(|(other, _)| *other == kind) else { return };
    let (_, ops) = inside.swap_remove(at);
    drop(inside);
    world.act(&ops);
}

impl World {
    pub(crate) fn new(apply: fn(&World, &Op)) -> World {
        World {
            apply,
            common: Arc::default(),
            stores: RefCell::default(),
            owns: RefCell::default(),
            abouts: RefCell::default(),
            caches: RefCell::default(),
            calls: RefCell::default(),
            all_told: RefCell::default(),
            inside: RefCell::default(),
            active: RefCell::default(),
            loading: RefCell::default(),
            depth: Cell::new(0),
        }
    }

    /// Callbacks of this thread come here meanwhile.
    pub(crate) fn enter(&self, f: impl FnOnce()) {
        WORLD.set(self);
        f();
        WORLD.set(std::ptr::null());
    }

    pub(crate) fn act(&self, ops: &[Op]) {
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            for op in ops {
                (self.apply)(self, op);
                self.caches.borrow().iter().for_each(|echo| echo.check());
            }
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// Nothing happens inside callbacks any more.
    pub(crate) fn calm(&self) {
        self.inside.borrow_mut().clear();
    }

    pub(crate) fn plan(&self, kind: Callback, ops: &[Op]) {
        if self.inside.borrow().len() < 8 {
            self.inside.borrow_mut().push((kind, ops.to_vec()));
        }
    }

    pub(crate) fn store(&self, pick: Pick) -> (*mut docache_store, Option<StoreShare>) {
        let stores = self.stores.borrow();
        let share = pick.index(stores.len()).map(|at| stores[at].clone());
        (pick.handle(&stores, |share| share.handle), share)
    }

    /// A cache that is there, as an argument, and what is known of it.
    pub(crate) fn cache(&self, pick: Pick) -> (*mut docache_echo, Option<Rc<Echo>>) {
        let caches = self.caches.borrow();
        let there: Vec<_> = caches.iter().filter(|echo| !echo.handle.get().is_null()).collect();
        let echo = pick.index(there.len()).map(|at| there[at].clone());
        (pick.handle(&there, |echo| echo.handle.get()), echo)
    }

    pub(crate) fn call(&self, pick: Pick) -> (*mut docache_echo_call, Option<Rc<Held>>) {
        let calls = self.calls.borrow();
        let held = pick.index(calls.len()).map(|at| calls[at].clone());
        (pick.handle(&calls, |held| held.handle), held)
    }

    /// Whether somebody may be at these, on this thread or between its calls.
    pub(crate) fn is_busy(&self, slots: &[Slot]) -> bool {
        let model = self.common.model();
        let is_out = |held: &Rc<Held>| {
            !matches!(held.stage.get(), Stage::Over(..)) && model.meet(&held.slots, slots)
        };
        self.calls.borrow().iter().any(is_out)
            || self.active.borrow().iter().any(|other| model.meet(other, slots))
    }

    /// Whether refreshes in the background may be at these.
    pub(crate) fn is_refreshed(&self, slots: &[Slot], key: usize) -> bool {
        let model = self.common.model();
        self.caches.borrow().iter().any(|echo| {
            echo.refreshes == Refreshes::Own
                && model.meet(&model.slots(&echo.shape.leaves, key), slots)
        })
    }

    /// A call that loads, or writes, at these.
    pub(crate) fn at<R>(&self, slots: &[Slot], f: impl FnOnce() -> R) -> R {
        self.active.borrow_mut().push(slots.to_vec());
        let result = f();
        self.active.borrow_mut().pop();
        result
    }
}
