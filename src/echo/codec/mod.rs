//! How values become bytes in stores that other processes share, and back.
//!
//! | codec | what is in the store | age |
//! |---|---|---|
//! | [`Json`] | the value as JSON | unknown, so never stale |
//! | [`LazyJson`] | `{"Value":…,"CreatedAt":"2026-11-21T09:19:01.93Z"}` | by the wall clock |
//!
//! Both are what the Go library logocomune/echocache writes, for its synchronous and for its lazy
//! cache, and what Go writes there is read here. Three things about Go's JSON matter to the type of
//! the value:
//! - a nil slice, map or pointer is `null`: read it as an `Option`;
//! - a `[]byte` is a string in base64;
//! - the names of a struct's fields begin with capitals, unless they are tagged:
//!   `#[serde(rename_all = "PascalCase")]`.
//!
//! Another format is a [`Codec`] of one's own.

mod json;
mod keys;
mod lazy;
mod stamp;

pub use json::Json;
pub use lazy::LazyJson;

#[cfg(feature = "nats")]
pub(in crate::echo) use keys::{nats_key, nats_lock_key};
#[cfg(feature = "redis")]
pub(in crate::echo) use keys::{redis_key, redis_lock_key};
#[cfg(feature = "nats")]
pub(in crate::echo) use stamp::Stamp;

use std::time::SystemTime;

use super::error::{StoreError, StoreErrorKind};
use super::store::Found;

/// How values of a type are written to a store and read from it.
///
/// ```
/// use docache::echo::codec::Codec;
/// use docache::echo::{Found, StoreError, StoreErrorKind};
/// use std::time::SystemTime;
///
/// /// Big-endian numbers.
/// #[derive(Clone, Debug)]
/// struct BigEndian;
///
/// impl Codec<u32> for BigEndian {
///     fn encode(
///         &self,
///         value: &u32,
///         _created: Option<SystemTime>,
///         out: &mut Vec<u8>,
///     ) -> Result<(), StoreError> {
///         out.extend_from_slice(&value.to_be_bytes());
///         Ok(())
///     }
///
///     fn decode(&self, raw: &[u8], _now: SystemTime) -> Result<Found<u32>, StoreError> {
///         let bytes = raw.try_into();
///         let bytes =
///             bytes.map_err(|_| StoreError::new(StoreErrorKind::Corrupt, "not four bytes"))?;
///         Ok(Found::new(u32::from_be_bytes(bytes)))
///     }
/// }
///
/// let mut raw = Vec::new();
/// BigEndian.encode(&7, None, &mut raw)?;
/// assert_eq!(BigEndian.decode(&raw, SystemTime::now())?.value, 7);
/// # Ok::<(), StoreError>(())
/// ```
pub trait Codec<T>: Send + Sync {
    /// Appends the value to `out`. `created` is when it was loaded, if that is known.
    ///
    /// # Errors
    /// That the value cannot be written in this format. What `out` has then does not matter.
    fn encode(
        &self,
        value: &T,
        created: Option<SystemTime>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError>;

    /// Reads a value, and its age if that is in the bytes. One from the future has age zero.
    ///
    /// # Errors
    /// [`Corrupt`](StoreErrorKind::Corrupt) if the bytes are no value of the type.
    fn decode(&self, raw: &[u8], now: SystemTime) -> Result<Found<T>, StoreError>;
}

/// An error about what is in a store, with the beginning of it.
fn corrupt(raw: &[u8], error: serde_json::Error) -> StoreError {
    const SHOWN: usize = 64;
    let shown = String::from_utf8_lossy(&raw[..raw.len().min(SHOWN)]);
    let more = if raw.len() > SHOWN { "…" } else { "" };
    let bytes = raw.len();
    let message = format!("no value of the type in {bytes} bytes {shown:?}{more}: {error}");
    StoreError::with_source(StoreErrorKind::Corrupt, message, error)
}

/// An error about a value that is to go into a store.
fn not_encoded(error: serde_json::Error) -> StoreError {
    let message = format!("the value cannot be written as JSON: {error}");
    StoreError::with_source(StoreErrorKind::Corrupt, message, error)
}

#[cfg(all(test, not(docache_loom)))]
mod tests;
