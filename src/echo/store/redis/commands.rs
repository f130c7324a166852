//! What is said to Redis, and what its replies mean.

use std::error::Error;
use std::time::Duration;

use ::redis::{ServerError, Value};

use super::request::Commands;
use crate::echo::error::{StoreError, StoreErrorKind};
use crate::echo::lock::RefreshLock;
use crate::echo::store::Written;

/// A script in Lua, and the SHA-1 by which the server knows it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: &'static str,
    pub(super) sha1: &'static str,
}

/// Writes the value if the lock is the caller's, and gives the lock back.
pub(super) static FINISH: Script = Script {
    text: "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('DEL', KEYS[2])
return 1",
    sha1: "c0e2c9314dde2f9dae5b480a815906728e0a623d",
};

/// Gives the lock back if it is the caller's.
pub(super) static RELEASE: Script = Script {
    text: "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])",
    sha1: "708b61c8defb6a8962235c40975ef70c7ff1a0e0",
};

/// Holds the lock for longer if it is the caller's.
pub(super) static RENEW: Script = Script {
    text: "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    sha1: "2deae1ef2395a47a688aa388ceff88bd1c320ba4",
};

pub(super) static SCRIPTS: [&Script; 3] = [&FINISH, &RELEASE, &RENEW];

/// A script with what it is to be run on.
#[derive(Debug)]
pub(super) struct Run {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Run {
    pub(super) fn finish(
        keys: [String; 2],
        lock: &RefreshLock,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Run {
        let ttl = ttl.and_then(millis).unwrap_or_default().into_bytes();
        let arguments = vec![token(lock), value, ttl];
        Run { script: &FINISH, keys: keys.into(), arguments }
    }

    pub(super) fn release(lock_key: String, lock: &RefreshLock) -> Run {
        Run { script: &RELEASE, keys: vec![lock_key], arguments: vec![token(lock)] }
    }

    pub(super) fn renew(lock_key: String, lock: &RefreshLock) -> Run {
        let arguments = vec![token(lock), lock_millis(lock).into_bytes()];
        Run { script: &RENEW, keys: vec![lock_key], arguments }
    }

    /// By its SHA-1, or in full if the server does not know it.
    pub(super) fn commands(&self, in_full: bool) -> Commands {
        let (command, script) = match in_full {
            false => ("EVALSHA", self.script.sha1),
            true => ("EVAL", self.script.text),
        };
        let count = self.keys.len().to_string();
        let mut parts = vec![command.as_bytes(), script.as_bytes(), count.as_bytes()];
        parts.extend(self.keys.iter().map(String::as_bytes));
        parts.extend(self.arguments.iter().map(Vec::as_slice));
        Commands::new().and(&parts)
    }
}

/// Whether the server has forgotten a script.
pub(super) fn is_unknown_script(replies: &[Value]) -> bool {
    matches!(replies, [Value::ServerError(error)] if error.code() == "NOSCRIPT")
}

fn token(lock: &RefreshLock) -> Vec<u8> {
    lock.token().as_str().as_bytes().to_vec()
}

/// Whole milliseconds, at least one; none for what outlasts the server's clock.
fn millis(span: Duration) -> Option<String> {
    const MOST: u128 = 1 << 50;
    let millis = span.as_nanos().div_ceil(1_000_000).max(1);
    (millis <= MOST).then(|| millis.to_string())
}

fn lock_millis(lock: &RefreshLock) -> String {
    millis(lock.ttl()).unwrap_or_else(|| (1_u64 << 50).to_string())
}

/// Reads. The time that is left, if that is asked for, comes first: it must not be that of a later
/// value.
pub(super) fn read(commands: Commands, key: &str, asks_left: bool) -> Commands {
    let commands = if asks_left { commands.and(&[b"PTTL", key.as_bytes()]) } else { commands };
    commands.and(&[b"GET", key.as_bytes()])
}

/// Takes the lock, sees who has it, and reads.
pub(super) fn begin(key: &str, lock_key: &str, lock: &RefreshLock) -> Commands {
    let (lock_key, token) = (lock_key.as_bytes(), token(lock));
    let commands = Commands::new()
        .and(&[b"SET", lock_key, &token, b"NX", b"PX", lock_millis(lock).as_bytes()])
        .and(&[b"GET", lock_key]);
    read(commands, key, true)
}

/// Writes and takes the lock away, in one transaction.
pub(super) fn put(key: &str, lock_key: &str, value: &[u8], ttl: Option<Duration>) -> Commands {
    let commands = Commands::new().and(&[b"MULTI"]);
    let commands = match ttl.and_then(millis) {
        Some(ttl) => commands.and(&[b"SET", key.as_bytes(), value, b"PX", ttl.as_bytes()]),
        None => commands.and(&[b"SET", key.as_bytes(), value]),
    };
    commands.and(&[b"DEL", lock_key.as_bytes()]).and(&[b"EXEC"])
}

pub(super) fn remove(key: &str, lock_key: &str) -> Commands {
    Commands::new().and(&[b"DEL", key.as_bytes(), lock_key.as_bytes()])
}

/// What a server says when it refuses.
pub(super) fn told(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// Says of an error that the connection is of no use after it.
#[derive(Debug)]
struct Unsound;

impl std::fmt::Display for Unsound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is given up")
    }
}

impl std::error::Error for Unsound {}

/// Whether the connection is of no use after this.
pub(super) fn is_unsound(error: &StoreError) -> bool {
    error.source().is_some_and(|source| source.is::<Unsound>())
}

/// An error that the server answered with.
pub(super) fn refused(error: &ServerError) -> StoreError {
    let message = format!("Redis refuses: {}", told(error));
    match error.code() {
        "WRONGTYPE" => {
            let message = "Redis has something else than a string under the key";
            StoreError::new(StoreErrorKind::Corrupt, message)
        }
        // It is a replica by now: another server is in its place.
        "READONLY" => StoreError::with_source(StoreErrorKind::Unavailable, message, Unsound),
        _ => StoreError::new(StoreErrorKind::Unavailable, message),
    }
}

/// A reply that cannot be one to what was asked: nothing on the connection can be trusted.
pub(super) fn unexpected(reply: &Value) -> StoreError {
    let kind = match reply {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a string",
        Value::Array(_) => "an array",
        _ => "something else",
    };
    let message = format!("Redis answers with {kind}, which is no answer to what was asked");
    StoreError::with_source(StoreErrorKind::Unavailable, message, Unsound)
}

/// What is in a store, with the time for which it will be there.
pub(super) type Raw = Option<(Vec<u8>, Option<Duration>)>;

pub(super) fn read_reply(left: Option<&Value>, value: Value) -> Result<Raw, StoreError> {
    let value = match value {
        Value::Nil => return Ok(None),
        Value::BulkString(value) => value,
        Value::ServerError(error) => return Err(refused(&error)),
        other => return Err(unexpected(&other)),
    };
    let Some(left) = left else { return Ok(Some((value, None))) };
    let left = match left {
        // It does not expire.
        Value::Int(-1) => None,
        Value::Int(millis) => Some(Duration::from_millis((*millis).max(0).unsigned_abs())),
        Value::ServerError(error) => return Err(refused(error)),
        other => return Err(unexpected(other)),
    };
    Ok(Some((value, left)))
}

/// Who has a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The caller, just now.
    Caller,
    /// The caller, from before.
    Before,
    /// Another one, of this number, if it has not just given it back.
    Another(Option<u64>),
}

