//! The time as NATS has it.
//!
//! What is due, what has expired and how long a task has waited is decided by one clock for all hosts: the server's. A
//! host whose own is wrong, or is set while it works, neither holds tasks up nor lets them expire. Between two looks the
//! time goes on with this machine's monotonic clock, which nobody can set.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use saggar_model::parse_time;

use crate::api::RequestError;
use crate::{Nats, layout};

/// How often the server is asked again what time it is: two good clocks part by a millisecond in that time.
const LOOK: Duration = Duration::from_secs(30);

/// An answer that is less certain than this is worth less than what is known already.
const VAGUE: Duration = Duration::from_secs(1);

/// What is known of the server's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Option<(Instant, SystemTime)>>);

impl Clock {
    fn now(&self) -> Option<SystemTime> {
        let (at, time) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(time + at.elapsed())
    }

    fn set(&self, at: Instant, time: SystemTime, about: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() || about <= VAGUE {
            *known = Some((at, time));
        }
    }
}

/// What the server said of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The time it said.
    pub(crate) time: SystemTime,
    /// When it said so, or about.
    pub(crate) at: Instant,
    /// How far off that may be.
    pub(crate) about: Duration,
}

impl Nats {
    /// What time it is at the server; by this machine's clock until [`Nats::look_at_clock`] has been successful.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock().now().unwrap_or_else(SystemTime::now)
    }

    /// Asks the server what time it is, for [`Nats::now`].
    ///
    /// # Errors
    /// NATS does not answer; what was known holds on.
    pub async fn look_at_clock(&self) -> Result<(), RequestError> {
        if let Some(Told { time, at, about }) = self.told_time().await? {
            self.clock().set(at, time, about);
        }
        Ok(())
    }

    /// Keeps [`Nats::now`] right, for ever.
    pub async fn follow_clock(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.look_at_clock().await {
                tracing::debug!(%error, "the server does not say what time it is");
            }
        }
    }

    /// What the server says of the time; nothing if it does not, which it does with every stream.
    pub(crate) async fn told_time(&self) -> Result<Option<Told>, RequestError> {
        let asked = Instant::now();
        let stream = format!("STREAM.INFO.KV_{}", layout::TENANTS_BUCKET);
        let info: serde_json::Value = self.ask("asking for the time", &stream, &()).await?;
        let about = asked.elapsed() / 2;
        let time = info["ts"].as_str().and_then(parse_time);
        Ok(time.map(|time| Told { time, at: asked + about, about }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vague_answer_is_better_than_none_and_worse_than_any_other() {
        let (clock, at, then) = (Clock::default(), Instant::now(), SystemTime::UNIX_EPOCH);
        assert_eq!(clock.now(), None);
        let known = || clock.now().unwrap().duration_since(then).unwrap().as_secs();
        clock.set(at, then + Duration::from_secs(100), Duration::from_secs(9));
        assert!((100..160).contains(&known()));
        clock.set(at, then + Duration::from_secs(1_000), Duration::from_secs(9));
        assert!((100..160).contains(&known()));
        clock.set(at, then + Duration::from_secs(2_000), Duration::from_millis(1));
        assert!((2_000..2_060).contains(&known()));
    }
}
