//! What a host counts. Labels are names an operator chose and outcomes, so that the number of series is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use saggar_model::{Capability, Outcome, QueueName, Receipt, TenantName};
use saggar_sandbox::CacheStats;

use crate::work::{QueueWork, Work};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct QueueLabels {
    tenant: String,
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    tenant: String,
    queue: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabels {
    tenant: String,
    queue: String,
    grant: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    tenant: String,
    queue: String,
    limit: &'static str,
}

/// A limit of a tenant's that made something wait, or cut it short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// A task could not start for a second or longer, and went back to its queue.
    Starts,
    /// A task was put off until its turn among the tasks of its key.
    Key,
    /// Log messages of an attempt were dropped.
    Logs,
}

impl Limit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Starts => "starts",
            Self::Key => "key",
            Self::Logs => "logs",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SuspectLabels {
    tenant: String,
    queue: String,
    fate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CanaryLabels {
    tenant: String,
    queue: String,
    version: &'static str,
    outcome: &'static str,
}

/// Which of two versions ran an attempt, while a queue tries one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that the queue runs.
    Stable,
    /// The one that it tries.
    Canary,
}

impl Side {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MendedLabels {
    what: &'static str,
}

/// What the leader puts right that no host can have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mended {
    /// A queue whose consumer had passed a task, and was made anew.
    Overlooked,
    /// A task that JetStream had given up, and that is a dead letter now.
    GivenUp,
    /// What a task had been through that is gone.
    State,
    /// A task whose children had all ended, and that waited on.
    Group,
}

impl Mended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Overlooked => "overlooked",
            Self::GivenUp => "given-up",
            Self::State => "state",
            Self::Group => "group",
        }
    }
}

/// What became of a delivered task that hosts were lost with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SuspectFate {
    /// It was run, with no other one beside it.
    Run,
    /// Another one ran.
    GivenBack,
    /// Too many hosts were lost to it.
    DeadLettered,
}

impl SuspectFate {
    const ALL: [Self; 3] = [Self::Run, Self::GivenBack, Self::DeadLettered];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::GivenBack => "given-back",
            Self::DeadLettered => "dead-lettered",
        }
    }
}

type Seconds = Family<QueueLabels, Histogram, fn() -> Histogram>;

/// The metrics of one host. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    tasks: Family<OutcomeLabels, Counter>,
    duration: Seconds,
    queued: Seconds,
    fuel: Family<QueueLabels, Counter>,
    /// Apart, since it is many.
    work: Arc<Work>,
    pending: Family<QueueLabels, Gauge>,
    repeated: Family<QueueLabels, Counter>,
    lost_leases: Family<QueueLabels, Counter>,
    retries_over_budget: Family<QueueLabels, Counter>,
    suspects: Family<SuspectLabels, Counter>,
    denials: Family<DenialLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    canary: Family<CanaryLabels, Counter>,
    settled: Counter,
    cache: Family<CacheLabels, Counter>,
    mended: Family<MendedLabels, Counter>,
    pub(crate) running: Gauge,
    pub(crate) slots: Gauge,
    /// Tasks that this host moved out of their timers.
    pub(crate) timers: Counter,
    /// Large payloads that nothing named any more.
    pub(crate) payloads_swept: Counter,
    pub(crate) connected: Gauge,
    pub(crate) compile: Histogram,
}

/// From 100 µs to 3.6 hours, each bucket four times the one before.
fn run_times() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 4.0, 14))
}

