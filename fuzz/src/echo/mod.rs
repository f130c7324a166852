//! The wire format of the echo cache: both codecs and the raw keys.
//!
//! - Bytes are read as values of several types, or refused as corrupt; nothing panics.
//! - What is read is written, and read again as the same value of the same age.
//! - A plain value is the same inside a lazy entry.
//! - Any key of a prefix that is allowed has a raw key that its store allows.

#[path = "../../../src/echo/codec/keys.rs"]
mod keys;
mod values;

use std::time::{Duration, SystemTime};

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::Text;
use values::{Times, Values};

/// What is looked at.
#[derive(Clone, Debug)]
enum Part {
    /// Bytes from a store, as any type.
    Raw(Vec<u8>),
    /// A lazy entry with such a value, and such a time.
    Entry {
        value: Vec<u8>,
        created: Text,
    },
    /// Values that are written.
    Values(Box<Values>),
    Keys {
        prefix: Text,
        key: Text,
    },
}

/// One input.
#[derive(Clone, Debug)]
pub struct Case {
    times: Times,
    part: Part,
}

/// Seconds from 1970 to the year 9999.
const LAST: u64 = 253_402_300_799;

impl<'a> Arbitrary<'a> for Times {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Times> {
        let nanos = |u: &mut Unstructured<'a>| u.int_in_range(0..=999_999_999);
        let now = Duration::new(u.int_in_range(0..=LAST)?, nanos(u)?);
        let age = Duration::new(u.int_in_range(0..=2 * LAST)?, nanos(u)?);
        Ok(Times { now: SystemTime::UNIX_EPOCH + now, age })
    }
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let (which, times) = (u8::arbitrary(u)? % 8, Times::arbitrary(u)?);
        let rest = |u: &mut Unstructured<'a>| Ok::<_, arbitrary::Error>(u.bytes(u.len())?.to_vec());
        let part = match which {
            0..=2 => Part::Raw(rest(u)?),
            3..=4 => {
                let created = Text::arbitrary(u)?;
                Part::Entry { value: rest(u)?, created }
            }
            5..=6 => Part::Values(Box::new(Values::arbitrary(u)?)),
            _ => Part::Keys { prefix: Text::arbitrary(u)?, key: Text::arbitrary(u)? },
        };
        Ok(Case { times, part })
    }
}

/// Checks one input.
pub fn run(case: &Case) {
    match &case.part {
        Part::Raw(raw) => values::read_as_all(raw, case.times),
        Part::Entry { value, created } => {
            let parts: [&[u8]; 5] =
                [b"{\"Value\":", value, b",\"CreatedAt\":\"", created.0.as_bytes(), b"\"}"];
            values::read_as_all(&parts.concat(), case.times);
        }
        Part::Values(values) => values.write(case.times),
        Part::Keys { prefix, key } => raw_keys(&prefix.0, &key.0),
    }
}

fn raw_keys(prefix: &str, key: &str) {
    let lock = ["lock:", key].concat();
    let [entry, locked] = [keys::redis_key(prefix, key), keys::redis_lock_key(prefix, key)];
    assert_eq!(entry.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(':')), Some(key));
    assert_eq!(locked, keys::redis_key(prefix, &lock));
    let allowed = is_allowed(prefix);
    let [entry, locked] = [keys::nats_key(prefix, key), keys::nats_lock_key(prefix, key)];
    assert_eq!(locked, keys::nats_key(prefix, &lock));
    assert_ne!(entry, locked);
    for raw in [entry, locked] {
        assert!(is_key(&raw) || !allowed, "{raw:?} of {prefix:?}");
        let (before, hash) = raw.rsplit_once('.').expect("a dot before the hash");
        assert_eq!(before, prefix.trim_end_matches('.'));
        assert!(hash.len() == 32 && hash.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    }
}

/// What a bucket takes as a key: tokens that are not empty, with dots between them.
fn is_key(raw: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_/=".contains(c);
    raw.split('.').all(|token| !token.is_empty() && token.chars().all(allowed))
}

/// What the documentation of the store in NATS allows as a prefix; dots at its end do not count.
fn is_allowed(prefix: &str) -> bool {
    is_key(prefix.trim_end_matches('.'))
}
