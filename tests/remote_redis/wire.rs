//! What is in Redis, byte by byte.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use docache::echo::codec::{Codec, Json, LazyJson};
use docache::echo::{Life, RedisStore, Store};

use crate::call;
use crate::server::{Client, Reply, Server};

#[path = "../../src/echo/codec/tests/order.rs"]
mod order;
use order::order;

/// Some of the rows that the Go library wrote.
const ROWS: &str = include_str!("rows.jsonl");

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    store: Option<String>,
    form: String,
    prefix: String,
    key: String,
    raw_key: String,
    raw: String,
    what: String,
    #[serde(default)]
    ttl_ms: Option<u64>,
}

/// That a row is read as this value, and that ours is the same in the server.
fn check<T, C>(server: &Server, codec: C, row: &Row, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    C: Codec<T>,
{
    let mut client = server.client();
    let ttl = row.ttl_ms.unwrap_or(3_600_000);
    client.ask(&["FLUSHALL"]);
    client.ask(&["SET", &row.raw_key, &row.raw, "PX", &ttl.to_string()]);
    let store = RedisStore::builder(server.url()).prefix(&*row.prefix).codec(codec);
    let store = store.build().unwrap();
    let found = call(|within| store.get(&row.key, within)).unwrap().expect("it is there");
    assert_eq!(&found.value, value, "{row:?}");
    assert_eq!(found.age.is_some(), row.form == "lazy");
    let left = found.left.unwrap();
    let ttl = Duration::from_millis(ttl);
    assert!(left <= ttl && left + Duration::from_secs(10) > ttl, "{left:?}");

    client.ask(&["FLUSHALL"]);
    call(|within| store.put(&row.key, value, Life::of(ttl), within)).unwrap();
    let json = |text: &str| -> Value {
        let mut json: Value = serde_json::from_str(text).unwrap();
        if row.form == "lazy" {
            let created = json["CreatedAt"].take();
            let created = created.as_str().unwrap();
            assert!(created.starts_with("20") && created.ends_with('Z'), "{created}");
        }
        json
    };
    assert_eq!(json(&client.text(&row.raw_key).unwrap()), json(&row.raw));
    let left = Duration::from_millis(client.left(&row.raw_key).try_into().unwrap());
    assert!(left <= ttl && left + Duration::from_secs(10) > ttl, "{left:?}");
}

fn check_form<T>(server: &Server, row: &Row, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    match &*row.form {
        "plain" => check(server, Json, row, value),
        "lazy" => check(server, LazyJson, row, value),
        other => panic!("{other}"),
    }
}

/// That a lock that Go took is respected, and ours is under the same key.
fn check_lock(server: &Server, row: &Row) {
    let mut client = server.client();
    client.ask(&["FLUSHALL"]);
    client.ask(&["SET", &row.raw_key, &row.raw, "NX", "PX", "30000"]);
    let store = RedisStore::builder(server.url()).prefix(&*row.prefix).build().unwrap();
    let lock = docache::echo::RefreshLock::new(Duration::from_secs(30));
    let begin =
        || call(|within| Store::<String>::begin_refresh(&store, &row.key, &lock, within)).unwrap();
    let begun = begin();
    assert!(!begun.granted && begun.holder.is_some(), "{row:?}");
    call(|within| Store::<String>::abandon_refresh(&store, &row.key, &lock, within)).unwrap();
    assert_eq!(client.text(&row.raw_key).as_deref(), Some(&*row.raw), "it is Go's still");
    client.ask(&["DEL", &row.raw_key]);
    assert!(begin().granted);
    assert_eq!(client.text(&row.raw_key).as_deref(), Some(lock.token().as_str()));
    let left = client.left(&row.raw_key);
    assert!((20_000..=30_000).contains(&left), "{left}");
    let value = "value".to_owned();
    let finish = |within: &docache::echo::Within<'_>| {
        store.finish_refresh(&row.key, &value, Life::FOREVER, &lock, within)
    };
    assert_eq!(call(finish).unwrap(), docache::echo::Written::Yes);
    assert_eq!(client.text(&row.raw_key), None);
}

