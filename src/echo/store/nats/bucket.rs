//! A JetStream KV bucket, by the messages that make it one.
//!
//! A bucket `b` is a stream `KV_b` of the subjects `$KV.b.>`, which keeps the last message of each.
//! The sequence number of that message is the key's *revision*. A message with the header
//! `KV-Operation` is a *marker*: the key was removed. The server replaces a message that has lived
//! for its time with a marker of its own, where the bucket asks for that.
//!
//! A message may carry two headers of ours, which other clients ignore: for how many milliseconds
//! it is to live, and how old its value was when it was written.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, RequestErrorKind};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::NatsStorage;
use super::known::Known;
use super::settings::Settings;
use crate::echo::codec::Stamp;
use crate::echo::error::{StoreError, StoreErrorKind};

const OPERATION: &str = "KV-Operation";
const MARKER_REASON: &str = "Nats-Marker-Reason";
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const SERVER_TTL: &str = "Nats-TTL";
const TTL: &str = "Docache-TTL";
const AGE: &str = "Docache-Age";

/// Errors of the JetStream API.
const NO_STREAM: u64 = 10_059;
const WRONG_SEQUENCE: u64 = 10_071;
const WRONG_SEQUENCE_UNNAMED: u64 = 10_164;
const TOO_LARGE: u64 = 10_054;

/// How long a bucket has to answer its first read before it is asked again.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How long a server that did not answer a call has to show that it is there.
const PROBE: Duration = Duration::from_millis(500);

/// A failure with a text.
pub(super) fn unavailable(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message)
}

/// That it cannot be kept is not the server's failure.
fn too_large(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, format!("NATS: the value is too large: {message}"))
}

/// What is said of a value besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) ttl: Option<Duration>,
    /// `None`: unknown.
    pub(super) age: Option<Duration>,
}

/// What is under a key.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    /// By the server's clock.
    pub(super) written: Option<Stamp>,
    pub(super) note: Note,
    /// How long the bucket keeps anything.
    pub(super) limit: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    /// Somebody removed it.
    Removed,
    /// Its time was over.
    Expired,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// With this revision.
    Done(u64),
    /// The revision was not what it was expected to be.
    Conflict,
}

/// What is written.
pub(super) enum What {
    Value(Vec<u8>, Note),
    /// A marker, which need not stay for longer than this.
    Marker(Duration),
}

/// A bucket over a connection.
pub(super) struct Bucket {
    client: Client,
    /// `$KV.b.`
    subjects: String,
    /// `$JS.API.DIRECT.GET.KV_b.`
    reads: String,
    max_age: Option<Duration>,
    /// Messages may have a time to live of their own.
    has_ttl: bool,
    known: Rc<RefCell<Known>>,
    lost: Arc<Notify>,
    taken: Notify,
    is_probed: Cell<bool>,
}

impl Bucket {
    /// Looks at the bucket, and creates it if it is not there.
    pub(super) async fn open(
        client: Client,
        settings: &Settings,
        (known, lost): (Rc<RefCell<Known>>, Arc<Notify>),
    ) -> Result<Bucket, String> {
        let info = found_or_made(&client, settings).await?;
        check(&info["config"], settings)?;
        let name = &settings.bucket;
        known.borrow_mut().belongs_to(&info["created"]);
        let bucket = Bucket {
            subjects: format!("$KV.{name}."),
            reads: format!("$JS.API.DIRECT.GET.KV_{name}.$KV.{name}."),
            max_age: max_age(&info["config"]),
            has_ttl: info["config"]["allow_msg_ttl"].as_bool() == Some(true),
            client,
            known,
            lost,
            taken: Notify::new(),
            is_probed: Cell::new(false),
        };
        bucket.answers().await?;
        Ok(bucket)
    }

