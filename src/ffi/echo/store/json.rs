//! Values as JSON, for stores that other processes share: the bytes are the JSON.

use std::time::SystemTime;

use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::echo::codec::{Codec, Json, LazyJson};
use crate::echo::{Found, StoreError};
use crate::error::{Error, Result};
use crate::ffi::value::Value;

/// Refuses what is not JSON, for a store that wants it.
pub(in crate::ffi::echo) fn check(value: &[u8]) -> Result<()> {
    serde_json::from_slice::<&RawValue>(value).map(drop).map_err(|error| {
        let found = format!("what is not JSON ({error})");
        Error::invalid_argument("value", found, "give JSON, as the store keeps it")
    })
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(self.bytes()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Value::copy(raw.get().as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// What is in the store.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(feature = "redis", feature = "nats")),
    allow(dead_code, reason = "there are no such stores")
)]
pub(super) enum Format {
    Json,
    LazyJson,
}

impl Codec<Value> for Format {
    fn encode(
        &self,
        value: &Value,
        created: Option<SystemTime>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        match self {
            Format::Json => Json.encode(value, created, out),
            Format::LazyJson => LazyJson.encode(value, created, out),
        }
    }

    fn decode(&self, raw: &[u8], now: SystemTime) -> Result<Found<Value>, StoreError> {
        match self {
            Format::Json => Json.decode(raw, now),
            Format::LazyJson => LazyJson.decode(raw, now),
        }
    }
}
