//! The other side of the Go tests of `go/echocache/store`: this library's stores in Redis and NATS,
//! driven line by line.
//!
//! `echo_peer redis URL PREFIX plain|lazy` or `echo_peer nats URL BUCKET PREFIX plain|lazy`. Each
//! line of the standard input is a JSON array, and is answered by one line of JSON:
//!
//! | line | answer |
//! |---|---|
//! | `["get", key]` | `[value, age in ms or null]`, or `null` |
//! | `["put", key, value, ttl in ms or null]` | `true` |
//! | `["lock", key, name, ttl in ms]`: takes the lock with the token of that name | whether it could |
//! | `["renew", key, name]` | whether the lock was held |
//! | `["finish", key, name, value]`: writes the value, and gives the lock back | the same |
//! | `["unlock", key, name]` | `true` |
//!
//! A failure is answered by `{"error": text}`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Duration;

use docache::Context;
use docache::echo::codec::{Json, LazyJson};
use docache::echo::{Life, NatsStore, RedisStore, RefreshLock, Store, Within, Written};
use serde_json::{Value, json};

type Failure = Box<dyn Error>;

const BUDGET: Duration = Duration::from_secs(20);

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut peer = Peer { store: store(&args)?, locks: HashMap::new() };
    for line in stdin().lock().lines() {
        let answer = match peer.answer(&serde_json::from_str(&line?)?) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": error.to_string() }),
        };
        let mut out = stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn store(args: &[&str]) -> Result<Box<dyn Store<Value>>, Failure> {
    Ok(match args {
        ["redis", url, prefix, "plain"] => {
            Box::new(RedisStore::builder(*url).prefix(*prefix).codec(Json).build()?)
        }
        ["redis", url, prefix, "lazy"] => {
            Box::new(RedisStore::builder(*url).prefix(*prefix).codec(LazyJson).build()?)
        }
        ["nats", url, bucket, prefix, "plain"] => {
            Box::new(NatsStore::builder(*url, *bucket).prefix(*prefix).codec(Json).build()?)
        }
        ["nats", url, bucket, prefix, "lazy"] => {
            Box::new(NatsStore::builder(*url, *bucket).prefix(*prefix).codec(LazyJson).build()?)
        }
        _ => return Err(format!("{args:?} is not a store").into()),
    })
}

struct Peer {
    store: Box<dyn Store<Value>>,
    locks: HashMap<String, RefreshLock>,
}

impl Peer {
    fn answer(&mut self, line: &Value) -> Result<Value, Failure> {
        let text = |i: usize| line[i].as_str().ok_or("a text is missing");
        let (context, key) = (Context::background(), text(1)?);
        let within = Within::new(&context, BUDGET);
        Ok(match text(0)? {
            "get" => match self.store.get(key, &within)? {
                Some(found) => json!([found.value, found.age.map(|age| age.as_millis() as u64)]),
                None => Value::Null,
            },
            "put" => {
                let life = millis(&line[3]).map_or(Life::FOREVER, Life::of);
                self.store.put(key, &line[2], life, &within)?;
                true.into()
            }
            "lock" => {
                let ttl = millis(&line[3]).ok_or("a time to live is missing")?;
                let lock = self.locks.entry(text(2)?.into()).or_insert(RefreshLock::new(ttl));
                self.store.begin_refresh(key, lock, &within)?.granted.into()
            }
            "renew" => self.store.renew(key, self.lock(text(2)?)?, &within)?.into(),
            "finish" => {
                let lock = self.lock(text(2)?)?;
                let written =
                    self.store.finish_refresh(key, &line[3], Life::FOREVER, lock, &within)?;
                (written == Written::Yes).into()
            }
            "unlock" => {
                self.store.abandon_refresh(key, self.lock(text(2)?)?, &within)?;
                true.into()
            }
            other => return Err(format!("{other} is not a command").into()),
        })
    }

    fn lock(&self, name: &str) -> Result<&RefreshLock, Failure> {
        Ok(self.locks.get(name).ok_or("nobody has such a lock")?)
    }
}

fn millis(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_millis)
}
