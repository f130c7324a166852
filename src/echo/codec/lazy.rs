//! The value and when it was loaded.

use std::fmt;
use std::marker::PhantomData;
use std::time::SystemTime;

use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;
use super::{Codec, corrupt, not_encoded};
use crate::echo::error::StoreError;
use crate::echo::store::Found;

/// Values as JSON with the time at which they were loaded: for a
/// [`LazyEchoCache`](crate::echo::LazyEchoCache).
///
/// The time is that of the writer's wall clock. If it is unknown, it is left out, and what has none
/// is of unknown age; Go takes that for very old. Names are read without regard to case, other
/// fields are ignored, and of fields that are there twice the last one counts, as in Go.
///
/// ```
/// use docache::echo::codec::{Codec, LazyJson};
/// use std::time::{Duration, SystemTime};
/// let second = Duration::from_secs(1);
/// let (now, mut raw) = (SystemTime::UNIX_EPOCH + 10 * second, Vec::new());
/// LazyJson.encode(&7, Some(now - second), &mut raw)?;
/// assert_eq!(raw, br#"{"Value":7,"CreatedAt":"1970-01-01T00:00:09Z"}"#);
/// let found = Codec::<u8>::decode(&LazyJson, &raw, now)?;
/// assert_eq!((found.value, found.age), (7, Some(second)));
/// # Ok::<(), docache::echo::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LazyJson;

impl<T: Serialize + DeserializeOwned> Codec<T> for LazyJson {
    fn encode(
        &self,
        value: &T,
        created: Option<SystemTime>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        out.extend_from_slice(br#"{"Value":"#);
        serde_json::to_writer(&mut *out, value).map_err(not_encoded)?;
        if let Some(created) = created {
            out.extend_from_slice(br#","CreatedAt":""#);
            out.extend_from_slice(Stamp::from(created).to_string().as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
        Ok(())
    }

    fn decode(&self, raw: &[u8], now: SystemTime) -> Result<Found<T>, StoreError> {
        let Entry { value, created } =
            serde_json::from_slice(raw).map_err(|error| corrupt(raw, error))?;
        let age = created.map(|created| Stamp::from(now).since(created));
        Ok(Found { age, ..Found::new(value) })
    }
}

struct Entry<T> {
    value: T,
    created: Option<Stamp>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor(PhantomData))
    }
}

struct EntryVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntryVisitor<T> {
    type Value = Entry<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields Value and CreatedAt")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<T>, A::Error> {
        let (mut value, mut created) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Value => value = Some(map.next_value()?),
                Field::CreatedAt => created = map.next_value()?,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let value = value.ok_or_else(|| A::Error::missing_field("Value"))?;
        Ok(Entry { value, created })
    }
}

enum Field {
    Value,
    CreatedAt,
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(FieldVisitor)
    }
}

struct FieldVisitor;

impl Visitor<'_> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Field, E> {
        Ok(if name.eq_ignore_ascii_case("Value") {
            Field::Value
        } else if name.eq_ignore_ascii_case("CreatedAt") {
            Field::CreatedAt
        } else {
            Field::Other
        })
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StampVisitor)
    }
}

struct StampVisitor;

impl Visitor<'_> for StampVisitor {
    type Value = Stamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as in RFC 3339")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Stamp, E> {
        Stamp::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}
