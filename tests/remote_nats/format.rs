//! The bytes in a bucket, as the Go library echocache writes and reads them.

use std::time::{Duration, SystemTime};

use docache::echo::codec::LazyJson;
use docache::echo::{Life, NatsStore, Store, StoreErrorKind, Within};
use docache::{Context, ErrorKind};
use serde_json::Value;

use super::server::Server;
use super::wire::Wire;
use super::{LONG, Texts, lock, store};

/// What Go wrote: form, prefix, key, raw key, raw value.
const ROWS: &[[&str; 5]] = &[
    [
        "plain",
        "app",
        "user:42",
        "app.56dadf1868c3ba340467c942a86c29de",
        r#""hello \u003cworld\u003e \u0026 \"you\"\n""#,
    ],
    ["plain", "app.", "", "app.d41d8cd98f00b204e9800998ecf8427e", "-9223372036854775808"],
    [
        "lazy",
        "app",
        "user:42",
        "app.56dadf1868c3ba340467c942a86c29de",
        r#"{"Value":"hello \u003cworld\u003e","CreatedAt":"2026-11-21T09:19:01.932756184Z"}"#,
    ],
    [
        "lazy",
        "app.",
        "",
        "app.d41d8cd98f00b204e9800998ecf8427e",
        r#"{"Value":null,"CreatedAt":"2026-11-21T10:19:01.9+01:00"}"#,
    ],
    [
        "lock",
        "app",
        "user:42",
        "app.f7e0bfbb85a6ad302cfb34d8c9ab448e",
        "tOkEn12345|2026-11-21T09:19:01Z",
    ],
];

/// 2026-11-21T09:19:01Z
const WRITTEN: Duration = Duration::from_secs(1_795_252_741);

struct Row<'r> {
    form: &'r str,
    prefix: &'r str,
    key: &'r str,
    raw_key: &'r str,
    raw: &'r str,
}

/// What Go wrote is read as what it stands for; what we write under the same key has the same raw
/// key and the same JSON.
fn agrees(server: &Server, wire: &mut Wire, number: usize, row: &Row<'_>) {
    let bucket = format!("row{number}");
    let context = Context::background();
    let within = || Within::new(&context, LONG);
    let builder = || super::builder(&server.url(), &bucket).prefix(row.prefix);
    let (plain, lazy) = (builder().build().unwrap(), builder().codec(LazyJson).build().unwrap());
    plain.ping(&within()).unwrap();
    wire.put(&bucket, row.raw_key, row.raw.as_bytes());
    let (key, raw): (_, Value) = (row.key, serde_json::from_str(row.raw).unwrap_or_default());
    match row.form {
        "plain" => {
            let found = Store::<Value>::get(&plain, key, &within()).unwrap().unwrap();
            assert_eq!(found.value, raw, "{}", row.raw);
            plain.remove_value(key, &within());
            plain.put(key, &raw, Life::FOREVER, &within()).unwrap();
            let ours = wire.value(&bucket, row.raw_key).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&ours).unwrap(), raw);
        }
        "lazy" => {
            let found = Store::<Value>::get(&lazy, key, &within()).unwrap().unwrap();
            assert_eq!(found.value, raw["Value"], "{}", row.raw);
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let age = since.saturating_sub(WRITTEN);
            let is_close = found.age.unwrap().abs_diff(age) < Duration::from_secs(600);
            assert!(is_close || since < WRITTEN, "{:?} and {age:?}", found.age);
            lazy.put(key, &found.value, Life::FOREVER, &within()).unwrap();
            let ours: Value =
                serde_json::from_str(&wire.value(&bucket, row.raw_key).unwrap()).unwrap();
            assert_eq!(ours["Value"], raw["Value"]);
            assert_eq!(ours.as_object().unwrap().len(), 2, "{ours}");
            assert!(ours["CreatedAt"].as_str().unwrap().ends_with('Z'));
        }
        "lock" => {
            let claim = lock(30);
            let begun = Store::<Value>::begin_refresh(&plain, key, &claim, &within()).unwrap();
            assert!(!begun.granted && begun.holder.is_some(), "{}", row.raw);
            wire.put_with(&bucket, row.raw_key, &[("KV-Operation", "DEL")], b"");
            let begun = Store::<Value>::begin_refresh(&plain, key, &claim, &within()).unwrap();
            assert!(begun.granted, "{}", row.raw);
            let ours = wire.value(&bucket, row.raw_key).unwrap();
            assert!(ours.starts_with(&format!("{}|20", claim.token())), "{ours}");
        }
        other => panic!("a form {other:?}"),
    }
}

