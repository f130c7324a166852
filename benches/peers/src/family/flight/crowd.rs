//! A crowd of threads that wait for one run: what its end costs the thread that led, and when the
//! last of them is through.
//!
//! The same threads serve all subjects and all rounds: none is born or dies while the clock runs.
//! The leader's closure sends them off, sees all of them asleep in their calls, and returns the
//! time; what it returns is what they share.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::median;

/// How long a crowd may take to fall asleep before the next look.
const SETTLE: Duration = Duration::from_millis(5);
/// How many looks are given to other programs to come to rest: what they run counts as the
/// subject's time.
const PATIENCE: usize = 10;
/// A member's frames are small.
const STACK: usize = 128 * 1024;

/// The work of a call: it returns the time.
type Work<'w> = &'w (dyn Fn() -> u64 + Sync);

/// A contestant: runs the work, or waits for the run under way and returns its value.
pub(super) struct Subject<'a> {
    pub(super) name: &'static str,
    fly: Box<dyn Fn(Work<'_>) -> u64 + Sync + 'a>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(name: &'static str, fly: impl Fn(Work<'_>) -> u64 + Sync + 'a) -> Self {
        Subject { name, fly: Box::new(fly) }
    }
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Medians of one subject, in nanoseconds since the end of the leader's closure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until the leader's call has returned.
    pub(super) leader_return: f64,
    /// Until the call of the last that waited has returned.
    pub(super) last_waiter: f64,
}

