//! The stores of a task that runs without NATS do what every tenant's stores do.

use std::sync::Arc;

use saggar_harness::stores;
use saggar_sandbox::LocalStores;

#[tokio::test]
async fn local_keys_and_values_behave_as_a_tenants() {
    stores::kv(Arc::new(LocalStores::new(stores::QUOTA))).await;
}

#[tokio::test]
async fn local_objects_behave_as_a_tenants() {
    stores::blobs(Arc::new(LocalStores::new(stores::QUOTA))).await;
}
