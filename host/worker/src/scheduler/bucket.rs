//! Tokens that come by and by.

use std::time::{Duration, Instant};

use super::event::Flow;

/// Tokens for so long are worth a request of their own; one for each would be as many requests as tasks.
const BATCH: Duration = Duration::from_millis(20);

/// Further away than this nothing is planned.
const FAR: Duration = Duration::from_hours(24);

/// Tokens that come by and by: as many as there are may be taken at once. What was spent beyond is a debt.
#[derive(Debug, Default)]
pub struct Bucket {
    flow: Option<Flow>,
    level: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// What may be taken at once, if anything bounds it.
    #[must_use]
    pub fn burst(&self) -> Option<f64> {
        self.flow.map(|flow| flow.burst)
    }

    /// Another flow from now on. One that is new begins full.
    pub fn set(&mut self, flow: Option<Flow>, now: Instant) {
        self.level = match (self.flow, flow) {
            (Some(_), Some(flow)) => self.level(now).min(flow.burst),
            (None, Some(flow)) => flow.burst,
            (_, None) => 0.0,
        };
        (self.flow, self.at) = (flow, Some(now));
    }

    /// How much there is; without end if nothing bounds it.
    #[must_use]
    pub fn level(&self, now: Instant) -> f64 {
        let (Some(flow), Some(at)) = (self.flow, self.at) else { return f64::INFINITY };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        (self.level + passed * flow.per_second).min(flow.burst)
    }

    /// Takes some, or gives back what was taken if it is less than nothing.
    pub fn take(&mut self, amount: f64, now: Instant) {
        let level = self.level(now);
        if let Some(flow) = self.flow {
            (self.level, self.at) = ((level - amount).min(flow.burst), Some(now));
        }
    }

    /// When there is this much.
    #[must_use]
    pub fn when(&self, level: f64, now: Instant) -> Instant {
        let Some(flow) = self.flow else { return now };
        let missing = (level - self.level(now)).max(0.0);
        let wait = Duration::try_from_secs_f64(missing / flow.per_second).unwrap_or(FAR);
        // Never sooner than a clock tells two moments apart.
        now + wait.clamp(Duration::from_micros(1), FAR)
    }

    /// The next one worth a request, when there is none now.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        let Some(flow) = self.flow else { return now };
        let batch = (flow.per_second * BATCH.as_secs_f64()).floor();
        self.when(batch.min(flow.burst).max(1.0), now)
    }
}
