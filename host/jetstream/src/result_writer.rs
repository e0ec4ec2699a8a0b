//! Storing results by the thousand: sent one after another, answered in one place.
//!
//! A request of its own for each result costs a channel, two timers and a task that waits. Here one inbox takes all
//! answers, and what belongs to a result is kept until its answer comes or is overdue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{StatusCode, Subscriber};
use futures::StreamExt as _;
use saggar_model::Sequence;
use slab::Slab;
use tokio::time::{Interval, MissedTickBehavior};

use crate::api::{RequestError, STORE_TIMEOUT, store_answer};
use crate::records::{ResultMessage, Results};

const DOING: &str = "storing a result";

/// How often overdue answers are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Sends results; what it is given with each comes out of [`Answers`]. Clones share one inbox.
#[derive(Debug)]
pub struct ResultWriter<T> {
    results: Results,
    inbox: Arc<str>,
    waiting: Waiting<T>,
}

/// What became of results that were sent, in the order the answers come.
#[derive(Debug)]
pub struct Answers<T> {
    messages: Subscriber,
    waiting: Waiting<T>,
    look: Interval,
    overdue: Vec<T>,
}

/// What waits for an answer, by the key that the answer's subject repeats.
#[derive(Debug)]
struct Waiting<T>(Arc<Mutex<Entries<T>>>);

#[derive(Debug)]
struct Entries<T> {
    entries: Slab<Entry<T>>,
    /// Tells apart two that have had the same place one after the other: an answer that is late must not be taken
    /// for another result's.
    sent: u64,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    since: Instant,
    context: T,
}

impl<T> Clone for ResultWriter<T> {
    fn clone(&self) -> Self {
        let (results, inbox) = (self.results.clone(), self.inbox.clone());
        Self { results, inbox, waiting: Waiting(self.waiting.0.clone()) }
    }
}

impl<T> ResultWriter<T> {
    /// Opens the inbox.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn open(results: &Results) -> Result<(Self, Answers<T>), RequestError> {
        let client = results.nats().client();
        let inbox: Arc<str> = client.new_inbox().into();
        let messages = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|_| RequestError::Closed { doing: DOING })?;
        let entries = Arc::new(Mutex::new(Entries { entries: Slab::new(), sent: 0 }));
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let answers = Answers { messages, waiting: Waiting(entries.clone()), look, overdue: Vec::new() };
        Ok((Self { results: results.clone(), inbox, waiting: Waiting(entries) }, answers))
    }

    /// Sends a result; `context` comes back with the answer.
    ///
    /// # Errors
    /// It was not sent: it is too large, or the connection is closed or down for long. `context` comes back at once.
    pub async fn send(&self, message: ResultMessage, context: T) -> Result<(), (T, RequestError)> {
        let ResultMessage { subject, headers, payload } = message;
        let (key, number) = self.waiting.lock().enter(context);
        let reply = format!("{}.{key}-{number}", self.inbox);
        match self.results.nats().send_with_reply(DOING, subject, reply, headers, payload).await {
            Ok(()) => Ok(()),
            Err(error) => match self.waiting.lock().leave(key, number) {
                Some(context) => Err((context, error)),
                // The answer was faster than the news that there can be none.
                None => Ok(()),
            },
        }
    }
}

impl<T> Answers<T> {
    /// The next answer: the result is stored, at this place in the stream of results, or it was refused or not answered within [`STORE_TIMEOUT`], and may be
    /// stored all the same. Nothing once the connection is closed.
    pub async fn next(&mut self) -> Option<(T, Result<Sequence, RequestError>)> {
        loop {
            if let Some(context) = self.overdue.pop() {
                return Some((context, Err(RequestError::TimedOut { doing: DOING, waited: STORE_TIMEOUT })));
            }
            tokio::select! {
                biased;
                message = self.messages.next() => {
                    let message = message?;
                    let place = message.subject.rsplit('.').next().and_then(read_place);
                    let found = place.and_then(|(key, number)| self.waiting.lock().leave(key, number));
                    // An answer that nobody waits for any more came too late.
                    let Some(context) = found else { continue };
                    let answer = if message.status == Some(StatusCode::NO_RESPONDERS) {
                        Err(RequestError::NoResponders { doing: DOING })
                    } else {
                        store_answer(DOING, &message.payload).map(|stored| stored.sequence)
                    };
                    return Some((context, answer));
                }
                _ = self.look.tick() => self.overdue = self.waiting.lock().overdue(Instant::now()),
            }
        }
    }
}

impl<T> Waiting<T> {
    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Entries<T> {
    fn enter(&mut self, context: T) -> (usize, u64) {
        self.sent += 1;
        let entry = Entry { number: self.sent, since: Instant::now(), context };
        (self.entries.insert(entry), self.sent)
    }

    fn leave(&mut self, key: usize, number: u64) -> Option<T> {
        let entry = self.entries.get(key).filter(|entry| entry.number == number);
        entry.is_some().then(|| self.entries.remove(key).context)
    }

    fn overdue(&mut self, now: Instant) -> Vec<T> {
        let late = |(key, entry): (usize, &Entry<T>)| (now - entry.since >= STORE_TIMEOUT).then_some(key);
        let keys: Vec<usize> = self.entries.iter().filter_map(late).collect();
        keys.into_iter().map(|key| self.entries.remove(key).context).collect()
    }
}

fn read_place(token: &str) -> Option<(usize, u64)> {
    let (key, number) = token.split_once('-')?;
    Some((key.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_is_not_taken_for_that_of_another() {
        let mut entries = Entries { entries: Slab::new(), sent: 0 };
        let (key, first) = entries.enter("first");
        assert_eq!(entries.leave(key, first), Some("first"));
        let (again, second) = entries.enter("second");
        assert_eq!(again, key, "the place is used again");
        assert_eq!(entries.leave(key, first), None);
        assert_eq!(entries.leave(key, second), Some("second"));
    }

    #[test]
    fn what_was_never_answered_is_overdue_once() {
        let mut entries = Entries { entries: Slab::new(), sent: 0 };
        entries.enter("one");
        let now = Instant::now();
        assert!(entries.overdue(now).is_empty());
        assert_eq!(entries.overdue(now + STORE_TIMEOUT), ["one"]);
        assert!(entries.overdue(now + STORE_TIMEOUT).is_empty());
    }

    #[test]
    fn a_place_reads_back() {
        assert_eq!(read_place("12-345"), Some((12, 345)));
        assert_eq!(read_place("12"), None);
        assert_eq!(read_place("x-1"), None);
    }
}