fn check_row(server: &Server, row: &Row) {
    match (&*row.form, &*row.what) {
        ("lock", _) => check_lock(server, row),
        (_, "string") => check_form(server, row, &"hello <world> & \"you\"\n".to_owned()),
        (_, "int") => check_form(server, row, &-9_007_199_254_740_993_i64),
        (_, "float") => check_form(server, row, &0.1),
        (_, "null") => check_form(server, row, &None::<String>),
        (_, "struct") => check_form(server, row, &order()),
        (_, "map") => {
            let map = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
            check_form(server, row, &map);
        }
        (_, "bytes") => check_form(server, row, &"cmF3IAAgYnl0ZXM=".to_owned()),
        (_, what) => panic!("{what}"),
    }
}

#[test]
fn what_go_wrote_is_read_and_written_alike() {
    let server = Server::start();
    let more = match std::env::var("DOCACHE_ECHO_WIRE") {
        Ok(file) => std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("DOCACHE_ECHO_WIRE: {file} cannot be read: {error}")),
        Err(_) => String::new(),
    };
    let (mut checked, lines) = (0, ROWS.lines().chain(more.lines()));
    for line in lines.filter(|line| !line.is_empty()) {
        let row: Row = serde_json::from_str(line).unwrap();
        if row.store.as_deref().unwrap_or("redis") == "redis" {
            check_row(&server, &row);
            checked += 1;
        }
    }
    println!("{checked} rows");
    assert!(checked >= 9);
}

fn keys(client: &mut Client) -> Vec<Reply> {
    match client.ask(&["KEYS", "*"]) {
        Reply::Many(keys) => keys,
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries_are_put_and_taken_out_with_their_lives() {
    let server = Server::start();
    let (mut client, store) = (server.client(), crate::store(server.port()));
    let put = |life| call(|within| store.put("key", &7_u64, life, within)).unwrap();
    put(Life::FOREVER);
    assert_eq!(client.text("app:key").as_deref(), Some("7"));
    assert_eq!(client.left("app:key"), -1);
    put(Life::of(Duration::from_micros(90_000_001)));
    let left = client.left("app:key");
    assert!((80_000..=90_001).contains(&left), "{left}");
    put(Life::of(Duration::MAX));
    assert_eq!(client.left("app:key"), -1, "it outlasts the server's clock");
    put(Life::of(Duration::ZERO));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(client.text("app:key"), None);
    put(Life::FOREVER);
    client.ask(&["SET", "app:lock:key", "somebody"]);
    call(|within| Store::<u64>::remove(&store, "key", within)).unwrap();
    assert_eq!(keys(&mut client), []);
}

#[test]
fn passwords_and_databases_are_those_of_the_url() {
    let server = Server::with(&["--requirepass", "s3cret/@"]);
    let put = |url: String| {
        let store = RedisStore::new(url).unwrap();
        call(|within| store.put("key", &7, Life::FOREVER, within))
    };
    let port = server.port();
    put(format!("redis://:s3cret%2F%40@127.0.0.1:{port}/3")).unwrap();
    let mut client = server.client();
    client.ask(&["AUTH", "s3cret/@"]);
    assert_eq!(client.text("docache:key"), None);
    client.ask(&["SELECT", "3"]);
    assert_eq!(client.text("docache:key").as_deref(), Some("7"));
    let error = put(format!("redis://:wrong@127.0.0.1:{port}/")).unwrap_err().to_string();
    assert!(error.contains("AUTH") && error.contains("WRONGPASS"), "{error}");
    assert!(!error.contains("wrong"), "{error}");
    let error = put(format!("redis://127.0.0.1:{port}/")).unwrap_err().to_string();
    assert!(error.contains("NOAUTH"), "{error}");
    let error = put(format!("redis://:s3cret%2F%40@127.0.0.1:{port}/99")).unwrap_err();
    assert!(error.to_string().contains("SELECT"), "{error}");
}

#[test]
fn a_url_that_is_none_is_refused_without_its_password() {
    for url in ["", "127.0.0.1", "http://user:secret@host/", "redis://:secret@host:99999/"] {
        let error = RedisStore::new(url).unwrap_err().to_string();
        assert!(error.starts_with("url: ") && error.contains("redis://"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let store = RedisStore::new("redis://user:secret@127.0.0.1/").unwrap();
    let shown = format!("{store:?} {:?}", RedisStore::builder("redis://user:secret@host"));
    assert!(shown.contains("127.0.0.1") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_cluster_is_refused() {
    let server = Server::with(&["--cluster-enabled", "yes"]);
    let store = RedisStore::new(server.url()).unwrap();
    let error = call(|within| store.put("key", &7, Life::FOREVER, within)).unwrap_err();
    assert!(error.to_string().contains("Redis Cluster"), "{error}");
}
