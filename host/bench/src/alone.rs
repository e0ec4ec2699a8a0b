//! Attempts without a queue: made over and over on threads of their own, each with a runtime of its own.

use std::future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use saggar_model::config::WorkerConfig;
use saggar_model::{Ceilings, Ending};
use saggar_sandbox::{Options, Plugin, Request, Sandbox, Services, Silent, Usage};

use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Unit};
use crate::samples::Pairs;
use crate::turns::{Side, by_turns};

/// A guest in the sandbox, as a host runs it, except that nobody listens to what it says.
pub(crate) struct Guest {
    sandbox: Sandbox,
    plugin: Plugin,
    request: Request,
    services: Arc<dyn Services>,
}

/// The pool of a host with default settings.
pub(crate) fn pool() -> Options {
    Options {
        slots: WorkerConfig::SLOTS_DEFAULT,
        max_memory: Ceilings::default().0.memory,
        ..Options::default()
    }
}

impl Guest {
    /// A guest with a pool of its own, which gets `payload` in each attempt.
    pub(crate) fn new(wasm: &[u8], payload: impl Into<Bytes>) -> Result<Arc<Self>, BenchError> {
        let sandbox = Sandbox::new(&pool())?;
        let plugin = sandbox.load(&sandbox.compile(wasm)?)?;
        let request = Request::local(payload.into());
        Ok(Arc::new(Self { sandbox, plugin, request, services: Arc::new(Silent) }))
    }

    /// Makes an attempt, which has to succeed.
    pub(crate) async fn attempt(&self) -> Result<Usage, BenchError> {
        let (request, services) = (self.request.clone(), self.services.clone());
        let attempt = self.sandbox.run(&self.plugin, request, services, future::pending()).await;
        match attempt.ending {
            Ending::Succeeded(output) => {
                black_box(output);
                Ok(attempt.usage)
            }
            Ending::Failed(failure) => Err(BenchError::Attempt(failure.reason)),
        }
    }

    /// What its attempts may spend.
    pub(crate) fn fuel(&self) -> u64 {
        self.request.limits.fuel
    }
}

/// What some repetitions came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeated {
    /// In a second, by all threads together.
    pub(crate) rate: f64,
    /// CPU time of the whole process for each, in microseconds.
    pub(crate) cpu: f64,
}

/// Does `once` over and over on so many threads for so long.
#[expect(clippy::cast_precision_loss, reason = "a number of repetitions")]
pub(crate) async fn repeat<F>(threads: usize, time: Duration, once: F) -> Result<Repeated, BenchError>
where
    F: AsyncFn() -> Result<(), BenchError> + Send + Sync + 'static,
{
    let measuring = tokio::task::spawn_blocking(move || {
        let before = cpu_time();
        let counted: Result<Vec<(u64, f64)>, BenchError> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| count(time, &once))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread counts to its end")).collect()
        });
        let (cpu, counted) = (cpu_time() - before, counted?);
        let all: u64 = counted.iter().map(|(count, _)| count).sum();
        Ok(Repeated {
            rate: counted.iter().map(|(count, seconds)| *count as f64 / seconds).sum(),
            cpu: cpu / all as f64 * 1e6,
        })
    });
    measuring.await.expect("measuring does not panic")
}

/// How often `once` is done on this thread, and in how many seconds.
fn count<F>(time: Duration, once: &F) -> Result<(u64, f64), BenchError>
where
    F: AsyncFn() -> Result<(), BenchError>,
{
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(BenchError::Runtime)?;
    runtime.block_on(async {
        let begun = Instant::now();
        let mut count = 0;
        while begun.elapsed() < time {
            once().await?;
            count += 1;
        }
        Ok((count, begun.elapsed().as_secs_f64()))
    })
}

/// CPU time of this process so far, in seconds.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a process")]
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// How often guest `name` computes something in a second on so many threads, beside the same code on the machine
/// itself.
pub(crate) async fn beside_native(
    setting: &Setting<'_>,
    (name, threads, case): (&'static str, usize, &str),
    input: Vec<u8>,
    native: fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<Figure>, BenchError> {
    let input = Bytes::from(input);
    let guest = Guest::new(&setting.components.read(name)?, input.clone())?;
    let mut rates = Pairs::default();
    for round in 0..setting.scale.rounds {
        let [ours, limit] = by_turns(round, async |side| {
            let (guest, input) = (guest.clone(), input.clone());
            let time = setting.scale.work;
            match side {
                Side::Ours => repeat(threads, time, async move || guest.attempt().await.map(drop)).await,
                Side::Limit => {
                    let compute = async move || {
                        black_box(native(black_box(&input)));
                        Ok(())
                    };
                    repeat(threads, time, compute).await
                }
            }
        })
        .await?;
        rates.push(ours.rate, limit.rate);
    }
    Ok(vec![Figure { case: Some(case.to_owned()), unit: Unit::PerSecond, goal: None, pairs: rates }])
}
