//! Whether a task may be what hosts are lost to, and what that means for its next run.
//!
//! A host that is lost takes all its tasks with it and blames nobody. So its tasks become suspects, each of which is
//! run with no other suspect beside it, and only a host that is lost then is held against the task. Nearly all of
//! them are innocent, and some run for hours: whoever has run alone for a while makes room for the next.

use std::time::Duration;

use crate::NAK_DELAY_MAX;

/// So many hosts lost to a task alone are enough. One may be chance and two bad luck; each more is another host.
pub const CRASHES_MAX: u32 = 3;

/// The least time until a suspect is tried again that found another one running. Less would keep hosts busy with
/// tasks they do not run.
const TURN_AFTER_MIN: Duration = Duration::from_secs(1);

/// How long a task runs alone after the first host was lost with it. What brings a host down mostly does so at once,
/// and the tasks of a host that was merely switched off wait for each other: 256 of them for a minute.
const TRIAL_FIRST: Duration = Duration::from_millis(250);

/// How much longer with each further host: whatever time a task needs to bring its host down, a few hosts later its
/// trial is longer. Twice would cost more hosts, ten times would keep the innocent waiting.
const TRIAL_FACTOR: u32 = 4;

/// What a task's history says about hosts that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// No host was lost with it. It runs beside any other.
    Clear,
    /// A host was lost with it. It runs as its host's only suspect.
    Suspect,
    /// Too many hosts were lost to it alone. It is not run again.
    Guilty,
}

/// How long a suspect runs alone that so many hosts were lost with; then it is acquitted, and another's turn comes
/// while it goes on.
#[must_use]
pub fn trial(losses: u32) -> Duration {
    let longer = TRIAL_FACTOR.saturating_pow(losses.saturating_sub(1));
    TRIAL_FIRST.saturating_mul(longer)
}

/// How long a suspect stays away that found another one running. `chance` is a random number in [0, 1): suspects come
/// back one by one, although they were delivered together.
#[must_use]
pub fn turn_after(chance: f64) -> Duration {
    let spread = NAK_DELAY_MAX.saturating_sub(TURN_AFTER_MIN);
    TURN_AFTER_MIN + spread.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{History, Outcome};

    /// What becomes of a delivery.
    #[derive(Debug, Clone, Copy)]
    enum Fate {
        /// The host was lost and had written nothing down.
        Lost,
        /// The host ran it as its only suspect, and was lost.
        LostAlone,
        /// The host ran it as its only suspect; it ended so.
        Alone(Outcome),
        /// The host ran it as its only suspect for as long as its trial, and was lost later.
        LostLater,
        /// The host ran another suspect.
        Waited,
        /// It was run and ended so.
        Ended(Outcome),
    }

    fn history_after(fates: &[Fate]) -> History {
        let mut history = History::default();
        for (delivery, fate) in (1..).zip(fates) {
            let now = history.clone().at_delivery(delivery);
            history = match fate {
                Fate::Lost => history,
                Fate::LostAlone => now.alone(delivery, "a"),
                Fate::LostLater => now.alone(delivery, "a").acquitted(),
                Fate::Alone(outcome) => now.alone(delivery, "a").after(*outcome, delivery, "a"),
                Fate::Waited => now.unrun(delivery, "a"),
                Fate::Ended(outcome) => now.after(*outcome, delivery, "a"),
            };
        }
        history.at_delivery(fates.len() as u64 + 1)
    }

    #[test]
    fn only_hosts_lost_to_a_task_alone_are_held_against_it() {
        use Fate::{Alone, Ended, Lost, LostAlone, LostLater, Waited};
        use Outcome::{HostError, Interrupted, Trapped};
        use Suspicion::{Clear, Guilty, Suspect};
        let table: [(&[Fate], Suspicion, u32); 19] = [
            (&[], Clear, 0),
            (&[Ended(Trapped)], Clear, 0),
            (&[Ended(Interrupted)], Clear, 0),
            (&[Ended(HostError)], Clear, 0),
            (&[Lost], Suspect, 0),
            (&[Lost, Lost, Lost, Lost, Lost, Lost], Suspect, 0),
            (&[Lost, Waited, Waited, Waited, Waited], Suspect, 0),
            (&[Lost, LostAlone], Suspect, 1),
            (&[Lost, LostAlone, LostAlone], Suspect, 2),
            (&[Lost, LostAlone, LostAlone, LostAlone], Guilty, 3),
            (&[Lost, LostAlone, Waited, Lost, LostAlone, Waited, Lost, LostAlone], Guilty, 3),
            (&[Lost, LostLater, LostLater, LostLater, LostLater], Suspect, 0),
            (&[Lost, LostLater, LostAlone, LostLater, LostAlone, LostAlone], Guilty, 3),
            (&[Lost, LostAlone, LostAlone, Alone(Interrupted)], Suspect, 2),
            (&[Lost, LostAlone, LostAlone, Alone(HostError)], Suspect, 2),
            (&[Lost, Alone(Interrupted), Alone(Interrupted), Alone(Interrupted)], Suspect, 0),
            (&[Lost, LostAlone, LostAlone, Alone(Trapped)], Clear, 0),
            (&[Lost, LostAlone, LostAlone, Alone(Trapped), Lost], Suspect, 0),
            (&[Lost, LostAlone, LostAlone, Ended(Interrupted), Lost], Suspect, 2),
        ];
        for (fates, suspicion, crashes) in table {
            let history = history_after(fates);
            assert_eq!((history.suspicion(), history.crashes), (suspicion, crashes), "{fates:?}");
        }
    }

    #[test]
    fn a_loss_is_counted_once_however_often_it_is_looked_at() {
        let once = history_after(&[Fate::Lost, Fate::LostAlone]);
        assert_eq!(once.clone().at_delivery(3), once);
        assert_eq!(once.clone().unrun(3, "b").at_delivery(4).crashes, 1);
    }

    #[test]
    fn a_run_that_goes_on_is_no_crash_yet() {
        let running = history_after(&[Fate::Lost]).alone(2, "a");
        assert_eq!(running.clone().at_delivery(2), running);
    }

    #[test]
    fn a_trial_is_short_at_first_and_outlasts_any_task_in_the_end() {
        assert_eq!([1, 2, 3].map(trial), [250, 1000, 4000].map(Duration::from_millis));
        assert!(trial(11) > Duration::from_hours(24), "the longest wall limit");
        assert!(trial(u32::MAX) >= trial(11));
    }

    #[test]
    fn a_task_that_brings_down_its_hosts_is_found_out_however_long_it_takes_to() {
        let hosts = |needs: Duration| {
            let mut history = History::default().at_delivery(2);
            for delivery in 2.. {
                let alone = history.alone(delivery, "a");
                let lost = if trial(history.losses) > needs { alone } else { alone.acquitted() };
                history = lost.at_delivery(delivery + 1);
                if history.suspicion() == Suspicion::Guilty {
                    break;
                }
            }
            history.losses
        };
        let needs =
            [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(30), Duration::from_hours(23)];
        assert_eq!(needs.map(hosts), [4, 6, 8, 14]);
    }

    #[test]
    fn suspects_that_wait_come_back_one_by_one_and_hold_no_place_for_long() {
        assert_eq!(turn_after(0.0), Duration::from_secs(1));
        assert_eq!(turn_after(0.5), Duration::from_secs(3));
        assert!(turn_after(1.0) <= NAK_DELAY_MAX);
    }
}
