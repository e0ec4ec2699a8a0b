//! A tenant's stores in JetStream, as the sandbox asks for them: the two crates do not know each other, and agree on
//! every word.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saggar_jetstream as jetstream;
use saggar_model::{Condition, NamePage, ObjectFacts, StoreError, StoreKey, StoreName, TaskRef, Versioned};
use saggar_sandbox::{Blobs, Checkpoint, Download, KeyValue, Upload};

use crate::lease::Lease;

/// The tenant's keys and values.
pub(crate) struct TenantKv(pub(crate) jetstream::Kv);

#[async_trait]
impl KeyValue for TenantKv {
    async fn get(&self, bucket: &StoreName, key: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        self.0.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: &StoreName,
        key: &StoreKey,
        value: Bytes,
        condition: Condition,
    ) -> Result<u64, StoreError> {
        self.0.put(bucket, key, value, condition).await
    }

    async fn delete(&self, bucket: &StoreName, key: &StoreKey) -> Result<(), StoreError> {
        self.0.delete(bucket, key).await
    }

    async fn keys(&self, bucket: &StoreName, after: u64) -> Result<NamePage, StoreError> {
        self.0.keys(bucket, after).await
    }
}

/// Where a task had come.
pub(crate) struct TaskCheckpoint {
    pub(crate) store: jetstream::Checkpoints,
    pub(crate) task: TaskRef,
    pub(crate) lease: Arc<Lease>,
}

#[async_trait]
impl Checkpoint for TaskCheckpoint {
    async fn load(&self) -> Result<Option<Bytes>, StoreError> {
        let found = self.store.load(&self.task).await?;
        if found.is_some() {
            self.lease.leaves_checkpoint();
        }
        Ok(found)
    }

    async fn save(&self, state: Bytes) -> Result<(), StoreError> {
        // Also where it fails: it may have been stored.
        self.lease.leaves_checkpoint();
        self.store.save(&self.task, state).await
    }
}

/// The tenant's objects.
pub(crate) struct TenantBlobs(pub(crate) jetstream::Blobs);

#[async_trait]
impl Blobs for TenantBlobs {
    async fn create_container(&self, container: &StoreName) -> Result<(), StoreError> {
        self.0.create_container(container).await.map(|_| ())
    }

    async fn container(&self, container: &StoreName) -> Result<Option<ObjectFacts>, StoreError> {
        self.0.container(container).await
    }

    async fn clear_container(&self, container: &StoreName) -> Result<(), StoreError> {
        self.0.clear_container(container).await
    }

    async fn delete_container(&self, container: &StoreName) -> Result<(), StoreError> {
        self.0.delete_container(container).await
    }

    async fn object(
        &self,
        container: &StoreName,
        object: &StoreKey,
    ) -> Result<Option<ObjectFacts>, StoreError> {
        self.0.object(container, object).await
    }

    async fn delete(&self, container: &StoreName, object: &StoreKey) -> Result<(), StoreError> {
        self.0.delete(container, object).await
    }

    async fn names(&self, container: &StoreName, after: u64) -> Result<NamePage, StoreError> {
        self.0.names(container, after).await
    }

    fn upload(&self) -> Box<dyn Upload> {
        Box::new(TenantUpload(self.0.upload()))
    }

    async fn download(
        &self,
        container: &StoreName,
        object: &StoreKey,
        start: u64,
        end: u64,
    ) -> Result<Box<dyn Download>, StoreError> {
        Ok(Box::new(TenantDownload(self.0.download(container, object, start, end).await?)))
    }
}

struct TenantUpload(jetstream::Upload);

#[async_trait]
impl Upload for TenantUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.0.write(chunk).await
    }

    async fn finish(self: Box<Self>, container: &StoreName, object: &StoreKey) -> Result<(), StoreError> {
        self.0.finish(container, object).await
    }
}

struct TenantDownload(jetstream::Download);

#[async_trait]
impl Download for TenantDownload {
    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.0.next().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use saggar_harness::{LocalServer, StartOptions, stores};
    use saggar_jetstream::{Expected, Nats, Provisioner, Stores, Target, Tenants};
    use saggar_model::{Allowance, TenantName, TenantRecord, TenantSpec};

    use super::*;

    /// A server with a tenant that has kept nothing yet.
    async fn stage() -> (LocalServer, Stores, TenantName) {
        let server = LocalServer::start(StartOptions::default()).await.expect("a nats-server starts");
        let nats = Nats::connect(&Target::at(&server.url()), "test").await.expect("it answers");
        let (tenant, quota): (TenantName, _) = ("acme".parse().unwrap(), stores::QUOTA);
        let spec = TenantSpec {
            name: tenant.clone(),
            weight: 1,
            quota,
            allowance: Allowance::default(),
            queues: [].into(),
            schedules: [].into(),
        };
        let record = TenantRecord::new(spec, [].into());
        Provisioner::new(&nats, 1).ensure_common().await.unwrap();
        Tenants::new(&nats).put(&record, Expected::Absent).await.unwrap();
        (server, Stores::new(&nats, 1), tenant)
    }

    #[tokio::test]
    async fn keys_and_values_in_jetstream_behave_as_a_tenants() {
        let (_server, stores, tenant) = stage().await;
        stores::kv(Arc::new(TenantKv(stores.kv(&tenant)))).await;
    }

    #[tokio::test]
    async fn objects_in_jetstream_behave_as_a_tenants() {
        let (_server, stores, tenant) = stage().await;
        stores::blobs(Arc::new(TenantBlobs(stores.blobs(&tenant)))).await;
    }
}
