//! Stores by URL: what is in the server is the JSON that C gave, as other programs have it.

use std::ptr::null_mut;
use std::time::Duration;

use docache::ffi::*;

use crate::handles::{Echo, Store, lazy_options, options};

#[cfg(feature = "nats")]
#[path = "../remote_nats/server.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod nats_server;
#[cfg(feature = "redis")]
#[path = "../remote_redis/server.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod redis_server;

/// As long as any machine that is alive needs.
const PATIENT: u64 = Duration::from_secs(10).as_nanos() as u64;

pub(crate) fn remote(format: u32) -> docache_store_remote_options {
    docache_store_remote_options {
        size: size_of::<docache_store_remote_options>(),
        prefix: c"tests".as_ptr(),
        prefix_len: 5,
        connect_timeout_ns: 0,
        format,
        reserved: 0,
    }
}

unsafe extern "C-unwind" fn json(
    _: usize,
    _: *const u8,
    _: usize,
    out: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    let text = br#"{"name": "Ada", "of": [1, 2.50]}"#;
    // SAFETY: all pointers are valid.
    unsafe { docache_value_new(text.as_ptr(), text.len(), out, null_mut()) }
}

unsafe extern "C-unwind" fn no_json(
    _: usize,
    _: *const u8,
    _: usize,
    out: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: all pointers are valid.
    unsafe { docache_value_new(b"{".as_ptr(), 1, out, null_mut()) }
}

const JSON: &[u8] = br#"{"name": "Ada", "of": [1, 2.50]}"#;

/// What holds for every server.
fn keeps_json(store: &Store) {
    let options =
        docache_echo_options { store_budget_ns: PATIENT, negative_ttl_ns: PATIENT, ..options() };
    let echo = Echo::memo(store, &options, 0);
    // It connects at its first use.
    while echo.put(b"there", b"1").0 != DOCACHE_OK {
        std::thread::yield_now();
    }
    assert_eq!(echo.get(b"ada", Some(json)), (JSON.to_vec(), DOCACHE_FETCHED_LOADED));
    assert_eq!(echo.get(b"ada", Some(no_json)), (JSON.to_vec(), DOCACHE_FETCHED_FRESH));
    let (status, refused) = echo.fetch(b"bad", Some(no_json), 0);
    assert_eq!(status, DOCACHE_INVALID_ARGUMENT);
    assert!(refused.as_ref().is_err_and(|text| text.contains("JSON")), "{refused:?}");
    let (status, refused) = echo.put(b"bad", b"nul");
    assert!(status == DOCACHE_INVALID_ARGUMENT && refused.contains("value"), "{refused}");
    assert_eq!(echo.put(b"nobody", b" null ").0, DOCACHE_OK);
    assert_eq!(echo.get(b"nobody", Some(json)).1, DOCACHE_FETCHED_NEGATIVE);
    let (status, call) = echo.begin(b"begun");
    let status = if status == DOCACHE_PENDING { call.poll_while(status).0 } else { status };
    assert_eq!(status, DOCACHE_LEADER);
    assert_eq!(call.finish(b"nonsense"), DOCACHE_INVALID_ARGUMENT);
    let finished = call.finish(b"[7]");
    assert!(finished == DOCACHE_PENDING || finished == DOCACHE_OK);
    assert_eq!(call.poll_while(DOCACHE_PENDING), (DOCACHE_OK, Some(b"[7]".to_vec())));
    assert_eq!(echo.get(b"begun", Some(json)), (b"[7]".to_vec(), DOCACHE_FETCHED_FRESH));
    // A call that is freed when it is finished writes all the same.
    assert_eq!(echo.remove(b"begun"), DOCACHE_OK);
    let (status, call) = echo.begin(b"begun");
    let status = if status == DOCACHE_PENDING { call.poll_while(status).0 } else { status };
    assert_eq!(status, DOCACHE_LEADER);
    call.finish(b"[8]");
    drop(call);
    while echo.get(b"begun", Some(json)).0 != b"[8]" {
        assert_eq!(echo.remove(b"begun"), DOCACHE_OK, "it was loaded beside");
        let (_, call) = echo.begin(b"begun");
        call.poll_while(DOCACHE_PENDING);
        call.finish(b"[8]");
    }
    assert_eq!(echo.remove(b"ada"), DOCACHE_OK);
    assert_eq!(echo.get(b"ada", Some(json)).1, DOCACHE_FETCHED_LOADED);
    assert_eq!(echo.stats().lost_writes, 0);
}

