//! Making the streams and consumers that a tenant's record asks for, and refusing to work on others.
//!
//! Every step looks first and may be repeated; two that do the same at once end with the same. A queue's consumer
//! comes after its subjects, and goes before them.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, Info};
use async_nats::jetstream::{consumer, stream};
use saggar_model::{Quota, TenantName, TenantRecord, TenantSpec};
use serde::Deserialize;
use serde_json::json;

use crate::api::{RequestError, code};
use crate::difference::{Difference, consumer_made_equal, of_consumers, of_streams, stream_made_equal};
use crate::{Fault, Nats, layout};

/// How often a change is tried again that somebody else was faster with.
const TRIES: usize = 5;

/// Makes and checks streams, buckets and consumers.
#[derive(Debug, Clone)]
pub struct Provisioner {
    nats: Nats,
    replicas: usize,
}

/// Why something could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// The quotas of all tenants together are more than the server may store.
    #[error(
        "{stream} asks for {} and the server has less left of its max_file_store: the quotas of all tenants are \
         reserved in full. Raise `jetstream.max_file_store` of nats-server, or lower the tenant's quota",
        saggar_model::format_bytes(*.bytes)
    )]
    NoStorage {
        /// The stream that could not be made.
        stream: String,
        /// What it would reserve.
        bytes: u64,
    },
    /// The server refused, or did not answer.
    #[error("{place}: {source}")]
    Request {
        /// The stream, or stream and consumer.
        place: String,
        /// What happened.
        source: RequestError,
    },
    /// Somebody changes the same thing all the time.
    #[error("{place} keeps changing while it is being set up; is another program writing it?")]
    Contended {
        /// The stream, or stream and consumer.
        place: String,
    },
}

impl ProvisionError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoStorage { .. } => Fault::Invalid,
            Self::Request { source, .. } => source.fault(),
            Self::Contended { .. } => Fault::Conflict,
        }
    }

    pub(crate) fn at(place: &str) -> impl FnOnce(RequestError) -> Self {
        let place = place.to_owned();
        move |source| Self::Request { place, source }
    }
}

/// Why a tenant's streams must not be worked on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dangerous {
    /// Settings are such that tasks could be lost or cross from one tenant to another.
    #[error(
        "refusing to work for tenant {tenant}: {}. Run `saggar apply` with the tenant's file to set it right",
        list(.differences)
    )]
    Settings {
        /// The tenant.
        tenant: TenantName,
        /// Every such setting.
        differences: Vec<Difference>,
    },
    /// They could not be read.
    #[error(transparent)]
    Unknown(#[from] ProvisionError),
}