    /// Waits until the bucket answers. A server of 2.9 loses reads from a bucket that is created by
    /// several clients just then.
    async fn answers(&self) -> Result<(), String> {
        let mut wait = FIRST_WAIT;
        loop {
            if let Ok(read) = timeout(wait, self.read("-")).await {
                return read.map(drop).map_err(|error| error.to_string());
            }
            wait *= 2;
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn known(&self) -> &RefCell<Known> {
        &self.known
    }

    /// Told when a lock that was asked for has been granted or not.
    pub(super) fn taken(&self) -> &Notify {
        &self.taken
    }

    /// A call was not answered in time. If nor is a question, the connection counts as lost.
    pub(super) fn suspect(self: &Rc<Self>) {
        if self.is_probed.replace(true) {
            return;
        }
        let bucket = self.clone();
        spawn_local(async move {
            if timeout(PROBE, bucket.read("-")).await.is_err() {
                bucket.lost.notify_one();
            }
            bucket.is_probed.set(false);
        });
    }

    fn failed(&self, error: &async_nats::RequestError) -> StoreError {
        match error.kind() {
            // There is no such stream any more, or JetStream is not there yet.
            RequestErrorKind::NoResponders => self.lost.notify_one(),
            RequestErrorKind::MaxPayloadExceeded => return too_large(&error.to_string()),
            _ => {}
        }
        unavailable(format!("NATS: {error}"))
    }

    /// What is under a key, or its marker.
    pub(super) async fn read(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let subject = [&self.reads, key].concat();
        let asked = self.client.request(subject, "".into()).await;
        let message = asked.map_err(|error| self.failed(&error))?;
        match message.status.map(|status| status.as_u16()) {
            None => stored(message, self.max_age).map(Some),
            Some(404) => Ok(None),
            Some(status) => {
                let description = message.description.unwrap_or_default();
                Err(unavailable(format!("NATS: {status} {description}")))
            }
        }
    }

    /// Writes under a key; if a revision is expected, only if that is the key's. 0: nothing there.
    pub(super) async fn write(
        &self,
        key: &str,
        what: What,
        expected: Option<u64>,
    ) -> Result<Put, StoreError> {
        let mut headers = HeaderMap::new();
        if let Some(expected) = expected {
            headers.insert(EXPECTED, expected.to_string());
        }
        let (payload, ttl) = match what {
            What::Value(payload, note) => {
                if let Some(ttl) = note.ttl {
                    headers.insert(TTL, ttl.as_millis().max(1).to_string());
                }
                match note.age {
                    Some(age) if age.is_zero() => {}
                    Some(age) => headers.insert(AGE, age.as_millis().to_string()),
                    None => headers.insert(AGE, "?"),
                }
                (payload, note.ttl)
            }
            What::Marker(ttl) => {
                headers.insert(OPERATION, "DEL");
                (Vec::new(), Some(ttl))
            }
        };
        if let Some(ttl) = ttl.filter(|ttl| self.has_ttl && *ttl < LONG) {
            // Whole seconds. Readers are more precise.
            headers.insert(SERVER_TTL, format!("{}s", ttl.as_millis().div_ceil(1000).max(1)));
        }
        let subject = [&self.subjects, key].concat();
        let asked = self.client.request_with_headers(subject, headers, payload.into()).await;
        acknowledged(&asked.map_err(|error| self.failed(&error))?)
    }
}

/// Ten years: what lives longer need not be told to the server, which counts nanoseconds.
const LONG: Duration = Duration::from_secs(10 * 365 * 86_400);

fn acknowledged(message: &Message) -> Result<Put, StoreError> {
    let answer: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    match (code(&answer), answer["seq"].as_u64()) {
        (Some(WRONG_SEQUENCE | WRONG_SEQUENCE_UNNAMED), _) => Ok(Put::Conflict),
        (Some(TOO_LARGE), _) => Err(too_large(describe(&answer))),
        (None, Some(revision)) if answer["error"].is_null() => Ok(Put::Done(revision)),
        _ => Err(unavailable(format!("NATS refuses a write: {}", describe(&answer)))),
    }
}

fn stored(message: Message, limit: Option<Duration>) -> Result<Stored, StoreError> {
    let headers = message.headers.unwrap_or_default();
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let revision = number("Nats-Sequence")
        .ok_or_else(|| unavailable("NATS: an answer without a sequence number"))?;
    let kind = match (text(MARKER_REASON), text(OPERATION)) {
        (Some("MaxAge"), _) => Kind::Expired,
        (Some(_), _) | (_, Some("DEL" | "PURGE")) => Kind::Removed,
        _ => Kind::Value,
    };
    let age = match text(AGE) {
        None => Some(Duration::ZERO),
        Some(age) => age.parse().ok().map(Duration::from_millis),
    };
    Ok(Stored {
        revision,
        kind,
        written: text("Nats-Time-Stamp").and_then(Stamp::parse),
        note: Note { ttl: number(TTL).map(Duration::from_millis), age },
        payload: message.payload.into(),
        limit,
    })
}

/// What the server says of the bucket, which is created if it is not there.
async fn found_or_made(client: &Client, settings: &Settings) -> Result<Value, String> {
    let name = &settings.bucket;
    let (info, create) =
        (format!("$JS.API.STREAM.INFO.KV_{name}"), format!("$JS.API.STREAM.CREATE.KV_{name}"));
    let found = ask(client, &info, &Value::Null).await?;
    if code(&found) != Some(NO_STREAM) {
        return whole(found, name);
    }
    if !settings.create {
        return Err(format!("bucket {name:?} does not exist"));
    }
    let config = config(settings, client.is_server_compatible(2, 11, 0));
    let made = ask(client, &create, &config).await?;
    if code(&made).is_none() {
        return whole(made, name);
    }
    // Another client may have been faster, with other settings or the same.
    let found = ask(client, &info, &Value::Null).await?;
    whole(if code(&found).is_none() { found } else { made }, name)
}

fn whole(answer: Value, name: &str) -> Result<Value, String> {
    if answer["error"].is_object() {
        return Err(format!("bucket {name:?}: {}", describe(&answer)));
    }
    Ok(answer)
}

/// Asks the JetStream API.
async fn ask(client: &Client, subject: &str, request: &Value) -> Result<Value, String> {
    let payload = if request.is_null() { String::new() } else { request.to_string() };
    let asked = client.request(subject.to_owned(), payload.into()).await;
    let message = asked.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => "JetStream is not enabled, or not up yet".to_owned(),
        _ => format!("JetStream: {error}"),
    })?;
    serde_json::from_slice(&message.payload).map_err(|error| format!("JetStream: {error}"))
}

