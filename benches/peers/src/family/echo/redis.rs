//! Hits in Redis, against a bare GET of the same bytes with the client that ours is built on.

use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use docache::echo::{EchoCache, RedisStore};
use redis::aio::MultiplexedConnection;
use redis::{Client, Connection};
use tokio::runtime::{Builder, Runtime};

use super::server::Server;
use super::{KEYS, MANY};
use crate::harness::{Bench, Subject};

const PREFIX: &str = "peers";
/// A value of a usual size, without its quotes.
const LENGTH: usize = 100;

type Ours = EchoCache<RedisStore, String, Infallible>;

/// Measures one caller, and many of them at the same time.
///
/// The peers of many callers are a connection for each of them, and one that all share and that
/// pipelines what they ask; `bare_get` is whichever is faster.
pub(super) fn hits(
    bench: &mut Bench,
    names: &'static [&'static str],
    server: &Server,
) -> Result<(), Box<dyn Error>> {
    if !bench.wants_any("redis-hit") {
        return Ok(());
    }
    let ours = ours(names, server)?;
    let raw_keys: Vec<String> = names.iter().map(|name| format!("{PREFIX}:{name}")).collect();
    let client = Client::open(server.url())?;
    let connect = |_| client.get_connection();
    let alone = Pool::of((0..1).map(connect))?;
    let fetches = || {
        Subject::new("docache", |n| {
            for turn in 0..n {
                let fetched = ours.fetch(names[turn as usize % KEYS], || Ok(String::new()));
                black_box(fetched.unwrap_or_else(|error| panic!("{error}")));
            }
        })
    };
    bench.case("redis-hit-1", 1, &[fetches(), gets("bare_get", &alone, &raw_keys)]);
    drop(alone);
    let each = Pool::of((0..MANY).map(connect))?;
    let (runtime, shared) = shared(&client)?;
    let gets_shared = Subject::prepared(
        "bare_get_shared",
        |_| shared.clone(),
        |shared, n| {
            for turn in 0..n {
                let get =
                    async { redis::cmd("GET").arg(key(&raw_keys, turn)).query_async(shared).await };
                let value: String = runtime.block_on(get).expect("it is there");
                black_box(value);
            }
        },
    );
    let subjects = [fetches(), gets("bare_get_each", &each, &raw_keys), gets_shared];
    bench.case("redis-hit-32", MANY, &subjects);
    let peers = ["bare_get_each", "bare_get_shared"];
    if let [Some(each), Some(shared)] = peers.map(|peer| bench.value("redis-hit-32", MANY, peer)) {
        bench.record("redis-hit-32", MANY, "bare_get", each.min(shared));
    }
    let loads = ours.stats().loads;
    if loads > KEYS as u64 {
        return Err(format!("{} fetches were no hits", loads - KEYS as u64).into());
    }
    Ok(())
}

fn key(keys: &[String], turn: u64) -> &str {
    &keys[turn as usize % KEYS]
}

/// A cache that has all keys, and that waits for its store for as long as a client would.
fn ours(names: &[&str], server: &Server) -> Result<Ours, Box<dyn Error>> {
    let store = RedisStore::builder(server.url()).prefix(PREFIX).build()?;
    let ours: Ours = EchoCache::builder(store).store_budget(Duration::from_secs(10)).build()?;
    for name in names {
        ours.fetch(name, || Ok("v".repeat(LENGTH)))?;
    }
    Ok(ours)
}

/// One connection for all, which a thread of the client's runtime sends and reads on.
fn shared(client: &Client) -> Result<(Runtime, MultiplexedConnection), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shared = runtime.block_on(client.get_multiplexed_async_connection())?;
    Ok((runtime, shared))
}

/// A GET after the other by each thread, on a connection of its own.
fn gets<'a>(name: &'static str, pool: &'a Pool, keys: &'a [String]) -> Subject<'a> {
    Subject::prepared(
        name,
        |_| pool.lend(),
        |lent, n| {
            for turn in 0..n {
                let get = redis::cmd("GET").arg(key(keys, turn)).query::<String>(lent.connection());
                black_box(get.expect("it is there"));
            }
        },
    )
}

/// Connections that are made once, not for each sample.
struct Pool(Mutex<Vec<Connection>>);

struct Lent<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Pool {
    fn of(
        connections: impl Iterator<Item = redis::RedisResult<Connection>>,
    ) -> redis::RedisResult<Pool> {
        Ok(Pool(Mutex::new(connections.collect::<Result<_, _>>()?)))
    }

    fn lend(&self) -> Lent<'_> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { pool: self, connection }
    }
}

impl Lent<'_> {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("as many connections as threads")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.extend(self.connection.take());
    }
}