impl Dangerous {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Settings { .. } => Fault::Invalid,
            Self::Unknown(error) => error.fault(),
        }
    }
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Provisioner {
    /// Streams and buckets will have so many copies.
    #[must_use]
    pub fn new(nats: &Nats, replicas: u32) -> Self {
        Self { nats: nats.clone(), replicas: usize::try_from(replicas).unwrap_or(1).max(1) }
    }

    /// With as many copies as what is there already has; one, if nothing is.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn as_found(nats: &Nats) -> Result<Self, RequestError> {
        match nats.stream_info(saggar_model::Subjects::STATE_STREAM).await {
            Ok(info) => Ok(Self { nats: nats.clone(), replicas: info.config.num_replicas.max(1) }),
            Err(error) if error.is_not_found() => Ok(Self::new(nats, 1)),
            Err(error) => Err(error),
        }
    }

    /// Makes what all tenants share: the streams of states and of usage, the buckets and the store of plugins.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub async fn ensure_common(&self) -> Result<(), ProvisionError> {
        let replicas = self.replicas;
        for wanted in [
            layout::state_stream(replicas),
            layout::usage_stream(replicas),
            layout::bucket(layout::HOSTS_BUCKET, layout::HOST_TTL, replicas),
            layout::bucket(layout::VERSIONS_BUCKET, Duration::ZERO, replicas),
            layout::bucket(layout::SCHEDULES_BUCKET, Duration::ZERO, replicas),
            layout::object_store(layout::PLUGINS_STORE, replicas),
            // The last one: whoever finds it finds all of them, also while a host makes them.
            layout::bucket(layout::TENANTS_BUCKET, Duration::ZERO, replicas),
        ] {
            self.ensure_stream(&wanted).await?;
        }
        Ok(())
    }

    /// Makes the stream of what tenants have used, should somebody have removed it: without it no host can begin to work
    /// for another tenant.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub async fn ensure_usage(&self) -> Result<(), ProvisionError> {
        self.ensure_stream(&layout::usage_stream(self.replicas)).await
    }

    /// Makes a tenant's streams and consumers, sets right what differs, and removes the consumers of queues that are
    /// gone. Tasks of such a queue stay where they are, and wait for the queue to come back; a queue that is on its way
    /// out is left to [`Provisioner::remove`]. What plugins keep is made when they first do, and only set right here.
    ///
    /// # Errors
    /// The server refuses or does not answer; it is safe to try again.
    pub async fn ensure_tenant(&self, record: &TenantRecord) -> Result<(), ProvisionError> {
        if record.removal.tenant {
            return Ok(());
        }
        let tasks = layout::tasks_stream(record, self.nats.max_payload(), self.replicas);
        self.ensure_stream(&layout::results_stream(record, self.replicas)).await?;
        self.ensure_stream(&layout::dead_stream(record, self.replicas)).await?;
        for name in self.consumers(&tasks.name).await? {
            let wanted = name.parse().is_ok_and(|queue| {
                record.spec.queues.contains_key(&queue) || record.removal.queues.contains(&queue)
            });
            if !wanted {
                self.remove_consumer(&tasks.name, &name).await?;
            }
        }
        self.ensure_stream(&tasks).await?;
        let [stores @ .., timers] = self.stores(record);
        for wanted in stores {
            self.ensure_if_there(&wanted).await?;
        }
        if self.ensure_if_there(&timers).await? {
            self.ensure_consumer(&timers.name, &layout::pump_consumer(&record.spec.name)).await?;
        }
        for (name, queue) in &record.spec.queues {
            self.ensure_consumer(&tasks.name, &layout::queue_consumer(record, name, queue)).await?;
        }
        Ok(())
    }

    /// Reads back every setting of a tenant's streams and consumers.
    ///
    /// # Errors
    /// A setting could lose tasks or mix up tenants, or something is missing or cannot be read.
    pub async fn verify_tenant(&self, record: &TenantRecord) -> Result<(), Dangerous> {
        let wanted = self.wanted_streams(record);
        let tasks = &wanted[0];
        let mut differences = Vec::new();
        for wanted in &wanted {
            let found = self.stream(&wanted.name).await.map_err(ProvisionError::at(&wanted.name))?;
            differences.extend(of_streams(&found.config, wanted));
        }
        for wanted in self.stores(record) {
            match self.stream(&wanted.name).await {
                Ok(found) => differences.extend(of_streams(&found.config, &wanted)),
                Err(error) if error.is_not_found() => {}
                Err(source) => return Err(ProvisionError::at(&wanted.name)(source).into()),
            }
        }
        for (name, queue) in &record.spec.queues {
            let wanted = layout::queue_consumer(record, name, queue);
            let place = format!("{}, consumer {name}", tasks.name);
            let found =
                self.consumer(&tasks.name, name.as_str()).await.map_err(ProvisionError::at(&place))?;
            differences.extend(of_consumers(&tasks.name, &found.config, &wanted));
        }
        differences.retain(|difference| difference.dangerous);
        if differences.is_empty() {
            Ok(())
        } else {
            Err(Dangerous::Settings { tenant: record.spec.name.clone(), differences })
        }
    }

    /// The streams that a tenant always has, that of its tasks first, and those that it shares with all tenants.
    pub(crate) fn wanted_streams(&self, record: &TenantRecord) -> [Config; 5] {
        [
            layout::tasks_stream(record, self.nats.max_payload(), self.replicas),
            layout::results_stream(record, self.replicas),
            layout::dead_stream(record, self.replicas),
            layout::state_stream(self.replicas),
            layout::usage_stream(self.replicas),
        ]
    }

    /// What a tenant's plugins keep, and its timers, if there are any.
    pub(crate) fn stores(&self, record: &TenantRecord) -> [Config; 5] {
        let TenantSpec { name, quota, .. } = &record.spec;
        [
            layout::kv_bucket(name, quota, self.replicas),
            layout::blobs_store(name, quota, self.replicas),
            layout::checkpoints_store(name, quota, self.replicas),
            layout::payloads_store(name, quota, self.replicas),
            layout::timers_stream(name, self.replicas),
        ]
    }

    pub(crate) fn nats(&self) -> &Nats {
        &self.nats
    }

    pub(crate) fn replicas(&self) -> usize {
        self.replicas
    }

    /// Sets a stream right that may not have been needed yet; whether it has been.
    pub(crate) async fn ensure_if_there(&self, wanted: &Config) -> Result<bool, ProvisionError> {
        match self.stream(&wanted.name).await {
            Err(error) if error.is_not_found() => Ok(false),
            Ok(found) if of_streams(&found.config, wanted).is_empty() => Ok(true),
            Ok(_) => self.ensure_stream(wanted).await.map(|()| true),
            Err(source) => Err(ProvisionError::at(&wanted.name)(source)),
        }
    }

    /// Makes the bucket of a tenant's keys and values.
    pub(crate) async fn ensure_kv(&self, tenant: &TenantName, quota: &Quota) -> Result<(), ProvisionError> {
        self.ensure_stream(&layout::kv_bucket(tenant, quota, self.replicas)).await
    }

    /// Makes the store of a tenant's objects.
    pub(crate) async fn ensure_blobs(
        &self,
        tenant: &TenantName,
        quota: &Quota,
    ) -> Result<(), ProvisionError> {
        self.ensure_stream(&layout::blobs_store(tenant, quota, self.replicas)).await
    }

    /// Makes the store of the checkpoints of a tenant's tasks.
    pub(crate) async fn ensure_checkpoints(
        &self,
        tenant: &TenantName,
        quota: &Quota,
    ) -> Result<(), ProvisionError> {
        self.ensure_stream(&layout::checkpoints_store(tenant, quota, self.replicas)).await
    }

    /// Makes the store of a tenant's large payloads.
    pub(crate) async fn ensure_payloads(
        &self,
        tenant: &TenantName,
        quota: &Quota,
    ) -> Result<(), ProvisionError> {
        self.ensure_stream(&layout::payloads_store(tenant, quota, self.replicas)).await
    }

    /// Makes the stream of a tenant's timers, and the consumer of those that are due.
    pub(crate) async fn ensure_timers(&self, tenant: &TenantName) -> Result<(), ProvisionError> {
        let stream = layout::timers_stream(tenant, self.replicas);
        self.ensure_stream(&stream).await?;
        self.ensure_consumer(&stream.name, &layout::pump_consumer(tenant)).await
    }

    async fn ensure_stream(&self, wanted: &Config) -> Result<(), ProvisionError> {
        let name = &wanted.name;
        for _ in 0..TRIES {
            let done = match self.stream(name).await {
                Ok(found) if of_streams(&found.config, wanted).is_empty() => return Ok(()),
                Ok(found) => {
                    let config = stream_made_equal(found.config, wanted);
                    self.nats
                        .ask::<Info>("changing a stream", &format!("STREAM.UPDATE.{name}"), &config)
                        .await
                }
                Err(error) if error.is_not_found() => {
                    self.nats.ask("making a stream", &format!("STREAM.CREATE.{name}"), wanted).await
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(_) => return Ok(()),
                // Another one made or removed it meanwhile.
                Err(error) if error.is_not_found() || error.code() == Some(code::STREAM_NAME_IN_USE) => {}
                Err(error) if error.code() == Some(code::INSUFFICIENT_STORAGE) => {
                    let bytes = u64::try_from(wanted.max_bytes).unwrap_or_default();
                    return Err(ProvisionError::NoStorage { stream: name.clone(), bytes });
                }
                Err(source) => return Err(ProvisionError::Request { place: name.clone(), source }),
            }
        }
        Err(ProvisionError::Contended { place: name.clone() })
    }

    pub(crate) async fn ensure_consumer(
        &self,
        stream: &str,
        wanted: &consumer::Config,
    ) -> Result<(), ProvisionError> {
        let name = wanted.durable_name.as_deref().unwrap_or_default();
        let place = format!("{stream}, consumer {name}");
        let config = match self.consumer(stream, name).await {
            Ok(found) if of_consumers(stream, &found.config, wanted).is_empty() => return Ok(()),
            Ok(found) => consumer_made_equal(found.config, wanted),
            Err(error) if error.is_not_found() => wanted.clone(),
            Err(source) => return Err(ProvisionError::Request { place, source }),
        };
        // No action asked for: it is made, or changed without losing what it knows.
        let body = json!({ "stream_name": stream, "config": config, "action": "" });
        self.nats
            .ask::<consumer::Info>(
                "setting up a consumer",
                &format!("CONSUMER.CREATE.{stream}.{name}"),
                &body,
            )
            .await
            .map(|_| ())
            .map_err(|source| ProvisionError::Request { place, source })
    }

    pub(crate) async fn remove_consumer(&self, stream: &str, name: &str) -> Result<(), ProvisionError> {
        let subject = format!("CONSUMER.DELETE.{stream}.{name}");
        match self.nats.ask::<serde_json::Value>("removing a consumer", &subject, &()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(source) => {
                Err(ProvisionError::Request { place: format!("{stream}, consumer {name}"), source })
            }
        }
    }

    /// The names of a stream's consumers; none if there is no such stream.
    pub(crate) async fn consumers(&self, stream: &str) -> Result<Vec<String>, ProvisionError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            consumers: Option<Vec<String>>,
            #[serde(default)]
            total: usize,
        }
        let mut names = Vec::new();
        loop {
            let body = json!({ "offset": names.len() });
            let subject = format!("CONSUMER.NAMES.{stream}");
            match self.nats.ask::<Page>("listing consumers", &subject, &body).await {
                Ok(Page { consumers, total }) => {
                    let page = consumers.unwrap_or_default();
                    let last = page.is_empty();
                    names.extend(page);
                    if last || names.len() >= total {
                        return Ok(names);
                    }
                }
                Err(error) if error.is_not_found() => return Ok(names),
                Err(source) => return Err(ProvisionError::Request { place: stream.to_owned(), source }),
            }
        }
    }

    pub(crate) async fn stream(&self, name: &str) -> Result<stream::Info, RequestError> {
        self.nats.stream_info(name).await
    }

    pub(crate) async fn consumer(&self, stream: &str, name: &str) -> Result<consumer::Info, RequestError> {
        self.nats.consumer_info(stream, name).await
    }
}

impl Nats {
    pub(crate) async fn stream_info(&self, name: &str) -> Result<stream::Info, RequestError> {
        self.ask("reading a stream's settings", &format!("STREAM.INFO.{name}"), &()).await
    }

    pub(crate) async fn consumer_info(
        &self,
        stream: &str,
        name: &str,
    ) -> Result<consumer::Info, RequestError> {
        self.ask("reading a consumer's settings", &format!("CONSUMER.INFO.{stream}.{name}"), &()).await
    }
}
