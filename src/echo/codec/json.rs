//! The value and nothing else.

use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, corrupt, not_encoded};
use crate::echo::error::StoreError;
use crate::echo::store::Found;

/// Values as plain JSON. Their age is unknown, so that they are fresh for as long as they are
/// there: for an [`EchoCache`](crate::echo::EchoCache).
///
/// ```
/// use docache::echo::codec::{Codec, Json};
/// use std::time::SystemTime;
/// let mut raw = Vec::new();
/// Json.encode(&vec![1, 2], None, &mut raw)?;
/// assert_eq!(raw, b"[1,2]");
/// let found = Codec::<Vec<u8>>::decode(&Json, b" [ 1, 2 ]\n", SystemTime::now())?;
/// assert_eq!((found.value, found.age), (vec![1, 2], None));
/// # Ok::<(), docache::echo::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(
        &self,
        value: &T,
        _created: Option<SystemTime>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        serde_json::to_writer(out, value).map_err(not_encoded)
    }

    fn decode(&self, raw: &[u8], _now: SystemTime) -> Result<Found<T>, StoreError> {
        serde_json::from_slice(raw).map(Found::new).map_err(|error| corrupt(raw, error))
    }
}