/// Lets each of `subjects` wake `size` threads, `rounds` times in turn.
pub(super) fn measure(
    subjects: &[Subject<'_>],
    size: usize,
    rounds: usize,
) -> Result<Vec<Times>, Box<dyn Error>> {
    let hall =
        Hall { epoch: Instant::now(), arrived: AtomicUsize::new(0), left: AtomicUsize::new(0) };
    let notes: Vec<Note> = (0..size).map(|_| Note::default()).collect();
    thread::scope(|scope| {
        let mut crowd = Crowd { hall: &hall, notes: &notes, doors: Vec::new(), sights: Vec::new() };
        for note in &notes {
            let (door, calls) = sync_channel(1);
            let (sight, seen) = sync_channel(1);
            let (hall, member) = (&hall, thread::Builder::new().stack_size(STACK));
            member.spawn_scoped(scope, move || {
                // The crowd has gone if nobody asks.
                let _ = sight.send(status_of_this_thread());
                attend(hall, note, subjects, &calls);
            })?;
            crowd.doors.push(door);
            crowd.sights.extend(seen.recv()?);
        }
        let mut samples = vec![(Vec::new(), Vec::new()); subjects.len()];
        for _ in 0..rounds {
            for (index, subject) in subjects.iter().enumerate() {
                let (leader_return, last_waiter) = crowd.round(index, subject)?;
                samples[index].0.push(leader_return);
                samples[index].1.push(last_waiter);
            }
        }
        let times =
            |(leader, last)| Times { leader_return: median(leader), last_waiter: median(last) };
        Ok(samples.into_iter().map(times).collect())
    })
}

/// What all share: the clock, and how many are about to call or have returned.
#[derive(Debug)]
struct Hall {
    epoch: Instant,
    arrived: AtomicUsize,
    left: AtomicUsize,
}

impl Hall {
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// What a member notes of a round: when its call returned, and with which value.
#[derive(Debug, Default)]
struct Note {
    returned: AtomicU64,
    value: AtomicU64,
}

/// A member: makes the calls that it is told to make, and waits behind its own door in between.
fn attend(hall: &Hall, note: &Note, subjects: &[Subject<'_>], calls: &Receiver<usize>) {
    for index in calls {
        hall.arrived.fetch_add(1, Ordering::Relaxed);
        let value = (subjects[index].fly)(&|| 0);
        let returned = hall.now();
        note.returned.store(returned, Ordering::Relaxed);
        note.value.store(value, Ordering::Relaxed);
        hall.left.fetch_add(1, Ordering::Release);
    }
}

/// The members as the leader sees them.
#[derive(Debug)]
struct Crowd<'a> {
    hall: &'a Hall,
    notes: &'a [Note],
    doors: Vec<SyncSender<usize>>,
    /// The files that tell what each member does, where the system has such.
    sights: Vec<PathBuf>,
}

impl Crowd<'_> {
    /// One run that all join: what its end costs the leader, and the last of them.
    fn round(&self, index: usize, subject: &Subject<'_>) -> Result<(f64, f64), Box<dyn Error>> {
        self.hall.arrived.store(0, Ordering::Relaxed);
        self.hall.left.store(0, Ordering::Relaxed);
        let end = (subject.fly)(&|| {
            self.gather(index);
            self.hall.now()
        });
        let returned = self.hall.now();
        until(|| self.hall.left.load(Ordering::Acquire) == self.notes.len());
        if self.notes.iter().any(|note| note.value.load(Ordering::Relaxed) != end) {
            return Err(format!("{}: a caller did not join the run", subject.name).into());
        }
        let last = self.notes.iter().map(|note| note.returned.load(Ordering::Relaxed)).max();
        Ok(((returned - end) as f64, last.unwrap_or(end).saturating_sub(end) as f64))
    }

    /// Sends all members into the call and waits until they sleep there.
    fn gather(&self, index: usize) {
        for door in &self.doors {
            // A member that is gone has panicked, which ends the scope with that panic.
            let _ = door.send(index);
        }
        until(|| self.hall.arrived.load(Ordering::Relaxed) == self.notes.len());
        // Twice, since a lock can make a thread sleep for a moment as well.
        let (mut looks, mut patience) = (0, PATIENCE);
        while looks < 2 {
            thread::sleep(SETTLE);
            let rest = self.sights.iter().all(sleeps) && (patience == 0 || runs_alone());
            looks = if rest { looks + 1 } else { 0 };
            patience = patience.saturating_sub(1);
        }
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The file that tells what the calling thread does.
fn status_of_this_thread() -> Option<PathBuf> {
    let task = fs::read_link("/proc/thread-self").ok()?;
    Some(PathBuf::from("/proc").join(task).join("stat"))
}

/// Whether the thread of that file sleeps; one that has ended cannot be waited for.
fn sleeps(sight: &PathBuf) -> bool {
    fs::read_to_string(sight).is_ok_and(|stat| state(&stat) == Some('S')) || !sight.exists()
}

/// Whether this thread is the only one on the machine that runs, where the system tells.
fn runs_alone() -> bool {
    fs::read_to_string("/proc/loadavg")
        .map_or(true, |load| running(&load).is_none_or(|running| running <= 1))
}

/// The number before the slash, in the fourth word.
fn running(load: &str) -> Option<usize> {
    load.split_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

/// The letter behind the name, which stands in brackets and may hold any.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::flight::mutex_condvar::Group;

    #[test]
    fn the_state_stands_behind_the_name() {
        assert_eq!(state("7 (a) name) S 1 2 3"), Some('S'));
        assert_eq!(state("7 (name) R 1 2 3"), Some('R'));
        assert_eq!(state(""), None);
    }

    #[test]
    fn the_running_threads_stand_before_the_slash() {
        assert_eq!(running("0.42 0.17 0.05 3/1234 5678"), Some(3));
        assert_eq!(running("0.42 0.17"), None);
    }

    #[test]
    fn every_round_wakes_the_whole_crowd() -> Result<(), Box<dyn Error>> {
        let (first, second) = (Group::<(), u64>::default(), Group::<(), u64>::default());
        let subjects = [
            Subject::new("first", |work| first.run(&(), work)),
            Subject::new("second", |work| second.run(&(), work)),
        ];
        let times = measure(&subjects, 8, 3)?;
        assert_eq!(times.len(), 2);
        assert!(times.iter().all(|times| times.leader_return > 0.0 && times.last_waiter > 0.0));
        Ok(())
    }

    #[test]
    fn a_caller_that_does_not_join_is_noticed() {
        let alone = [Subject::new("alone", |work| work())];
        let error = measure(&alone, 2, 1).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(error, Err("alone: a caller did not join the run".to_owned()));
    }
}
