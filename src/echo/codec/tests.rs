//! Rows that the Go library logocomune/echocache wrote, and what Go's JSON can look like besides.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::stamp::Stamp;
use super::{Codec, Json, LazyJson, keys};
use crate::echo::error::StoreErrorKind;
use crate::echo::store::Found;

mod order;
use order::{Order, order};

const NANO: Duration = Duration::from_nanos(1);

const ORDER: &str = concat!(
    r#"{"Name":"näme \u003cb\u003e\u0026","Count":-3,"Price":1e+21,"Tags":null,"Raw":"AP8Q","#,
    r#""At":"2026-11-21T10:00:00.123456789+05:30","#,
    r#""note":"\u003ca href=\"x\"\u003e\u0026\u2028\u003c/a\u003e"}"#
);

/// That the value is read from this, plain and lazy, and read again from what is written.
fn reads<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(raw: &str, value: T) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let plain: Found<T> = Json.decode(raw.as_bytes(), now).unwrap();
    assert_eq!((&plain.value, plain.age), (&value, None));
    let lazy = format!(r#"{{"Value":{raw},"CreatedAt":"2026-11-21T09:19:01.932237124Z"}}"#);
    let lazy: Found<T> = LazyJson.decode(lazy.as_bytes(), now).unwrap();
    assert_eq!(lazy.value, value);
    let created = Stamp::parse("2026-11-21T09:19:01.932237124Z").unwrap();
    assert_eq!(lazy.age, Some(Stamp::from(now).since(created)));
    let mut out = Vec::new();
    Json.encode(&value, None, &mut out).unwrap();
    assert_eq!(Codec::<T>::decode(&Json, &out, now).unwrap().value, value);
    let json: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json, serde_json::from_str::<Value>(raw).unwrap(), "the same for any reader");
    out.clear();
    LazyJson.encode(&value, Some(now - NANO), &mut out).unwrap();
    let again = Codec::<T>::decode(&LazyJson, &out, now).unwrap();
    assert_eq!((again.value, again.age), (value, Some(NANO)));
}

