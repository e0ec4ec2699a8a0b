//! A task's way through timers.
//!
//! A message that waits for long leaves its queue for a timer and comes back as another message. What the task has been
//! through stays where it was written first, in a stream that only hosts write; the new message carries a [`Ticket`]
//! that says where. A tenant can publish any header, so that a ticket alone is worth nothing: it counts if it holds the
//! secret of the record that it names, which nobody but hosts ever sees.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{History, Sequence, TimerName};

/// The longest that a task can be delayed: a year, also if it is a leap year. Whoever wants more wants a calendar.
pub const DELAY_MAX: Duration = Duration::from_hours(366 * 24);

/// What is left of a task while it waits in a timer, for the message that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Drawn at random when the task goes into its first timer.
    pub secret: TimerName,
    /// Timers that the task went into, the one it is in or came out of last included.
    pub count: u32,
    /// The message that went into that one.
    pub from: Sequence,
    /// The message that goes on, once it has written something down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Sequence>,
    /// When it is due, in Unix milliseconds.
    pub due_ms: u64,
    /// When the task was published, in Unix milliseconds.
    pub published_ms: u64,
    /// When it is due is its turn among the tasks of its key: its next start is counted already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub booked: bool,
}

impl Passage {
    /// What the timer is called.
    #[must_use]
    pub fn timer(&self) -> TimerName {
        // A secret is drawn short enough for a number behind it.
        format!("{}-{}", self.secret, self.count).parse().unwrap_or_else(|_| self.secret.clone())
    }

    /// What the message carries that comes out of it. `origin` is where the record lies.
    #[must_use]
    pub fn ticket(&self, origin: Sequence) -> Ticket {
        Ticket { origin, secret: self.secret.clone(), count: self.count }
    }

    /// When it is due.
    #[must_use]
    pub fn due(&self) -> SystemTime {
        from_ms(self.due_ms)
    }

    /// When the task was published.
    #[must_use]
    pub fn published(&self) -> SystemTime {
        from_ms(self.published_ms)
    }
}

fn from_ms(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a message that came out of a timer says about the task's record: `17.6f1c….2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The place of the task's first message, under which its record lies.
    pub origin: Sequence,
    /// The secret that the record must hold.
    pub secret: TimerName,
    /// Which timer it came out of, from 1.
    pub count: u32,
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.origin, self.secret, self.count)
    }
}

/// A text that is no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no ticket of a timer")]
pub struct NoTicket;

impl FromStr for Ticket {
    type Err = NoTicket;

    fn from_str(text: &str) -> Result<Self, NoTicket> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(NoTicket);
        let origin = next()?.parse().map_err(|_| NoTicket)?;
        let secret = next()?.parse().map_err(|_| NoTicket)?;
        let count = next()?.parse().map_err(|_| NoTicket)?;
        if parts.next().is_some() { Err(NoTicket) } else { Ok(Self { origin, secret, count }) }
    }
}

/// What a message is to the task's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It is the task. This is what it has been through.
    Current(History),
    /// It went into a timer, and should have been acknowledged.
    PutOff(History),
    /// Another message has taken its place.
    Superseded,
    /// It only says that it has to do with the record.
    Stranger,
}

impl History {
    /// What the message at place `sequence` is, which came with this ticket, to the task whose record this is.
    /// Without a ticket, the record was found under the message's own place, and is its own if it was published when the
    /// record says: a stream that was made anew counts its places from 1 again.
    #[must_use]
    pub fn arrival(self, sequence: Sequence, published: SystemTime, ticket: Option<&Ticket>) -> Arrival {
        let Some(passage) = &self.passage else {
            return if ticket.is_none() { Arrival::Current(self) } else { Arrival::Stranger };
        };
        match ticket {
            Some(ticket) if ticket.secret != passage.secret => return Arrival::Stranger,
            None if passage.published_ms != ms(published) => return Arrival::Current(Self::default()),
            _ => {}
        }
        let count = ticket.map_or(0, |ticket| ticket.count);
        match passage.by {
            Some(by) if by == sequence => Arrival::Current(self),
            None if passage.from == sequence => Arrival::PutOff(self),
            None if passage.count == count => Arrival::Current(self.taken_up(sequence)),
            _ => Arrival::Superseded,
        }
    }

    /// The history of a task that goes into a timer. `secret` is drawn at random, and used for its first one.
    #[must_use]
    pub fn put_off(
        &self,
        from: Sequence,
        secret: &TimerName,
        due: SystemTime,
        published: SystemTime,
    ) -> Self {
        let before = self.passage.as_ref();
        let passage = Passage {
            secret: before.map_or(secret, |before| &before.secret).clone(),
            count: before.map_or(0, |before| before.count).saturating_add(1),
            from,
            by: None,
            due_ms: ms(due),
            published_ms: before.map_or_else(|| ms(published), |before| before.published_ms),
            booked: false,
        };
        Self { passage: Some(passage), ..self.clone() }
    }

    /// The same, with its next start counted for when the timer is due.
    #[must_use]
    pub fn booked(mut self) -> Self {
        self.passage.iter_mut().for_each(|passage| passage.booked = true);
        self
    }

    /// Whether the next start was counted beforehand.
    #[must_use]
    pub fn is_booked(&self) -> bool {
        self.passage.as_ref().is_some_and(|passage| passage.booked)
    }

