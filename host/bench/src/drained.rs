//! How fast a stage's queues are drained.

use std::time::{Duration, Instant};

use crate::bench::BenchError;
use crate::process::cpu_time;
use crate::stage::Stage;
use crate::worker::Worker;

/// How often is looked how many tasks are done: often against seconds, seldom against microseconds.
const LOOK: Duration = Duration::from_millis(5);

/// How long a drain may stand still.
const STANDSTILL: Duration = Duration::from_secs(30);

/// The first of so many parts of a drain is not counted: the worker starts up.
const START_UP: u64 = 10;

/// What a drain came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// Tasks a second.
    pub(crate) rate: f64,
    /// CPU time per task of this process, and of the server, in microseconds.
    pub(crate) cpu: [f64; 2],
}

impl Stage {
    /// Waits until `worker` has settled `total` tasks. What it does while it starts up is left out.
    pub(crate) async fn drained(&self, worker: &Worker, total: u64) -> Result<Drained, BenchError> {
        let mut look = tokio::time::interval(LOOK);
        let mut begun: Option<Moment> = None;
        let mut progress = (Instant::now(), 0);
        loop {
            look.tick().await;
            let (now, settled) = (Instant::now(), worker.settled());
            if settled > progress.1 {
                progress = (now, settled);
            } else if now - progress.0 > STANDSTILL {
                return Err(BenchError::Standstill { settled, total });
            }
            match &begun {
                None if settled >= total / START_UP => begun = Some(self.moment(settled)),
                Some(begun) if settled >= total => return Ok(self.moment(settled).since(begun)),
                None | Some(_) => {}
            }
        }
    }

    /// Waits until `worker` has settled so many tasks.
    pub(crate) async fn begun(&self, worker: &Worker, tasks: u64) -> Result<(), BenchError> {
        let mut look = tokio::time::interval(LOOK);
        let begun = Instant::now();
        while worker.settled() < tasks {
            if begun.elapsed() > STANDSTILL {
                return Err(BenchError::Standstill { settled: worker.settled(), total: tasks });
            }
            look.tick().await;
        }
        Ok(())
    }

    fn moment(&self, settled: u64) -> Moment {
        Moment { at: Instant::now(), settled, cpu: self.cpu() }
    }

    /// Seconds of CPU time so far, of this process and of the server.
    pub(crate) fn cpu(&self) -> [f64; 2] {
        let server = self.server.pid().map_or(f64::NAN, |pid| cpu_time(&pid.to_string()));
        [cpu_time("self"), server]
    }
}

/// How things stand at one moment of a drain.
struct Moment {
    at: Instant,
    settled: u64,
    /// Seconds of CPU time, of this process and of the server.
    cpu: [f64; 2],
}

impl Moment {
    #[expect(clippy::cast_precision_loss, reason = "a number of tasks")]
    fn since(&self, before: &Self) -> Drained {
        let tasks = (self.settled - before.settled) as f64;
        Drained {
            rate: tasks / (self.at - before.at).as_secs_f64(),
            cpu: [0, 1].map(|at| (self.cpu[at] - before.cpu[at]) / tasks * 1e6),
        }
    }
}
