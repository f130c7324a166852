//! Methods of stores that all make their calls in the same way. (Stores whose calls are each
//! something of their own write the signatures out, as a user's store does.)

/// Writes methods of a `Store`, an `AsyncStore` or a `Calls`, all seven or those that are named:
/// each is a call of a macro, which is given what stands in brackets behind its name, `self`, the
/// method for threads and the one for tasks, and the arguments. With `by call![to]`:
/// `call!([to] self.renew / renew_async(key, lock; within))`.
///
/// That the futures are `Send` is said, not seen: a store may be made of stores that are made of
/// stores.
///
/// The types of the signatures are to be in scope: tests use this file too.
macro_rules! store_methods {
    (@get $kind:tt $value:ty) => {
        store_methods! { @write $kind #[inline]
            get / get_async(key: &str) -> Option<Found<$value>> }
    };
    (@begin_refresh $kind:tt $value:ty) => {
        store_methods! { @write $kind
            begin_refresh / begin_refresh_async(key: &str, lock: &RefreshLock) -> Begun<$value> }
    };
    (@renew $kind:tt $value:ty) => {
        store_methods! { @write $kind renew / renew_async(key: &str, lock: &RefreshLock) -> bool }
    };
    (@finish_refresh $kind:tt $value:ty) => {
        store_methods! { @write $kind finish_refresh / finish_refresh_async(
            key: &str, value: &$value, life: Life, lock: &RefreshLock
        ) -> Written }
    };
    (@abandon_refresh $kind:tt $value:ty) => {
        store_methods! { @write $kind
            abandon_refresh / abandon_refresh_async(key: &str, lock: &RefreshLock) -> () }
    };
    (@put $kind:tt $value:ty) => {
        store_methods! { @write $kind put / put_async(key: &str, value: &$value, life: Life) -> () }
    };
    (@remove $kind:tt $value:ty) => {
        store_methods! { @write $kind remove / remove_async(key: &str) -> () }
    };
    (@write [Store $call:ident $to:tt] $(#[$attribute:meta])?
        $method:ident / $async:ident($($argument:ident: $type:ty),+) -> $result:ty) => {
        $(#[$attribute])?
        fn $method(
            &self,
            $($argument: $type,)+
            within: &Within<'_>,
        ) -> Result<$result, StoreError> {
            $call!($to self.$method / $async($($argument),+; within))
        }
    };
    (@write [AsyncStore $call:ident $to:tt] $(#[$attribute:meta])?
        $method:ident / $async:ident($($argument:ident: $type:ty),+) -> $result:ty) => {
        fn $async(
            &self,
            $($argument: $type,)+
            within: &Within<'_>,
        ) -> impl Future<Output = Result<$result, StoreError>> + Send {
            $call!($to self.$method / $async($($argument),+; within))
        }
    };
    (@write [Calls $call:ident $to:tt] $(#[$attribute:meta])?
        $method:ident / $async:ident($($argument:ident: $type:ty),+) -> $result:ty) => {
        fn $method(
            &self,
            $($argument: $type,)+
            within: &Within<'_>,
        ) -> impl Future<Output = Result<$result, StoreError>> + Send {
            $call!($to self.$method / $async($($argument),+; within))
        }
    };
    ($kind:ident<$value:ty> by $call:ident!$to:tt) => {
        store_methods! { $kind<$value> by $call!$to:
            get begin_refresh renew finish_refresh abandon_refresh put remove }
    };
    ($kind:ident<$value:ty> by $call:ident!$to:tt: $($method:ident)+) => {
        $(store_methods! { @$method [$kind $call $to] $value })+
    };
}

pub(crate) use store_methods;
