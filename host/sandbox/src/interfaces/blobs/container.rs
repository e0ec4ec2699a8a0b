//! `wasi:blobstore/container`: the objects of one container, and their names.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::{StreamExt as _, TryStreamExt as _};
use saggar_model::{StoreError, StoreKey, StoreName};
use wasmtime::component::Resource;

use super::bindings::wasi::blobstore::container::{Host, HostContainer, HostStreamObjectNames};
use super::bindings::wasi::blobstore::types::{ContainerMetadata, ObjectMetadata};
use super::body::Permit;
use super::incoming::IncomingValue;
use super::outgoing::OutgoingValue;
use super::{Answer, text};
use crate::state::State;
use crate::storage::Blobs;

/// Objects removed by one call at most, as with the keys of a batch.
const NAMES_MAX: usize = 1000;

/// Requests of one call on their way at once, as with the keys of a batch.
const AT_ONCE: usize = 8;

/// Requests that removing all objects may take for each of which the guest is charged beforehand: nobody knows how
/// many there are.
const CLEARING: usize = 256;

/// An open container.
#[derive(Clone)]
pub struct Container {
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) name: StoreName,
}

/// Names of objects, some of them fetched.
pub struct Names {
    container: Container,
    fetched: VecDeque<String>,
    /// Where the rest begins, if there is any.
    next: Option<u64>,
    _permit: Permit,
}

