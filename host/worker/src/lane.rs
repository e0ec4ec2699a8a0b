//! One queue on this host: gets its plugin ready, pulls what it may start, and starts it.
//!
//! An idle lane has one request for one task standing at the server and costs nothing else. When a task comes, the
//! lane asks for permits, for as many as the server says are waiting, and fetches just as many as it gets.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::{Delivery, PullError, PullMode, TaskQueue};
use saggar_model::{Digest, QueueName, QueueSpec, Subjects, TenantName, format_bytes};
use saggar_sandbox::Granted;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::batch::{Batch, HOLD};
use crate::canary::CanaryRunner;
use crate::dispatch::{LaneHandle, Permits};
use crate::fetches::{self, Fetches};
use crate::hearing::Hearing;
use crate::host::Shared;
use crate::limits::{KeyGate, LogAllowance};
use crate::metrics::{Limit, QueueMetrics, Side};
use crate::pace::Pace;
use crate::retries::Retries;
use crate::runner::{Program, Runner};
use crate::scheduler::Terms;
use crate::unit;
use crate::vault::SecretValues;
use crate::watchdog::{Remedy, Watchdog, is_stuck};

/// How long one standing request waits for a task before it is made anew.
const STAND: Duration = Duration::from_secs(30);

/// The most tasks fetched at once; more would only wait.
const FETCH_MAX: u32 = 256;

/// Between two tries of something that failed.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Between two looks at a queue that seems to be stuck: whoever can be delivered to has been by then.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How often a blocked lane looks whether it still is.
const BLOCKED_LOOK: Duration = Duration::from_millis(250);

/// A queue's settings, as its tenant's record has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LaneConfig {
    pub(crate) spec: QueueSpec,
    pub(crate) tenant_weight: u32,
    pub(crate) digest: Option<Digest>,
    /// The component that is tried with some of the tasks.
    pub(crate) canary: Option<Digest>,
    /// The values of the granted secrets, as far as this host knows them.
    pub(crate) secrets: SecretValues,
}

/// What a queue is to the scheduler.
pub(crate) fn terms(tenant_weight: u32, spec: &QueueSpec, component: Option<Digest>) -> Terms {
    Terms { tenant_weight, weight: spec.weight, memory: spec.limits.memory, component }
}

/// A lane before it has found its queue.
pub(crate) struct Lane {
    pub(crate) host: Arc<Shared>,
    pub(crate) tenant: TenantName,
    pub(crate) queue: QueueName,
    pub(crate) config: watch::Receiver<LaneConfig>,
    pub(crate) permits: LaneHandle,
    pub(crate) stop: CancellationToken,
    pub(crate) keys: Arc<KeyGate>,
    /// Ends when the plugin, which nobody had signed, has been signed; absent while there is nothing to wait for.
    pub(crate) signature: Option<AbortOnDropHandle<()>>,
}

/// A lane that has found its queue: what its tasks need to know.
pub(crate) struct OpenLane {
    pub(crate) host: Arc<Shared>,
    pub(crate) tenant: TenantName,
    pub(crate) queue: QueueName,
    pub(crate) subjects: Subjects,
    pub(crate) source: TaskQueue,
    pub(crate) metrics: QueueMetrics,
    pub(crate) pace: Pace,
    pub(crate) retries: Retries,
    pub(crate) keys: Arc<KeyGate>,
    pub(crate) logs: Arc<LogAllowance>,
    blocked: AtomicBool,
}

impl OpenLane {
    /// Whether dead letters have no room, so that nothing new may be started.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        if self.blocked.swap(blocked, Ordering::Relaxed) != blocked {
            let (tenant, queue) = (&self.tenant, &self.queue);
            if blocked {
                tracing::error!(%tenant, %queue, "blocked: dead letters full");
            } else {
                tracing::info!(%tenant, %queue, "no longer blocked");
            }
        }
    }
}

/// Why a lane stopped serving.
enum Served {
    /// Its settings changed.
    Changed,
    /// Its queue is gone, perhaps to come back.
    Gone,
    /// It was told to stop.
    Stopped,
}