#[cfg(feature = "redis")]
fn redis(url: &str, format: u32) -> Store {
    redis_with(url, &remote(format))
}

#[cfg(feature = "redis")]
pub(crate) fn redis_with(url: &str, options: &docache_store_remote_options) -> Store {
    let mut out = null_mut();
    // SAFETY: all pointers are valid.
    let made = unsafe {
        let (start, len) = (url.as_ptr().cast(), url.len());
        docache_store_redis_new(start, len, options, &raw mut out, null_mut())
    };
    assert_eq!(made, DOCACHE_OK);
    Store(out)
}

#[cfg(feature = "redis")]
#[test]
fn what_c_keeps_in_redis_is_its_json() {
    let server = redis_server::Server::start();
    let store = redis(&server.url(), DOCACHE_FORMAT_JSON);
    keeps_json(&store);
    let kept = server.client().text("tests:ada");
    assert_eq!(kept.as_deref().map(str::as_bytes), Some(JSON));
    drop(store);

    let store = redis(&server.url(), DOCACHE_FORMAT_LAZY_JSON);
    let options = docache_echo_lazy_options {
        refresh_after_ns: 60_000_000_000,
        store_budget_ns: PATIENT,
        ..lazy_options()
    };
    let echo = Echo::lazy(&store, &options, Some(json), 0);
    while echo.put(b"lazy", JSON).0 != DOCACHE_OK {
        std::thread::yield_now();
    }
    let kept = server.client().text("tests:lazy").unwrap();
    let begins = format!(r#"{{"Value":{},"CreatedAt":"20"#, std::str::from_utf8(JSON).unwrap());
    assert!(kept.starts_with(&begins) && kept.ends_with("Z\"}"), "{kept}");
    assert_eq!(echo.get(b"lazy", None), (JSON.to_vec(), DOCACHE_FETCHED_FRESH));
    // As Go writes it, some time ago.
    let old = r#"{"Value":[3],"CreatedAt":"2026-01-02T03:04:05.678+01:00"}"#;
    server.client().ask(&["SET", "tests:old", old]);
    let expires = docache_echo_lazy_options { expires_ns: DOCACHE_NEVER, ..options };
    let patient = Echo::lazy(&store, &expires, None, 0);
    let (value, fetched) = patient.get(b"old", Some(json));
    assert!(value == b"[3]" && fetched == DOCACHE_FETCHED_STALE);
    let (status, call) = patient.refresh();
    let status = if status == DOCACHE_PENDING { call.poll_while(status).0 } else { status };
    assert_eq!(status, DOCACHE_LEADER);
    call.finish(b"[4]");
    assert_eq!(call.poll_while(DOCACHE_PENDING).0, DOCACHE_OK);
    assert_eq!(patient.get(b"old", Some(json)), (b"[4]".to_vec(), 0));
}

#[cfg(feature = "nats")]
pub(crate) fn nats(url: &str) -> Store {
    let (mut out, options) = (null_mut(), remote(DOCACHE_FORMAT_JSON));
    let bucket = "tests";
    // SAFETY: all pointers are valid.
    let made = unsafe {
        let (start, len) = (url.as_ptr().cast(), url.len());
        let name = bucket.as_ptr().cast();
        docache_store_nats_new(start, len, name, bucket.len(), &options, &raw mut out, null_mut())
    };
    assert_eq!(made, DOCACHE_OK);
    Store(out)
}

#[cfg(feature = "nats")]
#[test]
fn what_c_keeps_in_nats_is_its_json() {
    let server = nats_server::Server::start();
    keeps_json(&nats(&server.url()));
}
