//! A cache among tokio's tasks: a hundred handlers want the same report and one query is made; then
//! a caller gives up after 50 ms, and the load that it began goes on for the next one.
//!
//! `cargo run --release --example tokio`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::{Cache, Context, Error};

static QUERIES: AtomicUsize = AtomicUsize::new(0);

/// Stands for a database that takes its time.
async fn query(name: &str, time: Duration) -> Arc<str> {
    QUERIES.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    format!("the report of the {name}").into()
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let reports: Cache<String, Arc<str>> =
        Cache::builder().capacity(1_000).time_to_live(Duration::from_secs(60)).build()?;

    // Whoever comes while the query is under way waits for it, as a task: no thread blocks.
    let mut handlers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let reports = reports.clone();
        handlers.spawn(async move {
            reports.fetch_async("day", || query("day", Duration::from_millis(100))).await
        });
    }
    let answers = handlers.join_all().await;
    println!("{} handlers, {} query", answers.len(), QUERIES.load(Ordering::Relaxed));
    assert_eq!((answers.len(), QUERIES.load(Ordering::Relaxed)), (100, 1));

    // A detached load is the runtime's, not the caller's.
    let begun = Instant::now();
    let patience = Context::new().with_timeout(Duration::from_millis(50));
    let detached = reports.options().context(&patience).detached(|load| drop(tokio::spawn(load)));
    let work = || async { Ok(query("year", Duration::from_millis(500)).await) };
    let error = detached.try_fetch_async("year", work).await.unwrap_err();
    println!("after {} ms: {error}", begun.elapsed().as_millis());
    assert!(error.is_timeout());

    // It is still under way, so this joins it; later calls find its value.
    let report = reports.fetch_async("year", || async { unreachable!("nothing is lost") }).await;
    println!("after {} ms: {report}", begun.elapsed().as_millis());
    println!("{} queries in all", QUERIES.load(Ordering::Relaxed));
    assert_eq!(QUERIES.load(Ordering::Relaxed), 2);
    Ok(())
}
