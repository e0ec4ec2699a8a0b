//! What tenants' work costs this host, as Prometheus counts: the same as in their accounts, from the moment the host
//! started, and attempts that nobody is charged for besides.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use saggar_model::Receipt;

use crate::metrics::QueueLabels;

type Seconds = Counter<f64, AtomicU64>;

/// The counters of all queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    cpu: Family<QueueLabels, Seconds>,
    memory: Family<QueueLabels, Seconds>,
    bytes_in: Family<QueueLabels, Counter>,
    bytes_out: Family<QueueLabels, Counter>,
    uncharged: Family<QueueLabels, Counter>,
    compile: Family<QueueLabels, Seconds>,
}

/// Those of one queue.
#[derive(Debug)]
pub(crate) struct QueueWork {
    cpu: Seconds,
    memory: Seconds,
    bytes_in: Counter,
    bytes_out: Counter,
    uncharged: Counter,
}

impl Work {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let work = Self::default();
        registry.register("cpu_seconds", "Time that guests were computing", work.cpu.clone());
        registry.register(
            "memory_byte_seconds",
            "Peak memory times run time of attempts",
            work.memory.clone(),
        );
        registry.register("bytes_in", "Bytes of payloads of attempts", work.bytes_in.clone());
        registry.register("bytes_out", "Bytes of outputs of attempts", work.bytes_out.clone());
        registry.register(
            "uncharged_fuel",
            "Fuel of attempts that nobody is charged for: errors of hosts, drains, lost leases",
            work.uncharged.clone(),
        );
        registry.register(
            "queue_compile_seconds",
            "Time to compile plugins, by the queue that wanted one first",
            work.compile.clone(),
        );
        work
    }

    pub(crate) fn of_queue(&self, labels: &QueueLabels) -> QueueWork {
        QueueWork {
            cpu: self.cpu.get_or_create_owned(labels),
            memory: self.memory.get_or_create_owned(labels),
            bytes_in: self.bytes_in.get_or_create_owned(labels),
            bytes_out: self.bytes_out.get_or_create_owned(labels),
            uncharged: self.uncharged.get_or_create_owned(labels),
        }
    }

    pub(crate) fn compiled(&self, labels: &QueueLabels, took: Duration) {
        self.compile.get_or_create(labels).inc_by(took.as_secs_f64());
    }
}

impl QueueWork {
    /// An attempt ended.
    #[expect(clippy::cast_precision_loss, reason = "a metric; 2^53 bytes are more than any memory")]
    pub(crate) fn attempt(&self, receipt: &Receipt) {
        self.cpu.inc_by(receipt.cpu.as_secs_f64());
        self.memory.inc_by(receipt.peak_memory as f64 * receipt.duration.as_secs_f64());
        self.bytes_in.inc_by(receipt.bytes_in);
        self.bytes_out.inc_by(receipt.bytes_out);
    }

    /// Nobody is charged for an attempt.
    pub(crate) fn uncharged(&self, receipt: &Receipt) {
        self.uncharged.inc_by(receipt.fuel);
    }
}
