//! The accounts of all tenants: one record for each day that is over or being added up, and one for each book that a
//! host keeps. Hosts write only.
//!
//! Every write is checked against what is stored, so that nothing is added twice by two who do not know of each other.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use saggar_model::{BookId, Day, DayTally, Page, Sequence, Subjects, TenantName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::RequestError;
use crate::direct::{Kept, PAGE};
use crate::headers::Headers;
use crate::{Fault, Nats};

/// Bytes read at once: a day of a large tenant takes half a megabyte.
const PAGE_BYTES: usize = 8 << 20;

/// The accounts in this NATS.
#[derive(Debug, Clone)]
pub struct Usages {
    pub(crate) nats: Nats,
}

/// A book as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookRecord {
    /// The host's name, for people.
    pub host: String,
    /// Its id, and those of the books that it continues.
    pub ids: Vec<BookId>,
    /// Its host has lost sight of a result, and has taken another book.
    #[serde(default)]
    pub retired: bool,
    /// What is written in it.
    pub page: Page,
}

/// A book and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBook {
    /// Whose account it is.
    pub tenant: TenantName,
    /// The book.
    pub record: BookRecord,
    /// Its revision, for changing it.
    pub revision: Sequence,
    /// When it was written.
    pub stored_at: SystemTime,
}

/// A day of an account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DayRecord {
    pub(crate) lines: DayTally,
    /// The books whose day is in it, and that may still have it themselves; with how far they went.
    pub(crate) taken: BTreeMap<BookId, Sequence>,
}

/// A day and its place.
#[derive(Debug, Clone)]
pub(crate) struct StoredDay {
    pub(crate) tenant: TenantName,
    pub(crate) day: Day,
    pub(crate) record: DayRecord,
    pub(crate) revision: Sequence,
}

