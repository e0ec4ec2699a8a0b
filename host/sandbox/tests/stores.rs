//! The stores of a task that runs without NATS do what every tenant's stores do, and so does what takes its children.

use std::sync::Arc;

use saggar_harness::{children, stores};
use saggar_sandbox::{LocalChildren, LocalStores};

#[tokio::test]
async fn local_keys_and_values_behave_as_a_tenants() {
    stores::kv(Arc::new(LocalStores::new(stores::QUOTA))).await;
}

#[tokio::test]
async fn local_objects_behave_as_a_tenants() {
    stores::blobs(Arc::new(LocalStores::new(stores::QUOTA))).await;
}

#[tokio::test]
async fn what_takes_the_children_of_a_local_task_behaves_as_a_tenants() {
    let local = LocalChildren::new([children::queue()], children::QUOTA.tasks);
    children::suite(Arc::new(local)).await;
}
