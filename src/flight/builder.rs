//! The settings of groups.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;

use super::group::Group;
use super::keyed::KeyedGroup;
use crate::error::{Error, Result};

/// The most shards that a group can have.
const MOST_SHARDS: usize = 1 << 16;

/// Builds a [`Group`] or a [`KeyedGroup`].
///
/// ```
/// use docache::KeyedGroup;
/// let group: KeyedGroup<str, usize> = KeyedGroup::builder().shards(64).repanic(true).build()?;
/// assert_eq!(*group.run("key", || 1), 1);
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct GroupBuilder<G> {
    shards: Option<usize>,
    repanic: bool,
    _group: PhantomData<fn() -> G>,
}

impl<G> GroupBuilder<G> {
    pub(super) fn new() -> GroupBuilder<G> {
        GroupBuilder { shards: None, repanic: false, _group: PhantomData }
    }

    /// Whether callers that joined a run that panicked are to panic as well, with the same message, also in the `try_`
    /// forms. Default: those get [`FlightError::Panicked`](super::FlightError::Panicked). (Calls that cannot fail, such
    /// as [`KeyedGroup::run`], panic in any case.)
    ///
    /// ```
    /// use docache::Group;
    /// let group: Group<u8> = Group::builder().repanic(true).build();
    /// assert_eq!(*group.run(|| 1), 1);
    /// ```
    pub fn repanic(mut self, repanic: bool) -> GroupBuilder<G> {
        self.repanic = repanic;
        self
    }
}

impl<T, E> GroupBuilder<Group<T, E>> {
    /// The group.
    pub fn build(self) -> Group<T, E> {
        Group::with(self.repanic)
    }
}

impl<K: ?Sized, T, E> GroupBuilder<KeyedGroup<K, T, E>> {
    /// Over how many locks the flights are spread: 1 to 65,536, rounded up to a power of two. Default: sixteen for
    /// each processor, rounded up likewise. Each takes 128 bytes, and some more once it has had more than two flights
    /// at once.
    ///
    /// ```
    /// use docache::KeyedGroup;
    /// let error = KeyedGroup::<str, u8>::builder().shards(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), "shards: 0 is not accepted; give 1 to 65536");
    /// ```
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The group.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the number of shards is not accepted.
    pub fn build(self) -> Result<KeyedGroup<K, T, E>> {
        let shards = match self.shards {
            None => default_shards(),
            Some(shards @ 1..=MOST_SHARDS) => shards.next_power_of_two(),
            Some(shards) => {
                let accepted = format!("give 1 to {MOST_SHARDS}");
                return Err(Error::invalid_argument("shards", shards, &accepted));
            }
        };
        Ok(KeyedGroup::with(shards, self.repanic))
    }
}

pub(super) fn default_shards() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (16 * processors).next_power_of_two().min(MOST_SHARDS)
}

impl<G> fmt::Debug for GroupBuilder<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("shards", &self.shards)
            .field("repanic", &self.repanic)
            .finish_non_exhaustive()
    }
}
