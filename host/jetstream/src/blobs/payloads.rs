//! Payloads of tasks and results that are too large for a message: objects of a store that only hosts read and write,
//! so that no plugin can name them, whatever it is granted.
//!
//! A task's input goes with its success. Until then it is kept as long as something names it; see `payload_sweep`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use saggar_model::{PAYLOAD_GRACE, PayloadName, StoreError, TaskRef, TenantName, header_name};

use super::meta::{Meta, Place};
use super::{Blobs, Download};
use crate::api::{RequestError, code};
use crate::stores::within;
use crate::{Nats, layout};

/// What the object of an output says about whose it is.
pub(super) const OWNER: &str = "saggar-task";

/// The large payloads of a tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Payloads(pub(super) Blobs);

impl Payloads {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self(blobs)
    }

    /// Opens a payload for reading. Its digest is checked at the end.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the store does not answer in time.
    pub async fn open(&self, name: &PayloadName) -> Result<Download, StoreError> {
        self.0.open(&self.place(name), 0, u64::MAX).await
    }

    /// Stores the output of a task, for as long as its result is kept and a while longer. Can be repeated.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the quota has no room for it; the store does not answer in time.
    pub async fn store_output(
        &self,
        name: &PayloadName,
        owner: &TaskRef,
        results_ttl: Duration,
        content: Bytes,
    ) -> Result<(), StoreError> {
        // The result is stored after it, and must not outlive it.
        let mut upload = self.0.upload_for(results_ttl + PAYLOAD_GRACE);
        upload.write(content).await?;
        upload.finish_at(self.place(name), BTreeMap::from([(OWNER.to_owned(), owner.to_string())])).await
    }

    /// Removes a payload, whole or not yet, if it is there.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn remove(&self, name: &PayloadName) -> Result<(), StoreError> {
        within(async {
            self.0.remove(&self.place(name)).await?;
            // The parts of one that was not finished lie under its own name.
            if name.is_input() { self.0.purge(&name.to_string()).await } else { Ok(()) }
        })
        .await
    }

    /// An object of this store is called what its payload is, so that any client of object stores finds it.
    pub(super) fn place(&self, name: &PayloadName) -> Place {
        Place::new(&self.0.name, name.to_string())
    }
}

/// Makes the payload that these headers name, if any, look as new as one that was just put: its task is about to move
/// from one stream to another, and whoever looks through the streams meanwhile may miss it in both.
///
/// # Errors
/// NATS refuses or does not answer. In a store that is full nothing can be renewed, and nothing is said.
pub(crate) async fn renew_payload<'a>(
    nats: &Nats,
    tenant: &TenantName,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), RequestError> {
    const DOING: &str = "renewing a payload";
    let Some(name) = named(headers).find(PayloadName::is_input) else { return Ok(()) };
    let store = layout::payloads_name(tenant);
    let place = Place::new(&store, name.to_string());
    let Some(found) = nats.last_at_leader(DOING, &format!("OBJ_{store}"), &place.subject).await? else {
        return Ok(());
    };
    let headers = Meta::headers(found.sequence, None);
    match nats.store(DOING, place.subject, Some(headers), found.payload).await {
        Err(error) if error.is_wrong_sequence() || error.code() == Some(code::STREAM_FULL) => Ok(()),
        renewed => renewed.map(|_| ()),
    }
}

/// The payloads that the headers of a message name.
pub(super) fn named<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = PayloadName> {
    headers
        .into_iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(header_name::PAYLOAD))
        .filter_map(|(_, value)| PayloadName::from_header(value).ok())
}
