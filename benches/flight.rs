//! Criterion benches of the groups: our own figures from one change to the next. Nobody meets here.
//!
//! `cargo bench --bench flight`; for a comparison with others see `benches/peers`.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use docache::{Context, Group, KeyedGroup};

/// Keys that are gone through.
const KEYS: usize = 1024;

fn names() -> Vec<&'static str> {
    (0..KEYS).map(|n| &*format!("user:{n:08}").leak()).collect()
}

/// The output of a future that need not wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nobody else is there to wait for"),
    }
}

fn groups(c: &mut Criterion) {
    let group = Group::<u64>::new();
    let mut bench = c.benchmark_group("group");
    bench.bench_function("run", |b| b.iter(|| group.run(|| black_box(1))));
    let context = Context::new().with_timeout(Duration::from_secs(3600));
    bench.bench_function("run_in", |b| b.iter(|| group.run_in(&context, || black_box(1))));
    bench.bench_function("run_async", |b| {
        b.iter(|| ready(group.run_async(|| async { black_box(1) })))
    });
    let fallible = Group::<u64, &str>::new();
    bench.bench_function("try_run, error", |b| {
        b.iter(|| fallible.try_run(|| Err(black_box("no route"))));
    });
    bench.finish();
}

fn keyed(c: &mut Criterion) {
    let (names, mut turn) = (names(), 0);
    let mut next = || {
        turn = (turn + 1) % KEYS;
        turn
    };
    let by_number = KeyedGroup::<u64, u64>::new();
    let by_name = KeyedGroup::<str, u64>::new();
    let mut bench = c.benchmark_group("keyed");
    bench.bench_function("run, u64", |b| {
        b.iter(|| by_number.run(&(next() as u64), || black_box(1)))
    });
    bench.bench_function("run, str", |b| b.iter(|| by_name.run(names[next()], || black_box(1))));
    bench.bench_function("run_async, u64", |b| {
        b.iter(|| ready(by_number.run_async(next() as u64, || async { black_box(1) })));
    });
    bench.bench_function("run_async, str", |b| {
        b.iter(|| ready(by_name.run_async(names[next()], || async { black_box(1) })));
    });
    bench.finish();
}

/// A bulk call that leads all of its keys.
fn bulk(c: &mut Criterion) {
    let (names, group) = (names(), KeyedGroup::<str, u64>::new());
    c.bench_function("run_many, 16 keys", |b| {
        b.iter(|| group.run_many(&names[..16], |keys| black_box(vec![1; keys.len()])));
    });
}

criterion_group!(benches, groups, keyed, bulk);
criterion_main!(benches);
