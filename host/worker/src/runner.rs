//! What runs the tasks of a queue: its plugin, ready to be instantiated, and the queue's settings at one moment.
//!
//! Making a plugin ready may mean fetching and compiling it, so that it happens before a lane pulls its first task,
//! once per digest however many lanes want it, and never on the path of a task. Where only signed plugins are run, the
//! signature is checked before anything else is done with the component.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use saggar_jetstream::{Plugins, PluginsError};
use saggar_model::{
    Bill, Digest, PluginId, PluginRef, QueueName, QueueSpec, Task, TenantName, TrustedKeys, Untrusted,
};
use saggar_sandbox::{CompileError, Granted, Plugin, PluginCache, Prepared};
use tokio::sync::OnceCell;

use crate::books::Books;
use crate::canary::CanaryRunner;
use crate::metrics::{Metrics, Side, Stopwatch};
use crate::turns::Turns;

/// Plugins kept although no queue uses them, so that a queue that comes back starts at once.
const KEPT_UNUSED: usize = 64;

/// How often to look whether a plugin has been signed meanwhile. A person who signs waits for it; half of it would be
/// five hundred questions a second for a thousand queues.
const SIGNATURE_LOOK: Duration = Duration::from_secs(4);

/// A queue's settings, and what runs its tasks.
pub(crate) struct Runner {
    pub(crate) spec: QueueSpec,
    pub(crate) digest: Option<Digest>,
    pub(crate) program: Program,
    /// What its tasks may do beyond computing.
    pub(crate) granted: Arc<Granted>,
    /// What some of its tasks run instead.
    pub(crate) canary: Option<CanaryRunner>,
    /// As what it is counted, while two versions run.
    pub(crate) side: Option<Side>,
}

/// Whether there is something to run.
#[derive(Clone)]
pub(crate) enum Program {
    /// A plugin.
    Ready(Plugin),
    /// Its component can never run, for this reason: every task of the queue is invalid.
    Refused(String),
    /// Nobody that this host trusts has signed it yet, for this reason: until then every task of the queue is invalid.
    Untrusted(String),
}

impl Runner {
    /// What runs this task: the same for all its attempts, on whichever host.
    pub(crate) fn of(self: Arc<Self>, task: &Task) -> Arc<Self> {
        self.canary.as_ref().and_then(|canary| canary.of(task)).unwrap_or(self)
    }

    /// The plugin as results name it.
    pub(crate) fn plugin_id(&self) -> PluginId {
        PluginId { name: self.spec.plugin.name().clone(), version: self.spec.plugin.version().cloned() }
    }
}

/// Why a plugin is not ready yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] PluginsError),
    /// It could not be compiled here and now.
    #[error("the compile process failed: {0}")]
    Compiler(String),
}

type Making = Arc<OnceCell<Program>>;

/// Makes plugins ready. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workshop {
    plugins: Plugins,
    cache: PluginCache,
    metrics: Metrics,
    books: Books,
    /// Who must have signed what is run; absent: anything is run.
    trusted: Option<Arc<TrustedKeys>>,
    making: Arc<Mutex<HashMap<Digest, Making>>>,
    turns: Turns,
}

impl Workshop {
    pub(crate) fn new(
        plugins: Plugins,
        cache: PluginCache,
        metrics: Metrics,
        books: Books,
        trusted: Option<TrustedKeys>,
    ) -> Self {
        Self {
            plugins,
            cache,
            metrics,
            books,
            trusted: trusted.map(Arc::new),
            making: Arc::default(),
            turns: Turns::default(),
        }
    }

    /// What a queue's plugin is, by the digest that the tenant's record says it has; waits until it is ready.
    ///
    /// The digest names the bytes that will be loaded, so that a signature of it is a signature of them.
    ///
    /// # Errors
    /// As [`Self::program`], and the signatures could not be read.
    pub(crate) async fn program_of(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        plugin: &PluginRef,
        digest: Digest,
    ) -> Result<Program, NotReady> {
        match self.objection(tenant, plugin, digest).await? {
            None => self.program(digest, tenant, queue).await,
            Some(untrusted) => {
                tracing::warn!(%tenant, %plugin, %digest, %untrusted, "the plugin is not run");
                Ok(Program::Untrusted(format!("only what a trusted key has signed is run, and {untrusted}")))
            }
        }
    }

    /// Waits until somebody that this host trusts has signed the plugin.
    pub(crate) async fn wait_until_signed(self, tenant: TenantName, plugin: PluginRef, digest: Digest) {
        let mut look = tokio::time::interval(SIGNATURE_LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            // While NATS does not answer nothing can be known, and nothing is changed.
            if let Ok(None) = self.objection(&tenant, &plugin, digest).await {
                return;
            }
        }
    }

    /// Why this host does not run the plugin, if it does not.
    async fn objection(
        &self,
        tenant: &TenantName,
        plugin: &PluginRef,
        digest: Digest,
    ) -> Result<Option<Untrusted>, PluginsError> {
        let Some(trusted) = &self.trusted else { return Ok(None) };
        Ok(self.plugins.check(tenant, plugin, &digest, trusted).await?.err())
    }

    /// The program of this digest; waits until it is ready. If it has to be compiled, it is this tenant's turn.
    ///
    /// # Errors
    /// The component could not be fetched, or the compile process could not be run. Trying again may help.
    async fn program(
        &self,
        digest: Digest,
        tenant: &TenantName,
        queue: &QueueName,
    ) -> Result<Program, NotReady> {
        let making = self.entry(digest);
        making.get_or_try_init(|| self.make(digest, tenant, queue)).await.cloned()
    }

    fn entry(&self, digest: Digest) -> Making {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if making.len() > KEPT_UNUSED {
            // A lane clones what it uses out of the entry; an entry nobody waits for can be made again.
            making.retain(|known, entry| *known == digest || Arc::strong_count(entry) > 1);
        }
        making.entry(digest).or_default().clone()
    }

    async fn make(
        &self,
        digest: Digest,
        tenant: &TenantName,
        queue: &QueueName,
    ) -> Result<Program, NotReady> {
        let _stopwatch = Stopwatch { histogram: &self.metrics.compile, start: Instant::now() };
        let prepared = match self.cache.find(digest).await {
            Some(prepared) => prepared,
            None => self.compile(digest, tenant, queue).await?,
        };
        self.metrics.cache(self.cache.stats());
        Ok(match prepared {
            Ok(plugin) => {
                tracing::info!(%digest, "plugin is ready");
                Program::Ready(plugin)
            }
            Err(refused) => {
                tracing::warn!(%digest, %refused, "the plugin can never be run");
                Program::Refused(refused.to_string())
            }
        })
    }

    /// Compiles it, and charges the time to the queue that wanted it first.
    async fn compile(
        &self,
        digest: Digest,
        tenant: &TenantName,
        queue: &QueueName,
    ) -> Result<Prepared, NotReady> {
        let _turn = self.turns.of(tenant).await;
        let component = self.plugins.fetch(&digest).await?;
        let start = Instant::now();
        let compiled = self.cache.compile(component).await;
        let took = start.elapsed();
        self.metrics.compiled(tenant, queue, took);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.books.add(tenant, |host, now| Bill::compiled(queue, host, took, now)).await;
        match compiled {
            Ok(plugin) => Ok(Ok(plugin)),
            Err(CompileError::Refused(refused)) => Ok(Err(refused)),
            Err(CompileError::Process(reason)) => Err(NotReady::Compiler(reason)),
        }
    }
}