pub(super) fn lock_reply(
    lock: &RefreshLock,
    set: &Value,
    holder: &Value,
) -> Result<Holder, StoreError> {
    match set {
        Value::Okay => return Ok(Holder::Caller),
        Value::Nil => {}
        Value::ServerError(error) => return Err(refused(error)),
        other => return Err(unexpected(other)),
    }
    match holder {
        Value::BulkString(token) if *token == lock.token().as_str().as_bytes() => {
            Ok(Holder::Before)
        }
        Value::BulkString(token) => Ok(Holder::Another(Some(fingerprint(token)))),
        Value::Nil | Value::ServerError(_) => Ok(Holder::Another(None)),
        other => Err(unexpected(other)),
    }
}

fn fingerprint(token: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(token)
}

/// Whether a script did what it is for.
pub(super) fn number_reply(reply: &Value) -> Result<bool, StoreError> {
    match reply {
        Value::Int(number) => Ok(*number != 0),
        Value::ServerError(error) => Err(refused(error)),
        other => Err(unexpected(other)),
    }
}

pub(super) fn finish_reply(reply: &Value) -> Result<Written, StoreError> {
    Ok(if number_reply(reply)? { Written::Yes } else { Written::Lost })
}

pub(super) fn put_reply(replies: &[Value]) -> Result<(), StoreError> {
    let failed = replies.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(refused(error)),
        Value::Array(parts) => parts.iter().find_map(|part| match part {
            Value::ServerError(error) => Some(refused(error)),
            _ => None,
        }),
        _ => None,
    });
    match (failed, replies.last()) {
        (Some(error), _) => Err(error),
        (None, Some(Value::Array(_))) => Ok(()),
        (None, other) => Err(unexpected(other.unwrap_or(&Value::Nil))),
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_and_never_none() {
        assert_eq!(millis(Duration::ZERO).as_deref(), Some("1"));
        assert_eq!(millis(Duration::from_nanos(1)).as_deref(), Some("1"));
        assert_eq!(millis(Duration::from_micros(1_001)).as_deref(), Some("2"));
        assert_eq!(millis(Duration::from_secs(3600)).as_deref(), Some("3600000"));
        assert_eq!(millis(Duration::MAX), None);
    }
}
