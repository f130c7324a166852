//! The settings of groups.

use std::fmt;
use std::marker::PhantomData;

use super::drive::ErrorStyle;

/// Builds a [`Group`](super::Group) or a [`KeyedGroup`](super::KeyedGroup).
///
/// ```
/// use docache::KeyedGroup;
/// let group: KeyedGroup<str, usize> = KeyedGroup::builder().shards(64).repanic(true).build()?;
/// assert_eq!(*group.run("key", || 1), 1);
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct GroupBuilder<G, K: ?Sized = ()> {
    pub(super) shards: Option<usize>,
    pub(super) error_style: ErrorStyle<K>,
    _group: PhantomData<fn() -> G>,
}

impl<G, K: ?Sized> GroupBuilder<G, K> {
    pub(super) fn new() -> Self {
        GroupBuilder { shards: None, error_style: ErrorStyle::DEFAULT, _group: PhantomData }
    }

    /// Whether callers that joined a run that panicked are to panic as well, with the same message,
    /// also in the `try_` forms. Default: those get
    /// [`FlightError::Panicked`](super::FlightError::Panicked). (Calls that cannot fail, such as
    /// [`KeyedGroup::run`](super::KeyedGroup::run), panic in any case.)
    ///
    /// ```
    /// use docache::Group;
    /// let group: Group<u8> = Group::builder().repanic(true).build();
    /// assert_eq!(*group.run(|| 1), 1);
    /// ```
    pub fn repanic(mut self, repanic: bool) -> Self {
        self.error_style.repanic = repanic;
        self
    }
}

impl<G, K: ?Sized> fmt::Debug for GroupBuilder<G, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("shards", &self.shards)
            .field("repanic", &self.error_style.repanic)
            .finish_non_exhaustive()
    }
}