fn code(answer: &Value) -> Option<u64> {
    answer["error"]["err_code"].as_u64()
}

fn describe(answer: &Value) -> &str {
    answer["error"]["description"].as_str().unwrap_or("the answer cannot be read")
}

fn max_age(config: &Value) -> Option<Duration> {
    config["max_age"].as_u64().filter(|age| *age > 0).map(Duration::from_nanos)
}

/// A bucket as other clients create it.
fn config(settings: &Settings, has_ttl: bool) -> Value {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(i64::MAX as u64);
    let ttl = settings.bucket_ttl.unwrap_or_default();
    let mut window = Duration::from_secs(120);
    if !ttl.is_zero() {
        window = window.min(ttl);
    }
    let mut config = json!({
        "name": format!("KV_{}", settings.bucket),
        "subjects": [format!("$KV.{}.>", settings.bucket)],
        "retention": "limits",
        "discard": "new",
        "storage": match settings.storage {
            NatsStorage::File => "file",
            NatsStorage::Memory => "memory",
        },
        "num_replicas": settings.replicas,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "max_msgs_per_subject": 1,
        "max_age": nanos(ttl),
        "duplicate_window": nanos(window),
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": true,
    });
    if has_ttl {
        config["allow_msg_ttl"] = Value::Bool(true);
    }
    config
}

/// Whether a bucket will do.
fn check(config: &Value, settings: &Settings) -> Result<(), String> {
    let name = &settings.bucket;
    if config["allow_direct"].as_bool() != Some(true) {
        return Err(format!("bucket {name:?} does not allow direct reads (allow_direct)"));
    }
    match (settings.bucket_ttl, max_age(config)) {
        (Some(wanted), has) if has != Some(wanted) => {
            let has = has.map_or_else(|| "none".to_owned(), |has| format!("{has:?}"));
            Err(format!("bucket {name:?} has another time to live than {wanted:?}: {has}"))
        }
        _ => Ok(()),
    }
}
