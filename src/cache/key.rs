//! What keys are looked up by, and what a fetch takes for a key.

use std::borrow::Borrow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a key of type `K` is looked up by: whatever it [borrows](Borrow) as, and nothing else.
///
/// ```
/// use docache::Lookup;
/// assert!(Lookup::matches("ada", &String::from("ada")) && !Lookup::matches(&7, &8));
/// ```
pub trait Lookup<K>: Hash {
    /// Whether this is the key.
    fn matches(&self, key: &K) -> bool;
}

impl<K: Borrow<Q>, Q: Hash + Eq + ?Sized> Lookup<K> for Q {
    #[inline(always)]
    fn matches(&self, key: &K) -> bool {
        self == key.borrow()
    }
}

/// A key as [`fetch`](crate::Cache::fetch) and its like take it: the key itself, a reference to it,
/// or, for keys that own text, bytes or paths, the `&str`, `&[T]`, `&Path` that they own.
///
/// There is no deref coercion: write `*name` for a `&&str`, `&*name` for a `&String` where keys are
/// `Arc<str>`, `&b"ab"[..]` for an array, `Path::new("/etc")` for a path.
///
/// The cache needs a key of its own only for a load: on a hit nothing is cloned.
///
/// To have a borrowed form of a key type of your own accepted, implement this for it, beside
/// [`Borrow`]:
///
/// ```
/// use docache::{Cache, FetchKey};
/// use std::borrow::Borrow;
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct User(String);
///
/// impl Borrow<str> for User {
///     fn borrow(&self) -> &str {
///         &self.0
///     }
/// }
///
/// impl FetchKey<User> for &str {
///     type Query = str;
///     fn query(&self) -> &str {
///         self
///     }
///     fn into_key(self) -> User {
///         User(self.to_owned())
///     }
/// }
///
/// let ages = Cache::<User, u32>::new(100);
/// assert_eq!(ages.fetch("ada", || 36), 36);
/// assert_eq!(ages.fetch(&User("ada".to_owned()), || unreachable!()), 36);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key of a cache whose keys are `{K}`",
    note = "give the key, a reference to it, or the `&str`, `&[T]` or `&Path` that it owns; there is no deref coercion"
)]
pub trait FetchKey<K> {
    /// What the key is looked up by. It hashes and compares as the key does.
    type Query: Lookup<K> + ?Sized;

    /// What to look up.
    fn query(&self) -> &Self::Query;

    /// The key itself, for a load.
    fn into_key(self) -> K;
}

impl<K: Hash + Eq> FetchKey<K> for K {
    type Query = K;

    #[inline(always)]
    fn query(&self) -> &K {
        self
    }

    #[inline]
    fn into_key(self) -> K {
        self
    }
}

impl<K: Hash + Eq + Clone> FetchKey<K> for &K {
    type Query = K;

    #[inline(always)]
    fn query(&self) -> &K {
        self
    }

    #[inline]
    fn into_key(self) -> K {
        self.clone()
    }
}

/// Borrowed forms that the key types of std are made from.
macro_rules! borrowed {
    (@one ($($of:tt)*) $query:ty, $key:ty) => {
        impl $($of)* FetchKey<$key> for &$query {
            type Query = $query;

            #[inline(always)]
            fn query(&self) -> &$query {
                self
            }

            #[inline]
            fn into_key(self) -> $key {
                self.into()
            }
        }
    };
    (@each $of:tt $query:ty, $($key:ty),+) => {
        $(borrowed!(@one $of $query, $key);)+
    };
    ($($of:tt $query:ty => $($key:ty),+;)+) => {
        $(borrowed!(@each $of $query, $($key),+);)+
    };
}

borrowed! {
    () str => String, Box<str>, Arc<str>;
    () Path => PathBuf, Box<Path>, Arc<Path>;
    () OsStr => OsString, Box<OsStr>, Arc<OsStr>;
    () CStr => CString, Box<CStr>, Arc<CStr>;
    (<T: Hash + Eq + Clone>) [T] => Vec<T>, Box<[T]>, Arc<[T]>;
}
