//! The tenants' records: what operators want, and what every host works by.

use bytes::Bytes;
use saggar_model::{TenantName, TenantRecord};

use crate::api::RequestError;
use crate::bucket::{Bucket, Entry, Expected};
use crate::{Fault, Nats, layout, task_max_bytes};

/// How often a change is tried again that somebody else was faster with.
const TRIES: usize = 5;

/// The records of all tenants.
#[derive(Debug, Clone)]
pub struct Tenants {
    pub(crate) bucket: Bucket,
}

/// A tenant's record as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantEntry {
    /// The record.
    pub record: TenantRecord,
    /// Its revision, for changing it.
    pub revision: u64,
}

/// Why a record could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantsError {
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It would not fit into a message. Nothing was sent.
    #[error(
        "the record of tenant {tenant} would have {size} bytes, and a message of this NATS may have {max}: shorten \
         payloads of schedules or values of `grants.config`, or raise `max_payload` of nats-server"
    )]
    TooLarge {
        /// The tenant.
        tenant: TenantName,
        /// Its size.
        size: usize,
        /// The most it may have.
        max: usize,
    },
    /// Somebody else changed the record meanwhile.
    #[error("tenant {tenant} was changed by someone else meanwhile; look at it again, then repeat")]
    Conflict {
        /// The tenant.
        tenant: TenantName,
    },
    /// What is stored is no record this program understands.
    #[error("the record of tenant {tenant} cannot be read: {reason}; was it written by a newer saggar?")]
    Unreadable {
        /// The key, which may be no tenant's name.
        tenant: String,
        /// Its revision.
        revision: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl TenantsError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::TooLarge { .. } => Fault::Invalid,
            Self::Conflict { .. } => Fault::Conflict,
            Self::Unreadable { .. } => Fault::Internal,
        }
    }
}

impl Tenants {
    /// The records in this NATS. [`crate::Provisioner::ensure_common`] makes their bucket.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { bucket: Bucket::new(nats, layout::TENANTS_BUCKET) }
    }

    /// A tenant's record.
    ///
    /// # Errors
    /// NATS does not answer, or the record cannot be read.
    pub async fn get(&self, tenant: &TenantName) -> Result<Option<TenantEntry>, TenantsError> {
        let entry = self.bucket.get("reading a tenant", tenant.as_str()).await?;
        entry.as_ref().map(read).transpose()
    }

    /// Writes a tenant's record, if the stored one is as expected. The answer is the new revision.
    ///
    /// # Errors
    /// [`TenantsError::Conflict`] if it is not, also when an earlier try that timed out had succeeded.
    pub async fn put(&self, record: &TenantRecord, expected: Expected) -> Result<u64, TenantsError> {
        let tenant = &record.spec.name;
        let value = serde_json::to_vec(record).map_err(|error| TenantsError::Unreadable {
            tenant: tenant.to_string(),
            revision: 0,
            reason: error.to_string(),
        })?;
        // A message that is too large would cost the connection.
        let max = task_max_bytes(self.bucket.nats().max_payload());
        if value.len() > max {
            return Err(TenantsError::TooLarge { tenant: tenant.clone(), size: value.len(), max });
        }
        self.bucket
            .put("writing a tenant", tenant.as_str(), Bytes::from(value), expected)
            .await?
            .ok_or_else(|| TenantsError::Conflict { tenant: tenant.clone() })
    }

    /// Changes a tenant's record, again if somebody else was faster. The answer is the record as it was written, with what
    /// `change` had to say; nothing if there is no such tenant.
    ///
    /// # Errors
    /// NATS does not answer, the record cannot be read, or it keeps being changed. A refusal of `change` is an `Ok`: it
    /// is `change` that knows what it means, and nothing was written then.
    pub async fn change<T, E>(
        &self,
        tenant: &TenantName,
        mut change: impl FnMut(&mut TenantRecord) -> Result<T, E>,
    ) -> Result<Option<Result<(TenantEntry, T), E>>, TenantsError> {
        for _ in 0..TRIES {
            let Some(TenantEntry { mut record, revision }) = self.get(tenant).await? else { return Ok(None) };
            let before = record.clone();
            let said = match change(&mut record) {
                Ok(said) => said,
                Err(refusal) => return Ok(Some(Err(refusal))),
            };
            if record == before {
                return Ok(Some(Ok((TenantEntry { record, revision }, said))));
            }
            match self.put(&record, Expected::Revision(revision)).await {
                Ok(revision) => return Ok(Some(Ok((TenantEntry { record, revision }, said)))),
                Err(TenantsError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TenantsError::Conflict { tenant: tenant.clone() })
    }

    /// Removes a tenant's record if it has this revision. Its streams stay.
    ///
    /// # Errors
    /// [`TenantsError::Conflict`] if it has another.
    pub async fn remove(&self, tenant: &TenantName, revision: u64) -> Result<(), TenantsError> {
        if self.bucket.remove("removing a tenant", tenant.as_str(), revision).await? {
            Ok(())
        } else {
            Err(TenantsError::Conflict { tenant: tenant.clone() })
        }
    }

    /// All records, by name.
    ///
    /// # Errors
    /// NATS does not answer, or one of the records cannot be read.
    pub async fn list(&self) -> Result<Vec<TenantEntry>, TenantsError> {
        let (mut entries, unreadable) = self.snapshot().await?;
        if let Some(error) = unreadable.into_iter().next() {
            return Err(error);
        }
        entries.sort_by(|a, b| a.record.spec.name.cmp(&b.record.spec.name));
        Ok(entries)
    }

    /// All records that can be read, and what is wrong with the others: one bad record must not stop a host from
    /// serving the rest. To be taken now and then, should [`Tenants::watch`] have missed something.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn snapshot(&self) -> Result<(Vec<TenantEntry>, Vec<TenantsError>), TenantsError> {
        let mut entries = Vec::new();
        let mut unreadable = Vec::new();
        for entry in self.bucket.list("listing the tenants", ">").await? {
            match read(&entry) {
                Ok(entry) => entries.push(entry),
                Err(error) => unreadable.push(error),
            }
        }
        Ok((entries, unreadable))
    }
}

pub(crate) fn read(entry: &Entry) -> Result<TenantEntry, TenantsError> {
    let unreadable = |reason: String| TenantsError::Unreadable {
        tenant: saggar_model::escape_and_cut(&entry.key, 64),
        revision: entry.revision,
        reason,
    };
    let record: TenantRecord =
        serde_json::from_slice(&entry.value).map_err(|error| unreadable(error.to_string()))?;
    if record.spec.name.as_str() != entry.key {
        return Err(unreadable(format!("it names tenant {}", record.spec.name)));
    }
    Ok(TenantEntry { record, revision: entry.revision })
}