trait RemoveValue {
    fn remove_value(&self, key: &str, within: &Within<'_>);
}

impl RemoveValue for NatsStore {
    fn remove_value(&self, key: &str, within: &Within<'_>) {
        Store::<Value>::remove(self, key, within).unwrap();
    }
}

#[test]
fn entries_and_locks_are_those_of_the_go_library() {
    let server = Server::start();
    let mut wire = Wire::connect(server.port());
    for (number, &[form, prefix, key, raw_key, raw]) in ROWS.iter().enumerate() {
        agrees(&server, &mut wire, number, &Row { form, prefix, key, raw_key, raw });
    }
}

/// All that was recorded, if the file is there.
#[test]
fn entries_and_locks_are_those_that_were_recorded() {
    let Some(path) = std::env::var_os("DOCACHE_ECHO_WIRE") else { return };
    let server = Server::start();
    let mut wire = Wire::connect(server.port());
    let text = std::fs::read_to_string(path).unwrap();
    let mut read = 0;
    for (number, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["store"] != "nats" {
            continue;
        }
        let field = |name: &str| row[name].as_str().unwrap();
        let row = Row {
            form: field("form"),
            prefix: field("prefix"),
            key: field("key"),
            raw_key: field("raw_key"),
            raw: field("raw"),
        };
        agrees(&server, &mut wire, number, &row);
        read += 1;
    }
    assert!(read > 0, "there are rows");
}

const KEY: &str = "app.3c6e0b8a9c15224a8228b9a98ca1531d";

#[test]
fn a_value_lives_for_its_time_and_the_server_removes_it_where_it_can() {
    let server = Server::start();
    let (mut wire, texts) = (Wire::connect(server.port()), Texts::new(&server.url(), "b"));
    texts.put("key", "value", Life::of(Duration::from_millis(1_500)));
    let found = texts
        .0
        .get("key", &texts.within())
        .unwrap()
        .map(|found: docache::echo::Found<String>| found.left);
    let left = found.unwrap().unwrap();
    assert!(left <= Duration::from_millis(1_500), "{left:?}");
    std::thread::sleep(Duration::from_millis(1_600));
    assert_eq!(texts.get("key"), None);
    if wire.version() >= (2, 11) {
        wire.wait_for("the server removes it", |wire| wire.get("b", KEY).is_none());
    }
    texts.put("key", "value", Life::FOREVER);
    assert_eq!(texts.get("key").as_deref(), Some("value"));
}

#[test]
fn a_bucket_has_a_time_to_live_of_its_own_and_is_checked() {
    let server = Server::start();
    let (mut wire, context) = (Wire::connect(server.port()), Context::background());
    let within = || Within::new(&context, LONG);
    let builder = || super::builder(&server.url(), "b");
    let second = Duration::from_secs(1);
    let texts = builder().bucket_ttl(second).build().unwrap();
    texts.put("key", &"value".to_owned(), Life::FOREVER, &within()).unwrap();
    let info = wire.api("STREAM.INFO.KV_b", "");
    for part in ["\"max_age\":1000000000,", "\"max_msgs_per_subject\":1,", "\"allow_direct\":true"]
    {
        assert!(info.contains(part), "{info}");
    }
    let found: docache::echo::Found<String> = texts.get("key", &within()).unwrap().unwrap();
    assert!(found.left.unwrap() <= second);
    wire.wait_for("the value is over", |_| {
        Store::<String>::get(&texts, "key", &within()).unwrap().is_none()
    });
    let other = builder().bucket_ttl(2 * second).build().unwrap();
    let error = other.ping(&within()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("another time to live than 2s: 1s"), "{error}");
    builder().build().unwrap().ping(&within()).unwrap();
    let missing = NatsStore::builder(server.url(), "none").create_bucket(false).build().unwrap();
    let error = missing.ping(&within()).unwrap_err();
    assert!(error.to_string().contains("\"none\" does not exist"), "{error}");
}

#[test]
fn values_that_are_none_are_corrupt_and_are_replaced_by_a_refresh() {
    let server = Server::start();
    let (mut wire, texts) = (Wire::connect(server.port()), Texts::new(&server.url(), "b"));
    assert_eq!(texts.get("key"), None);
    for garbage in [&b"\"trunc"[..], b"{}", b"", b"\xff\xfe", b"7", b"tOkEn|2026-11-21T09:19:01Z"] {
        wire.put("b", KEY, garbage);
        let got = Store::<String>::get(&texts.0, "key", &texts.within());
        assert_eq!(got.unwrap_err().kind(), StoreErrorKind::Corrupt, "{garbage:?}");
        let claim = lock(30);
        let begun = texts.begin("key", &claim);
        assert!(begun.granted && begun.found.is_none(), "{garbage:?}");
        assert_eq!(texts.finish("key", "whole", &claim), docache::echo::Written::Yes);
        assert_eq!(texts.get("key").as_deref(), Some("whole"));
    }
}

#[test]
fn a_server_is_known_by_its_certificate() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/remote_nats/tls");
    let [roots, certificate, key] =
        ["ca.pem", "server.pem", "server.key"].map(|file| format!("{folder}/{file}"));
    let server = Server::start_with(&["--tls", "--tlscert", &certificate, "--tlskey", &key]);
    let context = Context::background();
    let within = || Within::new(&context, LONG);
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://localhost:{}", server.port());
        let store = super::builder(&url, "b").root_certificates(&roots).build().unwrap();
        store.put("key", &"value".to_owned(), Life::FOREVER, &within()).unwrap();
        let found: docache::echo::Found<String> = store.get("key", &within()).unwrap().unwrap();
        assert_eq!(found.value, "value");
    }
    let url = format!("tls://localhost:{}", server.port());
    let error = NatsStore::new(&url, "b").unwrap().ping(&within()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "it is not known to the system");
    let missing = NatsStore::builder(&url, "b").root_certificates("/nowhere").build().unwrap();
    let error = missing.ping(&within()).unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[test]
fn who_we_are_is_told_the_server() {
    let context = Context::background();
    let within = || Within::new(&context, LONG);
    let server = Server::start_with(&["--user", "ada", "--pass", "p@ss"]);
    let host = format!("127.0.0.1:{}", server.port());
    store(&format!("nats://ada:p%40ss@{host}"), "b").ping(&within()).unwrap();
    let named = super::builder(&server.url(), "b").user_and_password("ada", "p@ss").build();
    named.unwrap().ping(&within()).unwrap();
    let error = store(&server.url(), "b").ping(&within()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let server = Server::start_with(&["--auth", "s3cret"]);
    let host = format!("127.0.0.1:{}", server.port());
    store(&format!("nats://s3cret@{host}"), "b").ping(&within()).unwrap();
    let named = super::builder(&server.url(), "b").token("s3cret").build().unwrap();
    named.ping(&within()).unwrap();
    let refused = NatsStore::builder("ftp://host", "b").build().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}