impl Names {
    /// Takes up to `most` names of those that are fetched, and fetches some if there are none.
    async fn take(&mut self, most: u64) -> Answer<(Vec<String>, bool)> {
        if self.fetched.is_empty()
            && most > 0
            && let Some(after) = self.next
        {
            let page = self.container.blobs.names(&self.container.name, after).await.map_err(text)?;
            self.next = page.next;
            self.fetched = page.names.into();
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.fetched.len());
        let names = self.fetched.drain(..most).collect();
        Ok((names, self.fetched.is_empty() && self.next.is_none()))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl State {
    fn container(&mut self, container: &Resource<Container>) -> wasmtime::Result<Container> {
        self.charges.call();
        self.charges.requests(1);
        Ok(self.table.get(container)?.clone())
    }

    /// A call about one object.
    fn about_object(
        &mut self,
        container: &Resource<Container>,
        object: &str,
    ) -> wasmtime::Result<Answer<(Container, StoreKey)>> {
        let container = self.container(container)?;
        self.charges.bytes(object.len());
        Ok(StoreKey::new(object).map_err(text).map(|object| (container, object)))
    }

    async fn take_names(
        &mut self,
        names: &Resource<Names>,
        most: u64,
    ) -> wasmtime::Result<Answer<(Vec<String>, bool)>> {
        self.charges.call();
        self.charges.requests(1);
        let taken = self.table.get_mut(names)?.take(most).await;
        if let Ok((names, _)) = &taken {
            self.charges.bytes(names.iter().map(String::len).sum());
        }
        Ok(taken)
    }
}

impl Host for State {}

impl HostContainer for State {
    async fn name(&mut self, container: Resource<Container>) -> wasmtime::Result<Answer<String>> {
        self.charges.call();
        Ok(Ok(self.table.get(&container)?.name.as_str().to_owned()))
    }

    async fn info(&mut self, container: Resource<Container>) -> wasmtime::Result<Answer<ContainerMetadata>> {
        let Container { blobs, name } = self.container(&container)?;
        Ok(match blobs.container(&name).await {
            Ok(Some(facts)) => {
                let created_at = seconds(facts.created_at);
                Ok(ContainerMetadata { name: name.as_str().to_owned(), created_at })
            }
            Ok(None) => Err(text(StoreError::NotFound("container"))),
            Err(error) => Err(text(error)),
        })
    }

    async fn get_data(
        &mut self,
        container: Resource<Container>,
        object: String,
        start: u64,
        end: u64,
    ) -> wasmtime::Result<Answer<Resource<IncomingValue>>> {
        let (container, object) = match self.about_object(&container, &object)? {
            Ok(about) => about,
            Err(error) => return Ok(Err(error)),
        };
        let opened = async {
            let permit = self.bodies.open()?;
            let facts = container.blobs.object(&container.name, &object).await?;
            let before = start.min(facts.map_or(0, |facts| facts.size));
            // What comes before is read as well.
            if !self.charges.may_afford(before) {
                return Err(StoreError::Misused("there is not enough fuel left to read as far as that"));
            }
            let download = container.blobs.download(&container.name, &object, start, end).await?;
            Ok((IncomingValue { download, permit }, before))
        };
        Ok(match opened.await {
            Ok((value, before)) => {
                self.charges.many_bytes(before);
                Ok(self.table.push(value)?)
            }
            Err(error) => Err(text(error)),
        })
    }

    async fn write_data(
        &mut self,
        container: Resource<Container>,
        object: String,
        data: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Answer<()>> {
        Ok(match self.about_object(&container, &object)? {
            Ok((container, object)) => self.table.get_mut(&data)?.becomes(container, object).map_err(text),
            Err(error) => Err(error),
        })
    }

    async fn list_objects(
        &mut self,
        container: Resource<Container>,
    ) -> wasmtime::Result<Answer<Resource<Names>>> {
        let container = self.container(&container)?;
        let permit = match self.bodies.open() {
            Ok(permit) => permit,
            Err(error) => return Ok(Err(text(error))),
        };
        let names = Names { container, fetched: VecDeque::new(), next: Some(0), _permit: permit };
        Ok(Ok(self.table.push(names)?))
    }

    async fn delete_object(
        &mut self,
        container: Resource<Container>,
        object: String,
    ) -> wasmtime::Result<Answer<()>> {
        Ok(match self.about_object(&container, &object)? {
            Ok((container, object)) => container.blobs.delete(&container.name, &object).await.map_err(text),
            Err(error) => Err(error),
        })
    }

    async fn delete_objects(
        &mut self,
        container: Resource<Container>,
        objects: Vec<String>,
    ) -> wasmtime::Result<Answer<()>> {
        let Container { blobs, name } = self.container(&container)?;
        if objects.len() > NAMES_MAX {
            let (asked, most) = (objects.len() as u64, NAMES_MAX as u64);
            return Ok(Err(text(StoreError::TooMany { what: "names", asked, most })));
        }
        self.charges.requests(objects.len());
        self.charges.bytes(objects.iter().map(String::len).sum());
        let objects: Vec<_> = match objects.iter().map(|object| StoreKey::new(object)).collect() {
            Ok(objects) => objects,
            Err(error) => return Ok(Err(text(error))),
        };
        let removing = objects.into_iter().map(|object| {
            let (blobs, name) = (blobs.clone(), name.clone());
            async move { blobs.delete(&name, &object).await }
        });
        let removed: Result<Vec<()>, _> =
            futures::stream::iter(removing).buffer_unordered(AT_ONCE).try_collect().await;
        Ok(removed.map(|_| ()).map_err(text))
    }

    async fn has_object(
        &mut self,
        container: Resource<Container>,
        object: String,
    ) -> wasmtime::Result<Answer<bool>> {
        Ok(match self.about_object(&container, &object)? {
            Ok((container, object)) => container
                .blobs
                .object(&container.name, &object)
                .await
                .map(|facts| facts.is_some())
                .map_err(text),
            Err(error) => Err(error),
        })
    }

    async fn object_info(
        &mut self,
        container: Resource<Container>,
        object: String,
    ) -> wasmtime::Result<Answer<ObjectMetadata>> {
        let (container, object) = match self.about_object(&container, &object)? {
            Ok(about) => about,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match container.blobs.object(&container.name, &object).await {
            Ok(Some(facts)) => Ok(ObjectMetadata {
                name: object.as_str().to_owned(),
                container: container.name.as_str().to_owned(),
                created_at: seconds(facts.created_at),
                size: facts.size,
            }),
            Ok(None) => Err(text(StoreError::NotFound("object"))),
            Err(error) => Err(text(error)),
        })
    }

    async fn clear(&mut self, container: Resource<Container>) -> wasmtime::Result<Answer<()>> {
        let Container { blobs, name } = self.container(&container)?;
        self.charges.requests(CLEARING);
        Ok(blobs.clear_container(&name).await.map_err(text))
    }

    async fn drop(&mut self, container: Resource<Container>) -> wasmtime::Result<()> {
        self.charges.call();
        self.table.delete(container)?;
        Ok(())
    }
}

impl HostStreamObjectNames for State {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<Names>,
        len: u64,
    ) -> wasmtime::Result<Answer<(Vec<String>, bool)>> {
        self.take_names(&names, len).await
    }

    async fn skip_stream_object_names(
        &mut self,
        names: Resource<Names>,
        num: u64,
    ) -> wasmtime::Result<Answer<(u64, bool)>> {
        let taken = self.take_names(&names, num).await?;
        Ok(taken.map(|(names, last)| (names.len() as u64, last)))
    }

    async fn drop(&mut self, names: Resource<Names>) -> wasmtime::Result<()> {
        self.charges.call();
        self.table.delete(names)?;
        Ok(())
    }
}
