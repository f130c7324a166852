//! What a cache of the C ABI keeps: values under bytes.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use super::value::Value;
use crate::cache::Cache;
use crate::error::Error;

/// What a cache of the C ABI is.
pub(super) type Store = Cache<Key, Value, Error>;

/// The longest key that lies in its entry: as much as makes no key larger than a long one's box and
/// the tag.
const SHORT: usize = 22;

/// A key that is kept. A short one lies where the entry lies, so that a reader who has found the
/// entry has the key.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

const _: () = assert!(size_of::<Key>() <= 24);

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Key {
        if key.len() > SHORT {
            return Key::Long(key.into());
        }
        let mut bytes = [0; SHORT];
        bytes[..key.len()].copy_from_slice(key);
        Key::Short { len: key.len() as u8, bytes }
    }
}

impl Key {
    /// Makes it another key, in the same memory if that fits.
    pub(super) fn set(&mut self, key: &[u8]) {
        match self {
            Key::Long(bytes) if bytes.len() == key.len() => bytes.copy_from_slice(key),
            _ => *self = key.into(),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: `From` makes none that is longer.
            Key::Short { len, bytes } => unsafe { bytes.get_unchecked(..usize::from(*len)) },
            Key::Long(bytes) => bytes,
        }
    }
}

impl Borrow<Query> for Key {
    #[inline(always)]
    fn borrow(&self) -> &Query {
        Query::new(self)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        Query::new(self) == Query::new(other)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Query::new(self).hash(state);
    }
}

/// A key that is asked for. What it does otherwise than a slice is cheaper: it hashes no length,
/// since it is hashed on its own, and compares short keys without a call.
#[derive(Debug, Eq)]
#[repr(transparent)]
pub(super) struct Query([u8]);

impl Query {
    #[inline(always)]
    pub(super) fn new(key: &[u8]) -> &Query {
        // SAFETY: of the same layout.
        unsafe { &*(std::ptr::from_ref(key) as *const Query) }
    }
}

impl Hash for Query {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl PartialEq for Query {
    #[inline(always)]
    fn eq(&self, other: &Query) -> bool {
        let (a, b) = (&self.0, &other.0);
        if a.len() != b.len() {
            return false;
        }
        // Of what is no longer than two chunks, the first and the last are all.
        if a.len() >= 16 {
            if a.len() > 32 {
                return a == b;
            }
            a.first_chunk::<16>() == b.first_chunk() && a.last_chunk::<16>() == b.last_chunk()
        } else if a.len() >= 8 {
            a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk()
        } else if a.len() >= 4 {
            a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk()
        } else {
            a == b
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    /// What was hashed.
    #[derive(Default)]
    struct Hashed(Vec<u8>);

    impl Hasher for Hashed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    #[test]
    fn what_is_hashed_of_a_key_is_its_bytes() {
        for len in [0, 1, SHORT, SHORT + 1, 80] {
            let bytes = vec![7; len];
            let (mut kept, mut asked) = (Hashed::default(), Hashed::default());
            Key::from(&*bytes).hash(&mut kept);
            Query::new(&bytes).hash(&mut asked);
            assert_eq!((&kept.0, &asked.0), (&bytes, &bytes));
        }
    }

    #[test]
    fn a_key_of_any_length_is_what_it_was_made_of_and_nothing_else() {
        let hasher = std::hash::RandomState::new();
        let bytes: Vec<u8> = (1..=80).collect();
        for len in 0..=bytes.len() {
            let key = Key::from(&bytes[..len]);
            assert_eq!(*key, bytes[..len]);
            assert_eq!(key.clone(), key);
            for other in [&bytes[..0], &bytes[80 - len..], &bytes] {
                let mut set = Key::from(other);
                set.set(&bytes[..len]);
                assert_eq!(set, key);
            }
            assert_eq!(hasher.hash_one(&key), hasher.hash_one(Query::new(&bytes[..len])));
            assert!(len == 0 || key != Key::from(&bytes[..len - 1]), "{len} is not {}", len - 1);
            for at in 0..len {
                let mut other = bytes[..len].to_vec();
                other[at] = 0;
                assert_ne!(key, Key::from(&*other), "they differ at {at} of {len}");
            }
        }
    }
}
