//! Whether a lane is deaf: it asks and gets nothing, although there is something to get.
//!
//! A state machine without a clock. A request that is never answered is one sign; the other is a queue in which tasks
//! wait, slots are free, and still nothing is delivered to anybody. What helps is tried in this order: a new request,
//! a new look at the queue from its beginning, and an operator.

use saggar_jetstream::QueueDepth;

/// Requests in a row that fail or are never answered before the host is unwell. One may be a reconnect.
const UNANSWERED_MAX: u32 = 2;

/// Requests in a row that bring nothing before somebody looks whether there is anything: the second is the new one
/// that is tried first.
const QUIET_MAX: u32 = 2;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Go on.
    Nothing,
    /// Find the queue anew.
    Rebind,
    /// Say that the host is unwell, and find the queue anew all the same.
    Alert,
}

/// What is known of one lane's requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Watchdog {
    unanswered: u32,
    quiet: u32,
    stuck: u32,
}

impl Watchdog {
    /// A task came.
    pub(crate) fn heard(&mut self) {
        *self = Self::default();
    }

    /// A request was answered, but no task came. True if somebody should look whether there is one.
    pub(crate) fn quiet(&mut self) -> bool {
        self.unanswered = 0;
        self.quiet += 1;
        self.quiet >= QUIET_MAX
    }

    /// A request failed, or was never answered.
    pub(crate) fn unanswered(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Somebody looked twice, a while apart.
    pub(crate) fn looked(&mut self, before: &QueueDepth, now: &QueueDepth, concurrency: u32) -> Remedy {
        self.quiet = 0;
        if !is_stuck(before, concurrency) || !is_stuck(now, concurrency) || before.delivered != now.delivered
        {
            self.stuck = 0;
            return Remedy::Nothing;
        }
        self.stuck = self.stuck.saturating_add(1);
        if self.stuck == 1 { Remedy::Rebind } else { Remedy::Alert }
    }

    /// Whether the host does not do its work for this queue.
    pub(crate) fn is_unwell(&self) -> bool {
        self.unanswered >= UNANSWERED_MAX || self.stuck > 1
    }
}

/// Whether tasks wait that could be delivered.
pub(crate) fn is_stuck(depth: &QueueDepth, concurrency: u32) -> bool {
    !depth.paused && depth.pending > 0 && depth.running < u64::from(concurrency)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: QueueDepth = QueueDepth { pending: 3, running: 0, pulls: 1, paused: false, delivered: 7 };

    /// As many quiet requests as make somebody look.
    fn quiet(dog: &mut Watchdog) {
        assert!(!dog.quiet());
        assert!(dog.quiet());
    }

    #[test]
    fn a_queue_in_which_tasks_wait_and_none_is_delivered_is_found_anew_and_then_told_of() {
        let mut dog = Watchdog::default();
        quiet(&mut dog);
        assert_eq!((dog.looked(&WAITING, &WAITING, 4), dog.is_unwell()), (Remedy::Rebind, false));
        quiet(&mut dog);
        assert_eq!((dog.looked(&WAITING, &WAITING, 4), dog.is_unwell()), (Remedy::Alert, true));
        dog.heard();
        assert!(!dog.is_unwell(), "it is well as soon as a task comes");
    }

    #[test]
    fn an_idle_a_paused_and_a_busy_queue_are_not_stuck() {
        for depth in [
            QueueDepth { pending: 0, ..WAITING },
            QueueDepth { paused: true, ..WAITING },
            QueueDepth { running: 4, ..WAITING },
        ] {
            let mut dog = Watchdog { stuck: 5, ..Watchdog::default() };
            assert_eq!(dog.looked(&depth, &depth, 4), Remedy::Nothing, "{depth:?}");
            assert!(!dog.is_unwell());
        }
    }

    #[test]
    fn a_queue_whose_tasks_go_to_others_is_not_stuck() {
        let now = QueueDepth { delivered: 8, ..WAITING };
        assert_eq!(Watchdog::default().looked(&WAITING, &now, 4), Remedy::Nothing);
    }

    #[test]
    fn two_requests_in_a_row_without_an_answer_are_one_too_many() {
        let mut dog = Watchdog::default();
        dog.unanswered();
        assert!(!dog.is_unwell());
        dog.unanswered();
        assert!(dog.is_unwell());
        dog.quiet();
        assert!(!dog.is_unwell(), "an answer is an answer, also one that there is nothing");
    }
}