impl Metrics {
    /// Registers all metrics, with the prefix `saggar`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("saggar");
        let metrics = Self {
            tasks: Family::default(),
            duration: Seconds::new_with_constructor(run_times),
            queued: Seconds::new_with_constructor(run_times),
            fuel: Family::default(),
            work: Arc::new(Work::register(registry)),
            pending: Family::default(),
            repeated: Family::default(),
            lost_leases: Family::default(),
            retries_over_budget: Family::default(),
            suspects: Family::default(),
            denials: Family::default(),
            limited: Family::default(),
            canary: Family::default(),
            settled: Counter::default(),
            cache: Family::default(),
            mended: Family::default(),
            running: Gauge::default(),
            slots: Gauge::default(),
            timers: Counter::default(),
            payloads_swept: Counter::default(),
            connected: Gauge::default(),
            compile: run_times(),
        };
        registry.register("tasks", "Attempts by outcome", metrics.tasks.clone());
        registry.register("task_duration_seconds", "Run time of attempts", metrics.duration.clone());
        registry.register(
            "task_queued_seconds",
            "Time from publishing to the start of an attempt",
            metrics.queued.clone(),
        );
        registry.register("fuel", "Fuel spent", metrics.fuel.clone());
        registry.register("queue_pending", "Tasks that waited at the last delivery", metrics.pending.clone());
        registry.register(
            "repeated_results",
            "Results that were discarded because the task had one",
            metrics.repeated.clone(),
        );
        registry.register(
            "lost_leases",
            "Attempts whose task went to another host meanwhile",
            metrics.lost_leases.clone(),
        );
        registry.register(
            "retries_over_budget",
            "Retries that wait longer because too many tasks of their queue fail",
            metrics.retries_over_budget.clone(),
        );
        registry.register(
            "suspects",
            "Deliveries of tasks that hosts were lost with, by what became of them",
            metrics.suspects.clone(),
        );
        registry.register(
            "denials",
            "Calls of guests that were denied, by the grant that would have allowed them",
            metrics.denials.clone(),
        );
        registry.register(
            "limited",
            "Tasks that were put off and attempts whose logs were cut, by the limit of their tenant",
            metrics.limited.clone(),
        );
        registry.register(
            "canary_tasks",
            "Attempts of queues that try a version, by version and outcome",
            metrics.canary.clone(),
        );
        metrics.register_host(registry);
        metrics
    }

    /// What belongs to the host, whatever queue it serves.
    fn register_host(&self, registry: &mut Registry) {
        registry.register(
            "settled",
            "Tasks that were finished: recorded, and acknowledged",
            self.settled.clone(),
        );
        registry.register(
            "tasks_running",
            "Tasks that the host holds: running, next, or with their result on its way",
            self.running.clone(),
        );
        registry.register("host_slots", "Tasks that the host can hold at once", self.slots.clone());
        registry.register(
            "timers_moved",
            "Tasks that were moved from their timers into their queues",
            self.timers.clone(),
        );
        registry.register(
            "payloads_swept",
            "Large payloads that nothing named any more, removed",
            self.payloads_swept.clone(),
        );
        registry.register("nats_connected", "1 while the connection to NATS is up", self.connected.clone());
        registry.register(
            "compile_seconds",
            "Time to make a plugin ready, compiled or cached",
            self.compile.clone(),
        );
        registry.register(
            "cache",
            "What became of look-ups in the cache of compiled plugins",
            self.cache.clone(),
        );
        registry.register(
            "mended",
            "What was put right that no host can have done, by what it was",
            self.mended.clone(),
        );
    }

    /// How many tasks were finished: recorded, and acknowledged.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.get()
    }

    /// Something was put right.
    pub(crate) fn mended(&self, what: Mended) {
        self.mended.get_or_create(&MendedLabels { what: what.as_str() }).inc();
    }

    /// What the cache of compiled plugins has counted until now.
    pub(crate) fn cache(&self, stats: CacheStats) {
        let CacheStats { hits, misses, damaged, evicted } = stats;
        for (event, total) in [("hit", hits), ("miss", misses), ("damaged", damaged), ("evicted", evicted)] {
            // Whoever looked later may be here earlier.
            self.cache.get_or_create(&CacheLabels { event }).inner().fetch_max(total, Ordering::Relaxed);
        }
    }

    /// A plugin was compiled, for a queue that wanted it first.
    pub(crate) fn compiled(&self, tenant: &TenantName, queue: &QueueName, took: Duration) {
        let labels = QueueLabels { tenant: tenant.to_string(), queue: queue.to_string() };
        self.work.compiled(&labels, took);
    }

    /// The metrics of one queue, looked up once and counted without a look-up from then on.
    pub(crate) fn of_queue(&self, tenant: &TenantName, queue: &QueueName) -> QueueMetrics {
        let labels = QueueLabels { tenant: tenant.to_string(), queue: queue.to_string() };
        let outcomes = Outcome::ALL.map(|outcome| {
            let QueueLabels { tenant, queue } = labels.clone();
            self.tasks.get_or_create_owned(&OutcomeLabels { tenant, queue, outcome: outcome.as_str() })
        });
        let suspects = SuspectFate::ALL.map(|fate| {
            let QueueLabels { tenant, queue } = labels.clone();
            self.suspects.get_or_create_owned(&SuspectLabels { tenant, queue, fate: fate.as_str() })
        });
        QueueMetrics(Arc::new(Handles {
            outcomes,
            suspects,
            limited: self.limited.clone(),
            denials: self.denials.clone(),
            canary: self.canary.clone(),
            duration: self.duration.get_or_create_owned(&labels),
            queued: self.queued.get_or_create_owned(&labels),
            fuel: self.fuel.get_or_create_owned(&labels),
            work: self.work.of_queue(&labels),
            pending: self.pending.get_or_create_owned(&labels),
            repeated: self.repeated.get_or_create_owned(&labels),
            lost_leases: self.lost_leases.get_or_create_owned(&labels),
            retries_over_budget: self.retries_over_budget.get_or_create_owned(&labels),
            settled: self.settled.clone(),
            labels,
        }))
    }
}

