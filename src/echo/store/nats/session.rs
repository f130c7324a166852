//! One connection: from the attempt to have it until it is lost.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Event;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::bucket::Bucket;
use super::job::{Job, Status};
use super::known::Known;
use super::settings::Settings;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The store was dropped.
    Closed,
    /// There is no connection.
    Lost,
}

type Jobs = mpsc::UnboundedReceiver<Job>;

/// How long the calls under way have when the store is dropped.
const LAST_CALLS: Duration = Duration::from_millis(250);

/// The pause after so many failures to connect.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(10 << failures.min(5))
}

/// When the time of one of them is over.
fn first_end(jobs: &[Job]) -> Instant {
    jobs.iter().map(Job::until).min().unwrap_or_else(Instant::now)
}

/// Connects, and makes the calls that come in until the connection is lost.
pub(super) async fn run(
    settings: &Settings,
    jobs: &mut Jobs,
    status: &Status,
    (known, failures): (&Rc<RefCell<Known>>, &mut u32),
) -> End {
    let mut early = Vec::new();
    let connecting = connect(settings, known);
    let (bucket, lost) = match meanwhile(connecting, jobs, status, &mut early).await {
        None => return End::Closed,
        Some(Ok(connected)) => connected,
        Some(Err(why)) => {
            status.down(why);
            drop(early);
            *failures += 1;
            return refuse_until(Instant::now() + pause(*failures), jobs).await;
        }
    };
    *failures = 0;
    status.ready();
    let mut calls = JoinSet::new();
    for job in early {
        calls.spawn_local(job.run(bucket.clone()));
    }
    loop {
        tokio::select! {
            biased;
            () = lost.notified() => {
                status.down("the connection was lost".to_owned());
                return End::Lost;
            }
            job = jobs.recv() => match job {
                Some(job) => {
                    calls.spawn_local(job.run(bucket.clone()));
                    while calls.try_join_next().is_some() {}
                }
                None => break,
            },
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
        }
    }
    let last = async {
        while calls.join_next().await.is_some() {}
        let _ = bucket.client().flush().await;
    };
    let _ = timeout(LAST_CALLS, last).await;
    End::Closed
}

/// Waits for the connection. The calls that come in meanwhile wait with it if it is the first one
/// (BOUNDED), and are dropped if it is not. `None`: the store was dropped.
async fn meanwhile<R>(
    connecting: impl Future<Output = R>,
    jobs: &mut Jobs,
    status: &Status,
    early: &mut Vec<Job>,
) -> Option<R> {
    let mut connecting = pin!(connecting);
    loop {
        tokio::select! {
            biased;
            connected = &mut connecting => return Some(connected),
            job = jobs.recv() => {
                let job = job?;
                if status.is_starting() {
                    early.push(job);
                }
            }
            () = sleep_until(first_end(early)), if !early.is_empty() => {
                early.retain(|job| job.until() > Instant::now());
            }
        }
    }
}

/// Drops the calls that come in: their callers hear that there is no connection.
async fn refuse_until(until: Instant, jobs: &mut Jobs) -> End {
    loop {
        tokio::select! {
            () = sleep_until(until) => return End::Lost,
            job = jobs.recv() => match job {
                None => return End::Closed,
                Some(job) => drop(job),
            },
        }
    }
}

/// The same for those that have come in.
pub(super) fn refuse_all(jobs: &mut Jobs) -> End {
    loop {
        match jobs.try_recv() {
            Ok(job) => drop(job),
            Err(mpsc::error::TryRecvError::Empty) => return End::Lost,
            Err(mpsc::error::TryRecvError::Disconnected) => return End::Closed,
        }
    }
}

type Connected = (Rc<Bucket>, Arc<Notify>);

async fn connect(settings: &Settings, known: &Rc<RefCell<Known>>) -> Result<Connected, String> {
    let lost = Arc::new(Notify::new());
    let told = lost.clone();
    let options = settings.options()?.event_callback(move |event| {
        if matches!(event, Event::Disconnected | Event::Closed) {
            told.notify_one();
        }
        std::future::ready(())
    });
    let client = options
        .connect(&settings.servers)
        .await
        .map_err(|error| format!("no connection to {}: {error}", names(settings)))?;
    let opened = Bucket::open(client, settings, (known.clone(), lost.clone()));
    // Some questions are asked one after another.
    let bucket = timeout(4 * settings.connect_timeout, opened)
        .await
        .unwrap_or_else(|_| Err("JetStream does not answer".to_owned()))?;
    Ok((Rc::new(bucket), lost))
}

fn names(settings: &Settings) -> String {
    let name = |server: &async_nats::ServerAddr| format!("{}:{}", server.host(), server.port());
    settings.servers.iter().map(name).collect::<Vec<_>>().join(", ")
}
