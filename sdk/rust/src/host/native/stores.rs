//! Stands in for the host's stores in a native build: in memory, one for each test's context.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::SystemTime;

use super::ask;
use crate::StoreError;

/// Names listed at once, as by a host.
const PAGE: usize = 256;

/// What a test's plugins keep.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    /// Of the last write.
    revision: u64,
    values: BTreeMap<(String, String), Kept>,
    objects: BTreeMap<(String, String), Kept>,
    containers: Vec<String>,
}

#[derive(Debug, Clone)]
struct Kept {
    revision: u64,
    written_at: SystemTime,
    content: Vec<u8>,
}

type Shared = Rc<RefCell<Stores>>;

impl Stores {
    fn keep(&mut self, content: &[u8]) -> Kept {
        self.revision += 1;
        Kept { revision: self.revision, written_at: SystemTime::now(), content: content.to_vec() }
    }
}

/// The names under `first`, in the order in which they were last written.
fn names<'a>(kept: &'a BTreeMap<(String, String), Kept>, first: &str) -> Vec<(u64, &'a str)> {
    let within = kept.iter().filter(|((name, _), _)| name == first);
    let mut names: Vec<_> = within.map(|((_, name), kept)| (kept.revision, name.as_str())).collect();
    names.sort_unstable();
    names
}

fn checked(what: &str, text: &str, most: usize) -> Result<String, StoreError> {
    if text.len() > most {
        return Err(StoreError::read(&format!("too-long: a {what} of {} bytes is too long", text.len())));
    }
    Ok(text.to_owned())
}

fn denied(grant: &str) -> StoreError {
    StoreError::read(&format!(
        "denied: the queue has no grant `{grant}`; an operator gives it by `{grant} = true` under [queue.grants]"
    ))
}

/// A bucket of the test's.
#[derive(Debug)]
pub(crate) struct Bucket {
    stores: Shared,
    name: String,
}

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, StoreError> {
        let name = checked("name", name, 64)?;
        ask(|context| {
            if !context.kv {
                return Err(denied("kv"));
            }
            Ok(Self { stores: context.stores.clone(), name })
        })
    }

    fn place(&self, key: &str) -> Result<(String, String), StoreError> {
        Ok((self.name.clone(), checked("key", key, 512)?))
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.stores.borrow().values.get(&self.place(key)?).map(|kept| kept.content.clone()))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let place = self.place(key)?;
        let mut stores = self.stores.borrow_mut();
        let kept = stores.keep(value);
        stores.values.insert(place, kept);
        Ok(())
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.stores.borrow_mut().values.remove(&self.place(key)?);
        Ok(())
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.get(key)?.is_some())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the host's, which can fail")]
    pub(crate) fn list_keys(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), StoreError> {
        let stores = self.stores.borrow();
        let mut names = names(&stores.values, &self.name);
        names.retain(|(revision, _)| *revision > cursor.unwrap_or(0));
        let next = names.get(PAGE - 1).filter(|_| names.len() > PAGE).map(|(revision, _)| *revision);
        Ok((names.into_iter().take(PAGE).map(|(_, name)| name.to_owned()).collect(), next))
    }

    pub(crate) fn increment(&self, key: &str, delta: u64) -> Result<u64, StoreError> {
        let current = match self.get(key)? {
            None => 0,
            Some(value) => String::from_utf8_lossy(&value)
                .parse::<u64>()
                .map_err(|_| StoreError::read("not-a-number: the value is no number"))?,
        };
        let sum =
            current.checked_add(delta).ok_or_else(|| StoreError::read("overflow: the sum is too large"))?;
        self.set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }

    pub(crate) fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    pub(crate) fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), StoreError> {
        values.iter().try_for_each(|(key, value)| self.set(key, value))
    }

    pub(crate) fn delete_many(&self, keys: &[&str]) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| self.delete(key))
    }
}

/// A container of the test's.
#[derive(Debug)]
pub(crate) struct Container {
    stores: Shared,
    name: String,
}

/// An object on its way in.
#[derive(Debug)]
pub(crate) struct Writer {
    stores: Shared,
    place: (String, String),
    content: Vec<u8>,
}

/// An object on its way out.
#[derive(Debug)]
pub(crate) struct Reader(std::io::Cursor<Vec<u8>>);

fn shared() -> Result<Shared, StoreError> {
    ask(|context| if context.blobs { Ok(context.stores.clone()) } else { Err(denied("blobs")) })
}

impl Container {
    pub(crate) fn create(name: &str) -> Result<Self, StoreError> {
        let (stores, name) = (shared()?, checked("name", name, 64)?);
        if !stores.borrow().containers.contains(&name) {
            stores.borrow_mut().containers.push(name.clone());
        }
        Ok(Self { stores, name })
    }

    pub(crate) fn get(name: &str) -> Result<Self, StoreError> {
        let (stores, name) = (shared()?, checked("name", name, 64)?);
        if stores.borrow().containers.contains(&name) {
            return Ok(Self { stores, name });
        }
        Err(StoreError::read("not-found: there is no such container"))
    }

    pub(crate) fn remove(name: &str) -> Result<(), StoreError> {
        let stores = shared()?;
        let mut stores = stores.borrow_mut();
        stores.objects.retain(|(container, _), _| container != name);
        stores.containers.retain(|container| container != name);
        Ok(())
    }

    fn place(&self, object: &str) -> Result<(String, String), StoreError> {
        Ok((self.name.clone(), checked("key", object, 512)?))
    }

    pub(crate) fn reader(&self, object: &str, start: u64, end: u64) -> Result<Reader, StoreError> {
        if start > end {
            return Err(StoreError::read("bad-range: the range ends before it begins"));
        }
        let stores = self.stores.borrow();
        let missing = || StoreError::read("not-found: there is no such object");
        let content = &stores.objects.get(&self.place(object)?).ok_or_else(missing)?.content;
        let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(content.len());
        Ok(Reader(std::io::Cursor::new(content[at(start)..at(end.saturating_add(1))].to_vec())))
    }

    pub(crate) fn writer(&self, object: &str) -> Result<Writer, StoreError> {
        Ok(Writer { stores: self.stores.clone(), place: self.place(object)?, content: Vec::new() })
    }

    pub(crate) fn info(&self, object: &str) -> Result<Option<(u64, u64)>, StoreError> {
        let stores = self.stores.borrow();
        let found = stores.objects.get(&self.place(object)?);
        Ok(found.map(|kept| {
            let written_at = kept.written_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (kept.content.len() as u64, written_at.as_secs())
        }))
    }

    pub(crate) fn delete(&self, object: &str) -> Result<(), StoreError> {
        self.stores.borrow_mut().objects.remove(&self.place(object)?);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "a host may not answer")]
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        let stores = self.stores.borrow();
        Ok(names(&stores.objects, &self.name).into_iter().map(|(_, name)| name.to_owned()).collect())
    }
}

impl Writer {
    #[expect(clippy::unnecessary_wraps, reason = "a host may take no more")]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, StoreError> {
        self.content.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[expect(clippy::unnecessary_wraps, reason = "a host's store may be full")]
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let mut stores = self.stores.borrow_mut();
        let kept = stores.keep(&self.content);
        stores.objects.insert(self.place, kept);
        Ok(())
    }
}

impl Reader {
    pub(crate) fn size(&self) -> u64 {
        self.0.get_ref().len() as u64
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::io::Read::read(&mut self.0, buffer)
    }
}