/// The metrics of one queue.
#[derive(Debug, Clone)]
pub(crate) struct QueueMetrics(Arc<Handles>);

#[derive(Debug)]
struct Handles {
    outcomes: [Counter; Outcome::ALL.len()],
    suspects: [Counter; SuspectFate::ALL.len()],
    duration: Histogram,
    queued: Histogram,
    fuel: Counter,
    work: QueueWork,
    pending: Gauge,
    repeated: Counter,
    lost_leases: Counter,
    retries_over_budget: Counter,
    settled: Counter,
    /// Most queues never have one, so that each is made when it is counted.
    denials: Family<DenialLabels, Counter>,
    /// For the same reason.
    limited: Family<LimitLabels, Counter>,
    canary: Family<CanaryLabels, Counter>,
    labels: QueueLabels,
}

impl QueueMetrics {
    /// An attempt ended.
    pub(crate) fn attempt(&self, outcome: Outcome, receipt: &Receipt) {
        let at = Outcome::ALL.iter().position(|known| *known == outcome);
        if let Some(counter) = at.and_then(|at| self.0.outcomes.get(at)) {
            counter.inc();
        }
        self.0.duration.observe(receipt.duration.as_secs_f64());
        self.0.queued.observe(receipt.queued.as_secs_f64());
        self.0.fuel.inc_by(receipt.fuel);
        self.0.work.attempt(receipt);
    }

    /// An attempt is charged to nobody.
    pub(crate) fn uncharged(&self, receipt: &Receipt) {
        self.0.work.uncharged(receipt);
    }

    /// An attempt of a queue that tries a version ended.
    pub(crate) fn tried(&self, side: Side, outcome: Outcome) {
        let QueueLabels { tenant, queue } = self.0.labels.clone();
        let labels = CanaryLabels { tenant, queue, version: side.as_str(), outcome: outcome.as_str() };
        self.0.canary.get_or_create(&labels).inc();
    }

    /// A task was delivered that hosts were lost with.
    pub(crate) fn suspect(&self, fate: SuspectFate) {
        let at = SuspectFate::ALL.iter().position(|known| *known == fate);
        if let Some(counter) = at.and_then(|at| self.0.suspects.get(at)) {
            counter.inc();
        }
    }