#[test]
fn what_go_wrote_is_read() {
    let text = r#""hello \u003cworld\u003e \u0026 \"you\"\n""#;
    reads(text, "hello <world> & \"you\"\n".to_owned());
    reads("-9007199254740993", -9_007_199_254_740_993_i64);
    reads("18446744073709551615", u64::MAX);
    reads("-9223372036854775808", i64::MIN);
    reads("0.1", 0.1);
    reads("5.120847493622847e-308", 5.120847493622847e-308);
    reads("null", None::<String>);
    reads("null", Value::Null);
    reads(r#"{"a":1,"b":2}"#, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    reads(r#""cmF3IAAgYnl0ZXM=""#, "cmF3IAAgYnl0ZXM=".to_owned());
    reads(r#""\u2028\ud83e\udd80\/\b\f\u0000""#, "\u{2028}🦀/\u{8}\u{c}\0".to_owned());
    reads(ORDER, order());
}

fn lazy<T: Serialize + DeserializeOwned>(raw: &str) -> (T, Option<Duration>) {
    let found = LazyJson.decode(raw.as_bytes(), SystemTime::UNIX_EPOCH).unwrap();
    (found.value, found.age)
}

#[test]
fn fields_are_read_as_go_reads_them() {
    let second = Some(Duration::from_secs(1));
    let at = r#""1969-12-31T23:59:59Z""#;
    assert_eq!(lazy(&format!(r#"{{"CREATEDAT":{at},"value":7}}"#)), (7, second));
    assert_eq!(lazy(&format!(r#"{{"vALUE":7,"x":[{{}}],"createdAt":{at},"":0}}"#)), (7, second));
    assert_eq!(lazy(&format!(r#"{{"Value":6,"value":7,"CreatedAt":{at}}}"#)), (7, second));
    assert_eq!(
        lazy(r#"{"Value":7,"CreatedAt":"1970-01-01T00:00:01Z"}"#),
        (7, Some(Duration::ZERO))
    );
    assert_eq!(lazy(r#"{"Value":7}"#), (7, None));
    assert_eq!(lazy(r#"{"Value":7,"CreatedAt":null}"#), (7, None));
    assert_eq!(lazy(r#"{"Value":null,"CreatedAt":null}"#), (None::<u8>, None));
    let mut out = Vec::new();
    LazyJson.encode(&7, None, &mut out).unwrap();
    assert_eq!(out, br#"{"Value":7}"#);
    let (_, age) = lazy::<u8>(r#"{"Value":7,"CreatedAt":"0001-01-01T00:00:00Z"}"#);
    assert_eq!(age, Some(Duration::from_secs(62_135_596_800)), "the zero time of Go");
}

#[test]
fn what_is_no_value_is_an_error() {
    fn refused<T: Serialize + DeserializeOwned>(codec: &impl Codec<T>, raw: &[u8]) -> String {
        let Err(error) = codec.decode(raw, SystemTime::now()) else {
            panic!("{} is read", String::from_utf8_lossy(raw));
        };
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        error.to_string()
    }
    for end in 0..ORDER.len() {
        refused::<Order>(&Json, &ORDER.as_bytes()[..end]);
    }
    let whole = format!(r#"{{"Value":{ORDER},"CreatedAt":"2026-11-21T09:19:01Z"}}"#);
    for end in 0..whole.len() {
        refused::<Order>(&LazyJson, &whole.as_bytes()[..end]);
    }
    let deep = "[".repeat(100_000);
    let garbage: [&[u8]; 8] =
        [b"", b"\xff\xfe", b"\"\xff\"", b"7 7", b"\"7\"", b"1e99", b"-1", deep.as_bytes()];
    for raw in garbage {
        refused::<u64>(&Json, raw);
        refused::<u64>(&LazyJson, raw);
    }
    let created = ["7", "\"\"", "\"yesterday\"", "[]"];
    for created in created {
        refused::<u64>(&LazyJson, format!(r#"{{"Value":7,"CreatedAt":{created}}}"#).as_bytes());
    }
    assert!(refused::<u64>(&LazyJson, br#"{"a":1}"#).contains("Value"));
    let message = refused::<u64>(&Json, &b"x".repeat(1_000));
    assert!(message.starts_with("no value of the type in 1000 bytes \"xxx"), "{message}");
    let odd = BTreeMap::from([(vec![1], 1)]);
    let error = Codec::encode(&Json, &odd, None, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("cannot be written as JSON"), "{error}");
}

#[test]
fn times_are_read_and_written() {
    let same = [
        "1970-01-01T00:00:00Z",
        "2026-11-21T09:19:01.932237124Z",
        "2026-11-21T09:19:01.9677063Z",
        "1969-12-31T23:59:59.999999999Z",
        "2000-02-29T12:00:00Z",
        "2024-02-29T00:00:00.1Z",
        "1900-02-28T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.000000001Z",
    ];
    for text in same {
        assert_eq!(Stamp::parse(text).expect(text).to_string(), text);
    }
    let others = [
        ("2026-11-21T10:00:00.123456789+05:30", "2026-11-21T04:30:00.123456789Z"),
        ("2024-02-28T23:30:00-01:00", "2024-02-29T00:30:00Z"),
        ("1970-01-01T00:00:00.1234567899Z", "1970-01-01T00:00:00.123456789Z"),
        ("1970-01-01t00:00:00.500z", "1970-01-01T00:00:00.5Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
    ];
    for (text, utc) in others {
        assert_eq!(Stamp::parse(text).expect(text).to_string(), utc);
    }
    let refused = [
        "",
        "Z",
        "2026-11-21",
        "2026-11-21T09:19:01",
        "2026-11-21T09:19:01.Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00ZZ",
        "+026-01-01T00:00:00Z",
        "20266-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
    ];
    for text in refused {
        assert_eq!(Stamp::parse(text), None, "{text}");
    }
}

#[test]
fn every_day_is_read_as_it_is_written() {
    let day = Duration::from_secs(86_400);
    let start = SystemTime::UNIX_EPOCH - 150_000 * day;
    let mut before = String::new();
    for days in 0..300_000 {
        let stamp = Stamp::from(start + days * day + NANO);
        let text = stamp.to_string();
        assert_eq!(Stamp::parse(&text), Some(stamp), "{text}");
        assert!(before < text, "{before} {text}");
        before = text;
    }
    let far = Stamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40));
    assert_eq!(far.to_string(), "9999-12-31T23:59:59Z");
    assert_eq!(far.since(Stamp::from(SystemTime::UNIX_EPOCH)), Duration::from_secs(1 << 40));
    assert_eq!(Stamp::from(SystemTime::UNIX_EPOCH).since(far), Duration::ZERO);
    let fine = Stamp::from(SystemTime::UNIX_EPOCH - NANO);
    assert_eq!(fine.whole().to_string(), "1969-12-31T23:59:59Z");
}

#[test]
fn raw_keys_are_those_of_go() {
    assert_eq!(keys::redis_key("app", "user:42"), "app:user:42");
    assert_eq!(keys::redis_key("app.", ""), "app.:");
    assert_eq!(keys::redis_lock_key("app.", "user:42"), "app.:lock:user:42");
    assert_eq!(keys::redis_lock_key("app", "lock:user:42"), "app:lock:lock:user:42");
    assert_eq!(keys::redis_lock_key("app", ""), "app:lock:");
}

#[cfg(feature = "nats")]
#[test]
fn raw_keys_in_buckets_are_those_of_go() {
    let rows = [
        ("app", "user:42", "app.56dadf1868c3ba340467c942a86c29de"),
        ("app.", "user:42", "app.56dadf1868c3ba340467c942a86c29de"),
        ("app", "", "app.d41d8cd98f00b204e9800998ecf8427e"),
        ("app", "sp ace/é日本", "app.ad1c4c13f7b3eeac10b1db02ae48b9bf"),
        ("app.", "a.b.*.>", "app.34fb2da6e20f22af276bb27c8c7d7a31"),
    ];
    for (prefix, key, raw) in rows {
        assert_eq!(keys::nats_key(prefix, key), raw);
    }
    let locks = [
        ("app.", "user:42", "app.f7e0bfbb85a6ad302cfb34d8c9ab448e"),
        ("app", "", "app.b3ab1df4bed93d492add4eb448935218"),
        ("app", "sp ace/é日本", "app.d6d36707e6fd901011c202bc35c67381"),
        ("app", "lock:user:42", "app.94b6c5aab6eec2ad0d6d8c6bbe0346ac"),
    ];
    for (prefix, key, raw) in locks {
        assert_eq!(keys::nats_lock_key(prefix, key), raw);
    }
}
