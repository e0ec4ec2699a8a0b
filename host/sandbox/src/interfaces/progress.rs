//! `saggar:task/progress`: how far a guest is and where it could go on, each at most once a second, and whether it should
//! stop.

use std::time::{Duration, Instant};

use saggar_model::{CHECKPOINT_INTERVAL, CHECKPOINT_MAX_BYTES, StoreError};

use super::bindings::saggar::task::progress::{CheckpointError, Host};
use crate::services::Services;
use crate::state::State;

/// Watching is for people; more often than this nobody can read it.
const INTERVAL: Duration = Duration::from_secs(1);

/// To keep a checkpoint takes its content, its description and the removal of the one before.
const CHECKPOINT_REQUESTS: usize = 3;

/// A message is one line on a screen, not a document.
const MESSAGE_MAX_BYTES: usize = 1024;

/// The reports of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    passed_on: Option<Instant>,
    waiting: Option<(Option<f64>, String)>,
    /// When the last checkpoint was kept.
    kept: Option<Instant>,
}

impl Progress {
    fn report(&mut self, services: &dyn Services, now: Instant, fraction: f64, message: String) {
        // NaN stays no number when clamped, and means that the guest does not know.
        let fraction = Some(fraction.clamp(0.0, 1.0)).filter(|fraction| !fraction.is_nan());
        let due = self.passed_on.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        self.waiting = Some((fraction, message));
        if due {
            self.passed_on = Some(now);
            self.finish(services);
        }
    }

    /// Passes on the report that still waits, if there is one.
    pub(crate) fn finish(&mut self, services: &dyn Services) {
        if let Some((fraction, message)) = self.waiting.take() {
            services.progress(fraction, &message);
        }
    }
}

impl Host for State {
    fn report(&mut self, fraction: f64, mut message: String) {
        self.charges.call();
        self.charges.bytes(message.len());
        // Before it is cut: a half of a secret would not be found.
        message = self.granted.redactor.text(&message).into_owned();
        message.truncate(message.floor_char_boundary(MESSAGE_MAX_BYTES));
        self.progress.report(&*self.services, Instant::now(), fraction, message);
    }

    fn cancelled(&mut self) -> bool {
        self.charges.call();
        self.services.cancelled()
    }

    async fn save_checkpoint(&mut self, state: Vec<u8>) -> Result<(), CheckpointError> {
        self.charges.call();
        self.charges.requests(CHECKPOINT_REQUESTS);
        self.charges.bytes(state.len());
        if state.len() > CHECKPOINT_MAX_BYTES {
            return Err(CheckpointError::TooLarge(CHECKPOINT_MAX_BYTES as u64));
        }
        if let Some(last) = self.progress.kept {
            tokio::time::sleep_until((last + CHECKPOINT_INTERVAL).into()).await;
        }
        self.progress.kept = Some(Instant::now());
        let Some(store) = self.services.checkpoint() else { return Ok(()) };
        store.save(state.into()).await.map_err(CheckpointError::from)
    }
}

impl From<StoreError> for CheckpointError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::Full,
            StoreError::TooLarge { most, .. } => Self::TooLarge(most),
            _ => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use saggar_model::Capability;

    use super::*;
    use crate::LogLine;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<(Option<f64>, String)>>);

    impl Services for Recorder {
        fn progress(&self, fraction: Option<f64>, message: &str) {
            self.0.lock().unwrap().push((fraction, message.to_owned()));
        }

        fn log(&self, _: LogLine<'_>) {}

        fn cancelled(&self) -> bool {
            false
        }

        fn denied(&self, _: Capability, _: &str) {}
    }

    #[test]
    fn of_a_flood_of_reports_one_a_second_and_the_last_are_passed_on() {
        let (recorder, start) = (Recorder::default(), Instant::now());
        let mut progress = Progress::default();
        for step in 0..100_000_u32 {
            let now = start + Duration::from_micros(20) * step;
            progress.report(&recorder, now, f64::from(step) / 1e5, step.to_string());
        }
        progress.finish(&recorder);
        let messages: Vec<_> =
            recorder.0.into_inner().unwrap().into_iter().map(|(_, message)| message).collect();
        assert_eq!(messages, ["0", "50000", "99999"]);
    }

    #[test]
    fn hostile_fractions_are_clamped() {
        let recorder = Recorder::default();
        for fraction in [f64::NEG_INFINITY, -1.0, f64::NAN, 2.0, f64::INFINITY] {
            Progress::default().report(&recorder, Instant::now(), fraction, String::new());
        }
        let fractions: Vec<_> =
            recorder.0.into_inner().unwrap().into_iter().map(|(fraction, _)| fraction).collect();
        assert_eq!(fractions, [Some(0.0), Some(0.0), None, Some(1.0), Some(1.0)]);
    }
}