/// Why an account could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// NATS refused or did not answer. What was written may have been stored.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Somebody else has written it meanwhile.
    #[error("somebody else has written {subject} meanwhile")]
    Conflict {
        /// Where it is stored.
        subject: String,
    },
    /// What is stored is no record of an account.
    #[error("what is stored on {subject} is no account: {reason}")]
    Unreadable {
        /// Where it is stored.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl UsageError {
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

impl BookRecord {
    /// Its id.
    ///
    /// # Panics
    /// Never: it is made with one, and read only if it has one.
    #[must_use]
    pub fn id(&self) -> &BookId {
        self.ids.first().expect("a book has an id")
    }
}

impl Usages {
    /// The accounts in this NATS. [`crate::Provisioner::ensure_common`] makes their stream.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// How far the results of a tenant go.
    ///
    /// # Errors
    /// NATS does not answer, or the tenant does not exist.
    pub async fn last_result(&self, tenant: &TenantName) -> Result<Sequence, UsageError> {
        let info = self.nats.stream_info(&Subjects::of(tenant).results_stream()).await?;
        Ok(info.state.last_sequence)
    }

    /// Writes a book, if what is stored has this revision; 0: nothing is. The answer is the new revision.
    ///
    /// # Errors
    /// [`UsageError::Conflict`] if it has another. After a time-out it may have been written.
    pub async fn put(
        &self,
        tenant: &TenantName,
        record: &BookRecord,
        expected: Sequence,
    ) -> Result<Sequence, UsageError> {
        let subject = Subjects::of(tenant).usage_book(record.id());
        self.write("writing a book of usage", subject, record, expected).await
    }

    /// A book as it is stored where it was written.
    ///
    /// # Errors
    /// NATS does not answer, or it cannot be read.
    pub async fn get(&self, tenant: &TenantName, id: &BookId) -> Result<Option<StoredBook>, UsageError> {
        let subject = Subjects::of(tenant).usage_book(id);
        let stream = Subjects::USAGE_STREAM;
        let Some(kept) = self.nats.last_at_leader("reading a book of usage", stream, &subject).await? else {
            return Ok(None);
        };
        let record = decoded(&subject, &kept.payload)?;
        Ok(Some(StoredBook { tenant: tenant.clone(), record, revision: kept.sequence, stored_at: kept.time }))
    }

    /// The books of a tenant, or of all; those of one process of a host, or of all. What cannot be read is left out.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn books(
        &self,
        tenant: Option<&TenantName>,
        instance: Option<&str>,
    ) -> Result<Vec<StoredBook>, UsageError> {
        let filter = Subjects::usage_books(tenant, instance);
        let mut books = Vec::new();
        self.each("listing books of usage", &filter, |kept| {
            let Some(tenant) = tenant_of(&kept.subject) else { return };
            match decoded::<BookRecord>(&kept.subject, &kept.payload) {
                Ok(record) if !record.ids.is_empty() => {
                    let (revision, stored_at) = (kept.sequence, kept.time);
                    books.push(StoredBook { tenant, record, revision, stored_at });
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a book of usage is left out"),
            }
        })
        .await?;
        // One that was written while it was being listed is found twice; the later counts.
        let mut seen = std::collections::HashSet::new();
        books.reverse();
        books.retain(|book| seen.insert((book.tenant.clone(), book.record.id().clone())));
        Ok(books)
    }

    /// Removes a book as it is stored at this revision; the answer says whether it was there.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn remove(&self, revision: Sequence) -> Result<bool, UsageError> {
        let stream = Subjects::USAGE_STREAM;
        Ok(self.nats.delete_message("removing a book of usage", stream, revision).await?)
    }

    /// A day of an account where it was written; an empty one at revision 0 if there is none.
    pub(crate) async fn day(&self, tenant: &TenantName, day: Day) -> Result<StoredDay, UsageError> {
        let subject = Subjects::of(tenant).usage_day(day);
        let doing = "reading a day of usage";
        let kept = self.nats.last_at_leader(doing, Subjects::USAGE_STREAM, &subject).await?;
        let (record, revision) = match kept {
            Some(kept) => (decoded(&subject, &kept.payload)?, kept.sequence),
            None => (DayRecord::default(), 0),
        };
        Ok(StoredDay { tenant: tenant.clone(), day, record, revision })
    }

    pub(crate) async fn put_day(&self, stored: &StoredDay) -> Result<Sequence, UsageError> {
        let subject = Subjects::of(&stored.tenant).usage_day(stored.day);
        self.write("writing a day of usage", subject, &stored.record, stored.revision).await
    }

    /// The days of a tenant, or of all, that `wanted` says.
    pub(crate) async fn days(
        &self,
        tenant: Option<&TenantName>,
        only: Option<Day>,
        wanted: impl Fn(Day) -> bool,
    ) -> Result<Vec<StoredDay>, UsageError> {
        let mut days = BTreeMap::new();
        self.each("listing days of usage", &Subjects::usage_days(tenant, only), |kept| {
            let day = kept.subject.rsplit('.').next().and_then(|day| day.parse().ok());
            let (Some(tenant), Some(day)) = (tenant_of(&kept.subject), day) else { return };
            if !wanted(day) {
                return;
            }
            match decoded(&kept.subject, &kept.payload) {
                Ok(record) => {
                    let revision = kept.sequence;
                    days.insert((tenant.clone(), day), StoredDay { tenant, day, record, revision });
                }
                Err(error) => tracing::warn!(%error, "a day of usage is left out"),
            }
        })
        .await?;
        Ok(days.into_values().collect())
    }

    async fn each(
        &self,
        doing: &'static str,
        filter: &str,
        mut take: impl FnMut(Kept),
    ) -> Result<(), UsageError> {
        let (stream, mut after) = (Subjects::USAGE_STREAM, 0);
        loop {
            let page = self.nats.scan_page(doing, stream, filter, after, PAGE, PAGE_BYTES).await;
            let (kept, more) = match page {
                // Made by the first host; where there was none, nothing was used.
                Err(error) if error.is_not_found() => return Ok(()),
                page => page?,
            };
            after = kept.last().map_or(after, |kept| kept.sequence);
            kept.into_iter().for_each(&mut take);
            if !more {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        doing: &'static str,
        subject: String,
        record: &impl Serialize,
        expected: Sequence,
    ) -> Result<Sequence, UsageError> {
        let json = serde_json::to_vec(record).map_err(|error| UsageError::Unreadable {
            subject: subject.clone(),
            reason: error.to_string(),
        })?;
        let mut headers = Headers::new();
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected);
        match self.nats.store(doing, subject.clone(), Some(headers.into_map()), json.into()).await {
            Ok(stored) => Ok(stored.sequence),
            Err(error) if error.is_wrong_sequence() => Err(UsageError::Conflict { subject }),
            Err(error) => Err(error.into()),
        }
    }
}

fn decoded<T: DeserializeOwned>(subject: &str, json: &[u8]) -> Result<T, UsageError> {
    serde_json::from_slice(json).map_err(|error| UsageError::Unreadable {
        subject: saggar_model::escape_and_cut(subject, 256),
        reason: error.to_string(),
    })
}

fn tenant_of(subject: &str) -> Option<TenantName> {
    subject.split('.').nth(1)?.parse().ok()
}
