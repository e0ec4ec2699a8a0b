//! Values by key, kept between tasks: counters, caches, what was done already.
//!
//! The queue needs the grant `kv`. All queues of a tenant share its keys and their quota; no other tenant's can be
//! reached. A value that was set is what every task reads from then on, on any host.
//!
//! ```
//! use saggar_plugin::{Error, handler, kv};
//!
//! /// Greets everybody once.
//! #[handler]
//! fn greet(name: String) -> Result<String, Error> {
//!     let greeted = kv::open("greeted")?;
//!     if greeted.exists(&name)? {
//!         return Ok(String::new());
//!     }
//!     greeted.set(&name, b"")?;
//!     Ok(format!("Hello {name}, you are number {}", kv::open("counters")?.increment("greeted", 1)?))
//! }
//!
//! # use saggar_plugin::testing::Context;
//! // A test has stores of its own, empty at first and kept for as long as the context is.
//! let context = Context::new();
//! assert_eq!(context.call(greet, "Ada").unwrap().payload, b"Hello Ada, you are number 1");
//! assert_eq!(context.call(greet, "Ada").unwrap().payload, b"");
//! ```
//!
//! A task may run twice: what it sets twice is harmless, what it adds twice is not.

use crate::{StoreError, host};

/// A set of keys with a value each.
#[derive(Debug)]
pub struct Bucket(host::Bucket);

/// Opens a bucket. Any text of up to 64 bytes names one; it is there as soon as a value is set in it.
///
/// # Errors
/// [`Denied`](crate::StoreErrorKind::Denied) without the grant `kv`.
pub fn open(name: &str) -> Result<Bucket, StoreError> {
    host::Bucket::open(name).map(Bucket)
}

impl Bucket {
    /// The value of a key, if it has one.
    ///
    /// # Errors
    /// The store does not answer, or the key is longer than 512 bytes.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    /// Sets the value of a key, whether it has one or not.
    ///
    /// # Errors
    /// The quota is used up, the value is larger than a message of the server may be (1 MiB unless the operator says
    /// otherwise, less 1 KiB), or the store does not answer. A value that should be larger is an object:
    /// [`blobs`](crate::blobs).
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.set(key, value)
    }

    /// Removes a key, whether it is there or not.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key)
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.0.exists(key)
    }

    /// Adds to a number and gives the sum. A key without a value counts as 0. Of many tasks that add at once, each is
    /// counted once. The number is kept as decimal text, as which it can be read and set.
    ///
    /// # Errors
    /// The value is no number, or the store does not answer: then it may have been added or not.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, StoreError> {
        self.0.increment(key, delta)
    }

    /// The keys, in the order in which they were last set. One that is set meanwhile may come twice.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys { bucket: self, page: Vec::new().into_iter(), next: Some(None) }
    }

    /// The values of up to 1,000 keys, in their order.
    ///
    /// # Errors
    /// The store does not answer, or all values together are more than one call may bring.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.0.get_many(keys)
    }

    /// Sets the values of up to 1,000 keys. If that fails, a part of them is set.
    ///
    /// # Errors
    /// As with [`set`](Self::set).
    pub fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), StoreError> {
        self.0.set_many(values)
    }

    /// Removes up to 1,000 keys. If that fails, a part of them is removed.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn delete_many(&self, keys: &[&str]) -> Result<(), StoreError> {
        self.0.delete_many(keys)
    }
}

/// The keys of a bucket, fetched as they are needed. After an error it is over.
#[derive(Debug)]
pub struct Keys<'a> {
    bucket: &'a Bucket,
    page: std::vec::IntoIter<String>,
    /// The cursor of the next page; nothing after the last one.
    #[expect(clippy::option_option, reason = "not begun, at a place, or at the end")]
    next: Option<Option<u64>>,
}

impl Iterator for Keys<'_> {
    type Item = Result<String, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.next() {
                return Some(Ok(key));
            }
            match self.bucket.0.list_keys(self.next.take()?) {
                Ok((keys, cursor)) => {
                    self.page = keys.into_iter();
                    self.next = cursor.map(Some);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreErrorKind;
    use crate::testing::Context;

    #[test]
    fn a_bucket_keeps_what_was_set_last() {
        Context::new().run(|| {
            let bucket = open("b").unwrap();
            assert_eq!(bucket.get("a"), Ok(None));
            bucket.set("a", b"1").unwrap();
            bucket.set_many(&[("b", b"2"), ("a", b"3")]).unwrap();
            assert_eq!(
                bucket.get_many(&["a", "x", "b"]),
                Ok(vec![Some(b"3".to_vec()), None, Some(b"2".to_vec())])
            );
            assert_eq!(
                bucket.keys().collect::<Result<Vec<_>, _>>(),
                Ok(vec!["b".to_owned(), "a".to_owned()])
            );
            assert_eq!(bucket.increment("a", 4), Ok(7));
            assert_eq!(bucket.exists("a"), Ok(true));
            bucket.delete("b").unwrap();
            bucket.delete_many(&["a", "x"]).unwrap();
            assert_eq!(bucket.keys().count(), 0);
            assert_eq!(open("other").unwrap().get("a"), Ok(None));
        });
    }

    #[test]
    fn every_key_is_listed_however_many_there_are() {
        Context::new().run(|| {
            let bucket = open("b").unwrap();
            for n in 0..1000 {
                bucket.set(&n.to_string(), b"").unwrap();
            }
            let keys: Vec<_> = bucket.keys().map(Result::unwrap).collect();
            assert_eq!(keys, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_test_can_take_the_grant_away_and_sees_what_is_wrong_with_a_key() {
        Context::new().without_kv().run(|| assert_eq!(open("b").unwrap_err().kind(), StoreErrorKind::Denied));
        let bucket = open("b").unwrap();
        assert_eq!(bucket.get(&"k".repeat(5000)).unwrap_err().kind(), StoreErrorKind::TooLong);
        bucket.set("n", b"many").unwrap();
        assert_eq!(bucket.increment("n", 1).unwrap_err().kind(), StoreErrorKind::NotANumber);
    }
}
