//! A system that gives no threads.

use crate::{seccomp::deny, wait};
use docache::run::{Actor, Group};
use docache::{ErrorKind, Level, Logger};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

/// The calling thread gets no other from here on.
fn forbid_threads() {
    deny(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN, 0);
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "it is forbidden");
}

#[test]
fn an_actor_without_a_thread_has_failed() {
    let run = thread::spawn(|| {
        let mut group = Group::new();
        for name in ["one", "two"] {
            let actor = Actor::new(name, || -> Result<(), String> { unreachable!() });
            group.add(actor.interrupt(|_| unreachable!()).on_failure(|_| unreachable!()));
        }
        forbid_threads();
        group.run()
    });
    let error = run.join().unwrap().unwrap_err();
    assert_eq!((error.actor(), error.error().unwrap().kind()), (Some("one"), ErrorKind::Internal));
    assert!(error.report().unfinished().is_empty());
}

#[test]
fn interrupts_without_threads_are_called_by_run() {
    let (tell, told) = channel();
    let started = Arc::new(Barrier::new(3));
    // It is called on the thread in `run`.
    let logger = Logger::new(Level::Info, |record| {
        if record.message().starts_with("stops") {
            forbid_threads();
        }
    });
    let mut group = Group::new().logger(logger);
    for name in ["one", "two"] {
        let (tell, begun) = (tell.clone(), started.clone());
        let actor = Actor::with_context(name, move |ctx| {
            begun.wait();
            wait(ctx)
        });
        group.add(actor.interrupt(move |_| tell.send(thread::current().id()).unwrap()));
    }
    group.add(Actor::new("fails", move || {
        started.wait();
        Err("no")
    }));
    drop(tell);
    let run = thread::spawn(move || (thread::current().id(), group.run()));
    let (here, ended) = run.join().unwrap();
    assert_eq!(ended.unwrap_err().actor(), Some("fails"));
    assert_eq!(told.iter().collect::<Vec<_>>(), [here; 2]);
}