    /// A guest tried what was not granted.
    pub(crate) fn denied(&self, capability: Capability) {
        let QueueLabels { tenant, queue } = self.0.labels.clone();
        let labels = DenialLabels { tenant, queue, grant: capability.as_str() };
        self.0.denials.get_or_create(&labels).inc();
    }

    /// A limit made something wait, or cut it short.
    pub(crate) fn limited(&self, limit: Limit) {
        let QueueLabels { tenant, queue } = self.0.labels.clone();
        let labels = LimitLabels { tenant, queue, limit: limit.as_str() };
        self.0.limited.get_or_create(&labels).inc();
    }

    /// A delivery said how many tasks wait behind it.
    pub(crate) fn pending(&self, pending: u64) {
        self.0.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    /// A result was discarded because the task has one.
    pub(crate) fn repeated(&self) {
        self.0.repeated.inc();
    }

    /// A task was recorded and acknowledged.
    pub(crate) fn settled(&self) {
        self.0.settled.inc();
    }

    /// A failed task waits longer for its next attempt than its policy says.
    pub(crate) fn retry_over_budget(&self) {
        self.0.retries_over_budget.inc();
    }

    /// A task went to another host while it ran here.
    pub(crate) fn lost_lease(&self) {
        self.0.lost_leases.inc();
    }
}

/// Observes the time since its making when it is dropped.
pub(crate) struct Stopwatch<'a> {
    pub(crate) histogram: &'a Histogram,
    pub(crate) start: std::time::Instant,
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let elapsed: Duration = self.start.elapsed();
        self.histogram.observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_of_the_documentation() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let queue = metrics.of_queue(&"acme".parse().unwrap(), &"hello".parse().unwrap());
        let receipt = Receipt {
            fuel: 7,
            cpu: Duration::from_millis(250),
            peak_memory: 1024,
            duration: Duration::from_secs(2),
            bytes_in: 3,
            ..Receipt::default()
        };
        queue.attempt(Outcome::TimedOut, &receipt);
        queue.uncharged(&receipt);
        metrics.compiled(&"acme".parse().unwrap(), &"hello".parse().unwrap(), Duration::from_millis(1500));
        queue.suspect(SuspectFate::GivenBack);
        queue.denied(Capability::Kv);
        queue.tried(Side::Canary, Outcome::Succeeded);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "saggar_tasks_total{tenant=\"acme\",queue=\"hello\",outcome=\"timed-out\"} 1",
            "saggar_fuel_total{tenant=\"acme\",queue=\"hello\"} 7",
            "saggar_cpu_seconds_total{tenant=\"acme\",queue=\"hello\"} 0.25",
            "saggar_memory_byte_seconds_total{tenant=\"acme\",queue=\"hello\"} 2048.0",
            "saggar_bytes_in_total{tenant=\"acme\",queue=\"hello\"} 3",
            "saggar_bytes_out_total{tenant=\"acme\",queue=\"hello\"} 0",
            "saggar_uncharged_fuel_total{tenant=\"acme\",queue=\"hello\"} 7",
            "saggar_queue_compile_seconds_total{tenant=\"acme\",queue=\"hello\"} 1.5",
            "saggar_task_duration_seconds_count{tenant=\"acme\",queue=\"hello\"} 1",
            "saggar_task_queued_seconds_count",
            "saggar_queue_pending",
            "saggar_suspects_total{tenant=\"acme\",queue=\"hello\",fate=\"given-back\"} 1",
            "saggar_suspects_total{tenant=\"acme\",queue=\"hello\",fate=\"dead-lettered\"} 0",
            "saggar_denials_total{tenant=\"acme\",queue=\"hello\",grant=\"kv\"} 1",
            "saggar_canary_tasks_total{tenant=\"acme\",queue=\"hello\",version=\"canary\",outcome=\"succeeded\"} 1",
            "saggar_settled_total 0",
            "saggar_tasks_running 0",
            "saggar_host_slots 0",
            "saggar_timers_moved_total 0",
            "saggar_nats_connected 0",
            "saggar_compile_seconds_count 0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
