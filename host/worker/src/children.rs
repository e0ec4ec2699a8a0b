//! The tasks that a running task submits, as the sandbox asks for them, and the end of a task that another one waits for.

use std::time::SystemTime;

use async_trait::async_trait;
use saggar_jetstream as jetstream;
use saggar_jetstream::GroupError;
use saggar_model::{Child, Group, Outcome, SubmitError, Task, TaskRef, TaskResult, TenantName};
use saggar_sandbox::Children;

use crate::lane::OpenLane;
use crate::settlement::{Unsettled, persist};

/// The children of one task.
pub(crate) struct TaskChildren {
    pub(crate) children: jetstream::Children,
    pub(crate) tenant: TenantName,
    pub(crate) parent: TaskRef,
    /// It was delivered before, and may have submitted them then.
    pub(crate) again: bool,
}

#[async_trait]
impl Children for TaskChildren {
    async fn submit(&self, child: &Child) -> Result<(), SubmitError> {
        // One with a name of its own may be another task's as well.
        let again = self.again || child.timer.as_str() != child.task.id.as_str();
        self.children.submit(&self.tenant, child, again).await
    }

    fn now(&self) -> SystemTime {
        self.children.now()
    }

    async fn group(&self) -> Result<Option<Group>, SubmitError> {
        self.children.group(&self.tenant, &self.parent).await
    }

    async fn result(&self, task: &TaskRef) -> Result<Option<TaskResult>, SubmitError> {
        self.children.result(&self.tenant, task).await
    }
}

/// Tells whoever waits for a task that it has ended, and drops what it waited for itself. To be done before its message
/// is acknowledged: nobody else would.
pub(crate) async fn tell(lane: &OpenLane, task: &Task, outcome: Outcome) -> Result<(), Unsettled> {
    let (records, tenant) = (&lane.host.records, &task.tenant);
    let reference = TaskRef { queue: task.queue.clone(), id: task.id.clone() };
    if let Some(waiting) = &task.headers.group {
        let counting = persist(
            "group",
            GroupError::fault,
            |_| false,
            || records.tally.count(tenant, waiting, reference.clone(), outcome),
        );
        counting.await.map_err(|_| Unsettled)?;
    }
    // One that failed may be redriven, and then wants to know again.
    if task.headers.joins.is_some()
        && !outcome.is_failure()
        && let Err(error) = records.groups.clear(tenant, &reference).await
    {
        tracing::warn!(%tenant, task = %reference, %error, "the group of a finished task stays behind for a while");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use saggar_harness::{LocalServer, StartOptions, children};
    use saggar_jetstream::{Expected, Groups, Nats, Provisioner, Target, Tenants, Timers};
    use saggar_model::{Allowance, PluginRef, QueueSpec, TenantRecord, TenantSpec};

    use super::*;

    #[tokio::test]
    async fn children_in_jetstream_behave_as_a_tasks() {
        let server = LocalServer::start(StartOptions::default()).await.expect("a nats-server starts");
        let nats = Nats::connect(&Target::at(&server.url()), "test").await.expect("it answers");
        let tenant: TenantName = "acme".parse().unwrap();
        let plugin: PluginRef = "part@1".parse().unwrap();
        let queues = [(children::queue(), QueueSpec::new(plugin))].into();
        let spec = TenantSpec {
            name: tenant.clone(),
            weight: 1,
            quota: children::QUOTA,
            allowance: Allowance::default(),
            queues,
            schedules: [].into(),
        };
        let record = TenantRecord::new(spec, [].into());
        let provisioner = Provisioner::new(&nats, 1);
        provisioner.ensure_common().await.unwrap();
        Tenants::new(&nats).put(&record, Expected::Absent).await.unwrap();
        provisioner.ensure_tenant(&record).await.unwrap();
        let timers = Timers::new(&nats);
        let groups = Groups::new(&nats, &timers);
        let of_task = TaskChildren {
            children: jetstream::Children::new(&nats, &timers, &groups),
            tenant,
            parent: "split/a".parse().unwrap(),
            again: true,
        };
        children::suite(Arc::new(of_task)).await;
    }
}