    /// The history of a task that was to go into a timer, found none, and goes on as the message that it was.
    #[must_use]
    pub fn taken_back(&self) -> Self {
        let passage = self.passage.clone().map(|passage| Passage { by: Some(passage.from), ..passage });
        Self { passage, ..self.clone() }
    }

    /// The history of a task that came out of a timer as another message, whose deliveries count from 1 again.
    fn taken_up(&self, sequence: Sequence) -> Self {
        let passage = self.passage.clone().map(|passage| Passage { by: Some(sequence), ..passage });
        Self { passage, deliveries: 0, alone_at: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn secret(text: &str) -> TimerName {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A task whose first message, 17, failed at its second delivery and waits in a timer.
    fn waiting() -> History {
        History::default().at_delivery(2).after(Outcome::Retried, 2, "a").put_off(
            17,
            &secret("6f1c"),
            at(60),
            at(1),
        )
    }

    fn ticket(history: &History) -> Ticket {
        history.passage.as_ref().unwrap().ticket(17)
    }

    fn current(history: &History, sequence: Sequence, ticket: Option<&Ticket>) -> History {
        match history.clone().arrival(sequence, at(1), ticket) {
            Arrival::Current(history) => history,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn attempts_travel_and_deliveries_do_not() {
        let before = waiting();
        let after = current(&before, 40, Some(&ticket(&before)));
        assert_eq!((after.attempts, after.interruptions, after.deliveries), (1, 1, 0));
        assert_eq!(after.clone().at_delivery(1).losses, 0, "its first delivery is nobody's loss");
        assert_eq!(after.passage.unwrap().published(), at(1));
    }

    #[test]
    fn the_message_that_was_put_off_is_not_run_again() {
        assert_eq!(waiting().arrival(17, at(1), None), Arrival::PutOff(waiting()));
    }

    #[test]
    fn a_record_of_a_stream_that_is_no_more_says_nothing_about_a_message_at_the_same_place() {
        assert_eq!(waiting().arrival(17, at(2), None), Arrival::Current(History::default()));
    }

    #[test]
    fn of_two_messages_of_one_timer_the_first_to_write_goes_on() {
        let before = waiting();
        let ticket = ticket(&before);
        let taken = current(&before, 40, Some(&ticket)).unrun(1, "b");
        assert_eq!(current(&taken, 40, Some(&ticket)).deliveries, 1, "what it wrote stays");
        assert_eq!(taken.clone().arrival(41, at(1), Some(&ticket)), Arrival::Superseded);
        assert_eq!(taken.arrival(17, at(1), None), Arrival::Superseded);
    }

    #[test]
    fn each_message_of_a_task_that_goes_through_timers_knows_its_turn() {
        let first = waiting();
        let second = current(&first, 40, Some(&ticket(&first))).after(Outcome::Trapped, 1, "b");
        let second = second.put_off(40, &secret("other"), at(90), at(50));
        let passage = second.passage.clone().unwrap();
        assert_eq!((passage.count, passage.secret.as_str(), passage.published()), (2, "6f1c", at(1)));
        assert_eq!(second.clone().arrival(17, at(1), None), Arrival::Superseded);
        assert!(matches!(second.clone().arrival(40, at(1), Some(&ticket(&first))), Arrival::PutOff(_)));
        assert_eq!(second.clone().arrival(41, at(1), Some(&ticket(&first))), Arrival::Superseded);
        assert_eq!(current(&second, 50, Some(&ticket(&second))).attempts, 2);
    }

    #[test]
    fn a_task_that_finds_no_room_in_the_timers_goes_on_as_it_was() {
        let back = waiting().taken_back();
        assert_eq!(current(&back, 17, None).attempts, 1);
        assert_eq!(current(&back, 17, None).deliveries, 2, "they are its own");
    }

    #[test]
    fn a_ticket_with_the_wrong_secret_counts_for_nothing() {
        let forged = Ticket { secret: secret("0000"), ..ticket(&waiting()) };
        assert_eq!(waiting().arrival(40, at(1), Some(&forged)), Arrival::Stranger);
        assert_eq!(waiting().arrival(17, at(1), Some(&forged)), Arrival::Stranger);
        let never = History { attempts: 1, ..History::default() };
        assert_eq!(
            never.arrival(40, at(1), Some(&forged)),
            Arrival::Stranger,
            "that task never was in a timer"
        );
    }

    #[test]
    fn a_ticket_reads_back_and_anything_else_is_none() {
        let ticket = ticket(&waiting());
        assert_eq!(ticket.to_string(), "17.6f1c.1");
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
        for bad in
            ["", "17", "17.6f1c", "17.6f1c.1.2", "x.6f1c.1", "17..1", "17.a b.1", "17.*.1", "17.6f1c.-1"]
        {
            assert_eq!(bad.parse::<Ticket>(), Err(NoTicket), "{bad:?}");
        }
    }

    #[test]
    fn a_record_without_timers_is_written_as_before() {
        let plain = serde_json::to_string(&History::default()).unwrap();
        assert!(!plain.contains("passage"), "{plain}");
        let json = serde_json::to_string(&waiting()).unwrap();
        assert_eq!(serde_json::from_str::<History>(&json).unwrap(), waiting());
    }
}