impl Lane {
    /// Serves the queue until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut pause = RETRY_MIN;
        let mut hearing = Hearing::new(self.host.clone());
        while !self.stop.is_cancelled() {
            let config = self.config.borrow_and_update().clone();
            let Some(runner) = self.get_ready(config).await else { continue };
            let Some(lane) = self.open(runner.digest).await else { continue };
            match self.serve(&lane, &runner, &mut hearing).await {
                Served::Stopped => return,
                Served::Changed => pause = RETRY_MIN,
                Served::Gone => {
                    self.pause(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// The runner for these settings; nothing if they changed or the lane was stopped before it was ready.
    async fn get_ready(&mut self, config: LaneConfig) -> Option<Arc<Runner>> {
        let (tenant, queue) = (self.tenant.clone(), self.queue.clone());
        let LaneConfig { mut spec, tenant_weight, digest, canary, secrets } = config;
        let lowered = self.host.ceilings.lowered(&spec.limits);
        if lowered != spec.limits {
            tracing::warn!(%tenant, %queue, asked = ?spec.limits, served = ?lowered, "limits above this host's");
            spec.limits = lowered;
        }
        if spec.limits.memory > self.host.memory {
            let (needs, has) = (format_bytes(spec.limits.memory), format_bytes(self.host.memory));
            tracing::warn!(%tenant, %queue, "a task needs {needs} and this host has {has}; it serves other queues");
            self.changed().await;
            return None;
        }
        self.permits.set_terms(terms(tenant_weight, &spec, digest));
        let Some(digest) = digest else {
            tracing::error!(%tenant, %queue, plugin = %spec.plugin, "the plugin was never pushed");
            self.changed().await;
            return None;
        };
        let granted = Granted::new(spec.grants.clone(), &secrets);
        for secret in granted.unknown_secrets() {
            tracing::warn!(%tenant, %queue, %secret, "granted, and this host has no value for it");
        }
        let granted = Arc::new(granted);
        let workshop = self.host.workshop.clone();
        let mut pause = RETRY_MIN;
        loop {
            // Compiling a language runtime takes half a minute, and a host that leaves does not wait for it.
            let made = tokio::select! {
                made = workshop.program_of(&tenant, &queue, &spec.plugin, digest) => made,
                () = self.stop.cancelled() => return None,
            };
            match made {
                Ok(program) => {
                    self.signature = matches!(program, Program::Untrusted(_)).then(|| {
                        let signed = workshop.wait_until_signed(tenant, spec.plugin.clone(), digest);
                        AbortOnDropHandle::new(tokio::spawn(signed))
                    });
                    let canary = match spec.canary.clone().zip(canary) {
                        Some(canary) => {
                            let of = (&self.tenant, &self.queue);
                            Some(CanaryRunner::start(&self.host.workshop, of, &spec, canary, &granted).await)
                        }
                        None => None,
                    };
                    let side = canary.as_ref().map(|_| Side::Stable);
                    return Some(Arc::new(Runner {
                        digest: Some(digest),
                        spec,
                        program,
                        granted,
                        canary,
                        side,
                    }));
                }
                Err(error) => {
                    tracing::warn!(%tenant, %queue, plugin = %spec.plugin, %error, "the plugin is not ready");
                    if self.pause(pause).await {
                        return None;
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Finds the queue, as soon as it is there; nothing if the lane was stopped or changed before.
    async fn open(&mut self, component: Option<Digest>) -> Option<Arc<OpenLane>> {
        let mut pause = RETRY_MIN;
        loop {
            match TaskQueue::open(&self.host.nats, &self.tenant, &self.queue).await {
                Ok(source) => {
                    let (tenant, queue) = (self.tenant.clone(), self.queue.clone());
                    tracing::info!(%tenant, %queue, "serving");
                    return Some(Arc::new(OpenLane {
                        host: self.host.clone(),
                        subjects: Subjects::of(&tenant),
                        metrics: self.host.metrics.of_queue(&tenant, &queue),
                        logs: self.host.logs.of(&tenant),
                        tenant,
                        queue,
                        source,
                        pace: component.map_or_else(Pace::default, |digest| self.host.paces.of(digest)),
                        retries: Retries::default(),
                        keys: self.keys.clone(),
                        blocked: AtomicBool::new(false),
                    }));
                }
                Err(error) => {
                    tracing::debug!(tenant = %self.tenant, queue = %self.queue, %error, "the queue is not there yet");
                    if self.pause(pause).await {
                        return None;
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Waits; true if the lane was stopped or changed meanwhile.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.changed()).await.is_ok()
    }

    /// Waits until the lane is stopped, its settings change or its plugin is signed. Leaves a change to be seen.
    async fn changed(&mut self) {
        let signed = async {
            match &mut self.signature {
                Some(signature) => _ = signature.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = signed => self.see_signature(),
            () = self.stop.cancelled() => {}
            changed = self.config.changed() => {
                if changed.is_err() {
                    self.stop.cancel();
                }
                self.config.mark_changed();
            }
        }
    }

    /// Makes a signature that has arrived a change of settings, which it is: everything is looked at anew.
    fn see_signature(&mut self) {
        if self.signature.take_if(|signature| signature.is_finished()).is_some() {
            self.config.mark_changed();
        }
    }

    async fn serve(&mut self, lane: &Arc<OpenLane>, runner: &Arc<Runner>, hearing: &mut Hearing) -> Served {
        let mut fetches = Fetches::default();
        let served = self.serve_until(lane, runner, &mut fetches, hearing).await;
        // What they bring must not be lost; they end within milliseconds.
        while fetches.next().await.is_some() {}
        served
    }

    async fn serve_until(
        &mut self,
        lane: &Arc<OpenLane>,
        runner: &Arc<Runner>,
        fetches: &mut Fetches,
        hearing: &mut Hearing,
    ) -> Served {
        loop {
            if self.stop.is_cancelled() {
                return Served::Stopped;
            }
            // A lane that is busy does not wait for changes.
            self.see_signature();
            if self.config.has_changed().unwrap_or(false) {
                return Served::Changed;
            }
            if lane.blocked.load(Ordering::Relaxed) {
                self.pause(BLOCKED_LOOK).await;
                continue;
            }
            match self.turn(lane, runner, fetches).await {
                Ok(Heard::Something) => hearing.note(Watchdog::heard),
                Ok(Heard::Interrupted) => {}
                Ok(Heard::Nothing) => {
                    if hearing.note(Watchdog::quiet) && self.is_deaf(lane, runner, hearing).await {
                        return Served::Gone;
                    }
                }
                Err(PullError::Gone { .. }) => return Served::Gone,
                Err(error) => {
                    tracing::warn!(tenant = %lane.tenant, queue = %lane.queue, %error, "pulling failed");
                    // Without a connection nobody is deaf.
                    if self.host.nats.is_connected() {
                        hearing.note(Watchdog::unanswered);
                    }
                    fetches.waiting = 0;
                    self.pause(RETRY_MIN).await;
                }
            }
        }
    }

    /// Waits for work, then for permits, and starts what they allow. While one request is on its way another may
    /// follow, so that those who run tasks do not wait for the server.
    async fn turn(
        &mut self,
        lane: &Arc<OpenLane>,
        runner: &Arc<Runner>,
        fetches: &mut Fetches,
    ) -> Result<Heard, PullError> {
        let mut held = None;
        if fetches.waiting == 0 {
            if let Some(fetched) = fetches.next().await {
                return fetched.map(|()| Heard::Interrupted);
            }
            let delivery = match self.wait_for_task(lane).await? {
                Ok(delivery) => delivery,
                Err(heard) => return Ok(heard),
            };
            fetches.waiting = delivery.pending();
            held = Some(delivery);
        } else if fetches.is_full() {
            return fetches.next().await.unwrap_or(Ok(())).map(|()| Heard::Something);
        }
        let more = u32::try_from(fetches.waiting).unwrap_or(u32::MAX).min(FETCH_MAX);
        let wanted = more + u32::from(held.is_some());
        let ahead = lane.pace.ahead();
        let mut asking = pin!(self.wait_for_permits(lane, wanted, ahead, held.is_some()));
        let permits = loop {
            tokio::select! {
                biased;
                permits = &mut asking => break permits,
                // What comes meanwhile has its permits. The place in the line is kept.
                Some(fetched) = fetches.next() => fetched?,
            }
        };
        let Some(permits) = permits else {
            if let Some(delivery) = held {
                // Somebody else may be free; from here on this lane asks for permits before it pulls.
                fetches.waiting = fetches.waiting.saturating_add(1);
                unit::give_back(lane, delivery).await;
            }
            return Ok(Heard::Something);
        };
        let mut batch = Batch::open(lane.clone(), runner.clone(), self.permits.more(), permits);
        if let Some(delivery) = held {
            fetches::add(lane, &mut batch, delivery).await;
        }
        if batch.left() > 0 && !self.stop.is_cancelled() {
            fetches.start(lane.clone(), batch);
        }
        Ok(Heard::Something)
    }

    /// Whether tasks wait that nobody gets, so that the queue has to be found anew. To be asked when nothing came for a
    /// while.
    async fn is_deaf(&mut self, lane: &OpenLane, runner: &Runner, hearing: &mut Hearing) -> bool {
        let (concurrency, OpenLane { tenant, queue, source, .. }) = (runner.spec.concurrency, lane);
        let Ok(before) = source.depth().await else { return false };
        let mut now = before;
        if is_stuck(&before, concurrency) {
            if self.pause(LOOK_AGAIN).await {
                return false;
            }
            let Ok(again) = source.depth().await else { return false };
            now = again;
        }
        match hearing.note(|dog| dog.looked(&before, &now, concurrency)) {
            Remedy::Nothing => false,
            Remedy::Rebind => {
                tracing::warn!(%tenant, %queue, pending = now.pending, "tasks wait and none comes; asking anew");
                true
            }
            Remedy::Alert => {
                tracing::error!(%tenant, %queue, pending = now.pending,
                    "tasks wait, slots are free, and still nothing is delivered");
                true
            }
        }
    }

    /// The next task of an idle queue, or what happened instead.
    async fn wait_for_task(&mut self, lane: &OpenLane) -> Result<Result<Delivery, Heard>, PullError> {
        let mut pull = lane.source.pull(1, PullMode::Wait, STAND).await?;
        tokio::select! {
            delivery = pull.next() => Ok(delivery.transpose()?.ok_or(Heard::Nothing)),
            () = self.changed() => {
                let mut came = pull.cancel().await;
                // A host that leaves runs what it has: given back, it would be delivered twice.
                if self.stop.is_cancelled() && let Some(delivery) = came.pop() {
                    return Ok(Ok(delivery));
                }
                for delivery in came {
                    unit::give_back(lane, delivery).await;
                }
                Ok(Err(Heard::Interrupted))
            }
        }
    }

    /// Permits; nothing if the lane holds a task for too long, or holds none and was stopped or changed.
    async fn wait_for_permits(
        &self,
        lane: &OpenLane,
        wanted: u32,
        ahead: u32,
        holding: bool,
    ) -> Option<Permits> {
        let permits = self.permits.permits(wanted, ahead, holding);
        let mut config = self.config.clone();
        tokio::select! {
            permits = permits => {
                if permits.is_none() {
                    lane.metrics.limited(Limit::Starts);
                }
                permits
            }
            () = self.stop.cancelled(), if !holding => None,
            // One that is at a limit may wait for a day.
            _ = config.changed(), if !holding => None,
            () = self.host.leaving_now.cancelled() => None,
            () = tokio::time::sleep(HOLD), if holding => None,
        }
    }
}

/// What a turn of a lane brought.
enum Heard {
    /// A task, or more to do.
    Something,
    /// Nothing, though the server was asked and has answered.
    Nothing,
    /// Nothing yet.
    Interrupted,
}
