//! Stores around other stores: what they do is written once, over [`Calls`](super::Calls), and is
//! for threads where the stores inside are, and for tasks likewise.

use crate::clock::SystemClock;
use crate::wait::block_on;

/// Drives the future of a blocking store's call.
pub(super) fn drive<F: Future>(call: F) -> F::Output {
    match block_on(call, &SystemClock, None) {
        Some(called) => called,
        None => unreachable!("there is no deadline"),
    }
}

/// Makes a type a [`Store`](super::Store) where its parts are, and an
/// [`AsyncStore`](super::AsyncStore) likewise. It has a method `layer` that makes the calls of it
/// out of those of its parts, each of which is named as its field; and a method `at_once` for
/// [`get_now`](super::Store::get_now).
macro_rules! layer {
    ($store:ident<$($part:ident: $field:ident),+>) => {
        impl<T, $($part),+> super::Store<T> for $store<$($part),+>
        where
            T: Clone + Send + Sync + 'static,
            $($part: super::Store<T>,)+
        {
            fn canonical<'k>(&self, key: &'k str) -> &'k str {
                let layer = self.layer($(Threads(&self.$field)),+);
                Calls::<T>::canonical(&layer, key)
            }

            #[inline(always)]
            fn get_now(&self, key: &str, aged: bool) -> Option<super::Found<T>> {
                self.at_once(key, aged)
            }

            fn get(
                &self,
                key: &str,
                within: &super::Within<'_>,
            ) -> Result<Option<super::Found<T>>, crate::echo::StoreError> {
                drive(self.layer($(Threads(&self.$field)),+).get(key, within))
            }

            fn begin_refresh(
                &self,
                key: &str,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<super::Begun<T>, crate::echo::StoreError> {
                drive(self.layer($(Threads(&self.$field)),+).begin_refresh(key, lock, within))
            }

            fn renew(
                &self,
                key: &str,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<bool, crate::echo::StoreError> {
                let layer = self.layer($(Threads(&self.$field)),+);
                drive(Calls::<T>::renew(&layer, key, lock, within))
            }

            fn finish_refresh(
                &self,
                key: &str,
                value: &T,
                life: super::Life,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<super::Written, crate::echo::StoreError> {
                let layer = self.layer($(Threads(&self.$field)),+);
                drive(layer.finish_refresh(key, (value, life), lock, within))
            }

            fn abandon_refresh(
                &self,
                key: &str,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<(), crate::echo::StoreError> {
                let layer = self.layer($(Threads(&self.$field)),+);
                drive(Calls::<T>::abandon_refresh(&layer, key, lock, within))
            }

            fn put(
                &self,
                key: &str,
                value: &T,
                life: super::Life,
                within: &super::Within<'_>,
            ) -> Result<(), crate::echo::StoreError> {
                drive(self.layer($(Threads(&self.$field)),+).put(key, (value, life), within))
            }

            fn remove(
                &self,
                key: &str,
                within: &super::Within<'_>,
            ) -> Result<(), crate::echo::StoreError> {
                let layer = self.layer($(Threads(&self.$field)),+);
                drive(Calls::<T>::remove(&layer, key, within))
            }
        }

        impl<T, $($part),+> super::AsyncStore<T> for $store<$($part),+>
        where
            T: Clone + Send + Sync + 'static,
            $($part: super::AsyncStore<T>,)+
        {
            fn canonical<'k>(&self, key: &'k str) -> &'k str {
                let layer = self.layer($(Tasks(&self.$field)),+);
                Calls::<T>::canonical(&layer, key)
            }

            async fn get_async(
                &self,
                key: &str,
                within: &super::Within<'_>,
            ) -> Result<Option<super::Found<T>>, crate::echo::StoreError> {
                self.layer($(Tasks(&self.$field)),+).get(key, within).await
            }

            async fn begin_refresh_async(
                &self,
                key: &str,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<super::Begun<T>, crate::echo::StoreError> {
                self.layer($(Tasks(&self.$field)),+).begin_refresh(key, lock, within).await
            }

            async fn renew_async(
                &self,
                key: &str,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<bool, crate::echo::StoreError> {
                let layer = self.layer($(Tasks(&self.$field)),+);
                Calls::<T>::renew(&layer, key, lock, within).await
            }

            async fn finish_refresh_async(
                &self,
                key: &str,
                value: &T,
                life: super::Life,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<super::Written, crate::echo::StoreError> {
                let layer = self.layer($(Tasks(&self.$field)),+);
                layer.finish_refresh(key, (value, life), lock, within).await
            }

            async fn abandon_refresh_async(
                &self,
                key: &str,
                lock: &crate::echo::RefreshLock,
                within: &super::Within<'_>,
            ) -> Result<(), crate::echo::StoreError> {
                let layer = self.layer($(Tasks(&self.$field)),+);
                Calls::<T>::abandon_refresh(&layer, key, lock, within).await
            }

            async fn put_async(
                &self,
                key: &str,
                value: &T,
                life: super::Life,
                within: &super::Within<'_>,
            ) -> Result<(), crate::echo::StoreError> {
                self.layer($(Tasks(&self.$field)),+).put(key, (value, life), within).await
            }

            async fn remove_async(
                &self,
                key: &str,
                within: &super::Within<'_>,
            ) -> Result<(), crate::echo::StoreError> {
                let layer = self.layer($(Tasks(&self.$field)),+);
                Calls::<T>::remove(&layer, key, within).await
            }
        }
    };
}

pub(super) use layer;
