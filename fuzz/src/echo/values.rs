//! Values of the types that programs keep, read and written by both codecs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::echo::codec::{Codec, Json, LazyJson};
use docache::echo::{Found, StoreErrorKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// When something is read, and how old it is then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) now: SystemTime,
    pub(super) age: Duration,
}

/// From 1970 back to the year 0: earlier times are written as that.
const FIRST: Duration = Duration::from_secs(62_167_219_200);

/// A struct as a Go program has it.
#[derive(Arbitrary, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Order {
    name: String,
    count: i64,
    tags: Option<Vec<String>>,
    #[serde(rename = "note")]
    note: Option<Note>,
    by_name: BTreeMap<String, Note>,
}

#[derive(Arbitrary, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Note {
    #[serde(default)]
    text: String,
    raw: Vec<u8>,
    kind: Kind,
}

#[derive(Arbitrary, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Plain,
    Marked(char, bool),
    Sized {
        from: i8,
        to: u128,
    },
}

/// A number that JSON has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Finite(f64);

impl<'a> Arbitrary<'a> for Finite {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Finite> {
        Ok(Finite(Some(f64::arbitrary(u)?).filter(|number| number.is_finite()).unwrap_or(0.5)))
    }
}

/// One value of each type.
#[derive(Arbitrary, Clone, Debug)]
pub(super) struct Values {
    text: String,
    unsigned: u64,
    signed: i64,
    maybe: Option<String>,
    bytes: Vec<u8>,
    number: Finite,
    order: Order,
}

impl Values {
    /// That all are written, and read again.
    pub(super) fn write(&self, times: Times) {
        rewritten(&self.text, times);
        rewritten(&self.unsigned, times);
        rewritten(&self.signed, times);
        rewritten(&self.maybe, times);
        rewritten(&self.bytes, times);
        rewritten(&self.number, times);
        rewritten(&self.order, times);
    }
}

/// Reads the bytes as each type.
pub(super) fn read_as_all(raw: &[u8], times: Times) {
    read::<String>(raw, times);
    read::<u64>(raw, times);
    read::<i64>(raw, times);
    read::<Option<String>>(raw, times);
    read::<Vec<u8>>(raw, times);
    read::<Finite>(raw, times);
    read::<Order>(raw, times);
    read::<Option<Note>>(raw, times);
    read::<()>(raw, times);
}

trait Value: Serialize + DeserializeOwned + PartialEq + Debug {}

impl<T: Serialize + DeserializeOwned + PartialEq + Debug> Value for T {}

fn read<T: Value>(raw: &[u8], times: Times) {
    if let Some(found) = decode::<T>(&Json, raw, times.now) {
        assert_eq!(found.age, None);
        rewritten(&found.value, times);
        let entry: [&[u8]; 3] = [b" { \"vALUE\" : ", raw, b" , \"more\":[{}]}"];
        let inside = decode::<T>(&LazyJson, &entry.concat(), times.now).expect("an entry");
        assert_eq!((inside.value, inside.age), (found.value, None));
    }
    if let Some(found) = decode::<T>(&LazyJson, raw, times.now) {
        match found.age {
            Some(age) => rewritten(&found.value, Times { age, ..times }),
            None => {
                let mut out = Vec::new();
                LazyJson.encode(&found.value, None, &mut out).expect("it was read");
                let again = decode::<T>(&LazyJson, &out, times.now).expect("it was written");
                assert_eq!((again.value, again.age), (found.value, None));
            }
        }
    }
}

/// What is read; an error has to say that the bytes are at fault.
fn decode<T: Value>(codec: &impl Codec<T>, raw: &[u8], now: SystemTime) -> Option<Found<T>> {
    match codec.decode(raw, now) {
        Ok(found) => {
            assert_eq!(found.left, None, "the store knows");
            Some(found)
        }
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Writes the value in both formats, behind what is in the buffer, and reads it.
fn rewritten<T: Value>(value: &T, Times { now, age }: Times) {
    const BEFORE: &[u8] = b"before";
    let mut out = BEFORE.to_vec();
    Json.encode(value, None, &mut out).expect("a value that JSON has");
    let plain = out.strip_prefix(BEFORE).expect("it is appended");
    let again = decode::<T>(&Json, plain, now).expect("what was written");
    assert_eq!((&again.value, again.age), (value, None));
    let Some(created) = now.checked_sub(age) else { return };
    let mut out = BEFORE.to_vec();
    LazyJson.encode(value, Some(created), &mut out).expect("a value that JSON has");
    let lazy = out.strip_prefix(BEFORE).expect("it is appended");
    let again = decode::<T>(&LazyJson, lazy, now).expect("what was written");
    assert_eq!(&again.value, value);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    let (again, oldest) = (again.age.expect("it was written"), since + FIRST);
    if age <= oldest {
        assert_eq!(again, age);
    } else {
        assert!(again <= oldest && oldest - again < Duration::from_secs(1), "{again:?} of {age:?}");
    }
}
