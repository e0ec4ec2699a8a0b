//! The schedules of all tenants: one record for each, in a bucket that only hosts and operators write.

use std::time::SystemTime;

use bytes::Bytes;
use saggar_model::{Schedule, ScheduleName, TenantName, TenantRecord};

use crate::api::RequestError;
use crate::bucket::{Bucket, Entry, Expected};
use crate::layout::SCHEDULES_BUCKET;
use crate::{Fault, Nats};

/// The schedules in this NATS.
#[derive(Debug, Clone)]
pub struct Schedules {
    bucket: Bucket,
}

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchedule {
    /// Whose it is.
    pub tenant: TenantName,
    /// The schedule.
    pub schedule: Schedule,
    /// Its revision, for changing it.
    pub revision: u64,
}

/// Why a schedule could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchedulesError {
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Somebody else has changed it meanwhile, or there is one of that name.
    #[error(
        "schedule {name} of tenant {tenant} is not as it was expected to be: another has changed it, or it exists"
    )]
    Conflict {
        /// The tenant.
        tenant: TenantName,
        /// The schedule.
        name: ScheduleName,
    },
    /// What is stored is no schedule.
    #[error("the schedule at {key} cannot be read: {reason}")]
    Unreadable {
        /// Its key, escaped.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

impl SchedulesError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::Conflict { .. } => Fault::Conflict,
            Self::Unreadable { .. } => Fault::Internal,
        }
    }
}

impl Schedules {
    /// The schedules in this NATS. [`crate::Provisioner::ensure_common`] makes their bucket.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { bucket: Bucket::new(nats, SCHEDULES_BUCKET) }
    }

    /// A schedule.
    ///
    /// # Errors
    /// NATS does not answer, or it cannot be read.
    pub async fn get(
        &self,
        tenant: &TenantName,
        name: &ScheduleName,
    ) -> Result<Option<StoredSchedule>, SchedulesError> {
        let entry = self.bucket.get("reading a schedule", &key(tenant, name)).await?;
        entry.as_ref().map(read).transpose()
    }

    /// Writes a schedule, if the stored one is as expected. The answer is the new revision.
    ///
    /// # Errors
    /// [`SchedulesError::Conflict`] if it is not.
    pub async fn put(
        &self,
        tenant: &TenantName,
        schedule: &Schedule,
        expected: Expected,
    ) -> Result<u64, SchedulesError> {
        let name = &schedule.name;
        let value = serde_json::to_vec(schedule).map_err(|error| SchedulesError::Unreadable {
            key: key(tenant, name),
            reason: error.to_string(),
        })?;
        let key = key(tenant, name);
        let put = self.bucket.put("writing a schedule", &key, Bytes::from(value), expected);
        put.await?.ok_or_else(|| conflict(tenant, name))
    }

    /// Removes a schedule if it has this revision. The tasks that it made stay.
    ///
    /// # Errors
    /// [`SchedulesError::Conflict`] if it has another.
    pub async fn remove(
        &self,
        tenant: &TenantName,
        name: &ScheduleName,
        revision: u64,
    ) -> Result<(), SchedulesError> {
        if self.bucket.remove("removing a schedule", &key(tenant, name), revision).await? {
            Ok(())
        } else {
            Err(conflict(tenant, name))
        }
    }

    /// Makes, changes and removes schedules as a tenant's record says. Those that its file never described are left
    /// alone, until their tenant goes. `stored` are those that there are, of this tenant or of all. The answer says whether anything had to be done.
    ///
    /// # Errors
    /// NATS does not answer, or somebody changed one meanwhile; it is safe to try again.
    pub async fn follow(
        &self,
        record: &TenantRecord,
        stored: &[StoredSchedule],
        now: SystemTime,
    ) -> Result<bool, SchedulesError> {
        let tenant = &record.spec.name;
        let stored: Vec<_> = stored.iter().filter(|stored| stored.tenant == *tenant).collect();
        let mut changed = false;
        for (name, spec) in &record.spec.schedules {
            let there = stored.iter().find(|stored| stored.schedule.name == *name);
            let wanted = spec.record(name, there.map(|there| &there.schedule), now);
            if there.is_none_or(|there| there.schedule != wanted) {
                let expected = there.map_or(Expected::Absent, |there| Expected::Revision(there.revision));
                self.put(tenant, &wanted, expected).await?;
                changed = true;
            }
        }
        let gone = |stored: &&&StoredSchedule| {
            let wanted = record.spec.schedules.contains_key(&stored.schedule.name);
            record.removal.tenant || (stored.schedule.from_file && !wanted)
        };
        for stored in stored.iter().filter(gone) {
            self.remove(tenant, &stored.schedule.name, stored.revision).await?;
            changed = true;
        }
        Ok(changed)
    }

    /// The schedules of a tenant, or of all, by name, and what is wrong with those that cannot be read.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn list(
        &self,
        tenant: Option<&TenantName>,
    ) -> Result<(Vec<StoredSchedule>, Vec<SchedulesError>), SchedulesError> {
        let filter = tenant.map_or_else(|| ">".to_owned(), |tenant| format!("{tenant}.*"));
        let (mut schedules, mut unreadable) = (Vec::new(), Vec::new());
        for entry in self.bucket.list("listing schedules", &filter).await? {
            match read(&entry) {
                Ok(schedule) => schedules.push(schedule),
                Err(error) => unreadable.push(error),
            }
        }
        schedules.sort_by(|a, b| (&a.tenant, &a.schedule.name).cmp(&(&b.tenant, &b.schedule.name)));
        Ok((schedules, unreadable))
    }
}

fn key(tenant: &TenantName, name: &ScheduleName) -> String {
    format!("{tenant}.{name}")
}

fn conflict(tenant: &TenantName, name: &ScheduleName) -> SchedulesError {
    SchedulesError::Conflict { tenant: tenant.clone(), name: name.clone() }
}

fn read(entry: &Entry) -> Result<StoredSchedule, SchedulesError> {
    let unreadable = |reason: String| SchedulesError::Unreadable {
        key: saggar_model::escape_and_cut(&entry.key, 128),
        reason,
    };
    let schedule: Schedule =
        serde_json::from_slice(&entry.value).map_err(|error| unreadable(error.to_string()))?;
    let tenant = entry.key.split_once('.').filter(|(_, name)| *name == schedule.name.as_str());
    let tenant = tenant.and_then(|(tenant, _)| tenant.parse().ok());
    let tenant = tenant.ok_or_else(|| unreadable(format!("it names schedule {}", schedule.name)))?;
    Ok(StoredSchedule { tenant, schedule, revision: entry.revision })
}
