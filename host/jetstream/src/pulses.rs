//! Asking all hosts at once what they do, and answering for one. Nothing of it is stored, and a host that nobody asks
//! does nothing for it.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use saggar_model::{Pulse, PulseRequest, may_answer_to};
use tokio::time::Instant;

use crate::api::RequestError;
use crate::control::Control;

/// The most that a queue takes in an answer: two names of 63 bytes, four counts of 20 digits, what is around them.
const QUEUE_MAX_BYTES: usize = 320;

/// No part is larger, whatever the server takes.
const PART_MAX_BYTES: usize = 512 << 10;

/// What the server is given beyond the patience with hosts to say that something is not allowed.
const GUARD: Duration = Duration::from_secs(2);

const DOING: &str = "asking hosts what they do";
const ANSWERING: &str = "saying what this host does";

/// A request that has arrived, and where its answer goes.
#[derive(Debug)]
pub struct PulseAsked {
    /// What is asked.
    pub request: PulseRequest,
    reply: async_nats::Subject,
}

impl Control {
    /// Asks all hosts what they do, and waits until those of these instances have answered, but for no longer than
    /// `patience`. Hosts whose answers did not come as a whole are not among the answers.
    ///
    /// # Errors
    /// The request could not be sent, or is not allowed.
    pub async fn pulses(
        &self,
        request: &PulseRequest,
        expected: &BTreeSet<String>,
        patience: Duration,
    ) -> Result<Vec<Pulse>, RequestError> {
        let body = encoded(DOING, request)?;
        let client = self.nats.client();
        let asking = pin!(async {
            let closed = || RequestError::Closed { doing: DOING };
            let inbox = client.new_inbox();
            let mut answers = client.subscribe(inbox.clone()).await.map_err(|_| closed())?;
            let sent = client.publish_with_reply(PulseRequest::SUBJECT, inbox, body).await;
            sent.map_err(|_| closed())?;
            let (end, mut heard) = (Instant::now() + patience, Heard::default());
            while !heard.is_complete(expected) {
                match tokio::time::timeout_at(end, answers.next()).await {
                    Ok(Some(answer)) if answer.status.is_some() => break,
                    Ok(Some(answer)) => heard.add(&answer.payload),
                    Ok(None) => return Err(closed()),
                    Err(_) => break,
                }
            }
            Ok(heard.whole())
        });
        self.nats.answered(DOING, PulseRequest::SUBJECT, patience + GUARD, asking).await
    }

    /// Requests to say what this host does.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn pulse_requests(&self) -> Result<impl Stream<Item = PulseAsked> + use<>, RequestError> {
        let subscribing = self.nats.client().subscribe(PulseRequest::SUBJECT);
        let asked = subscribing.await.map_err(|_| RequestError::Closed { doing: ANSWERING })?;
        Ok(asked.filter_map(async |message| {
            let reply = message.reply.filter(|reply| may_answer_to(None, reply))?;
            let request = serde_json::from_slice(&message.payload).ok()?;
            Some(PulseAsked { request, reply })
        }))
    }

    /// Answers a request, in as many messages as it takes.
    ///
    /// # Errors
    /// The connection is down for long.
    pub async fn answer_pulse(&self, asked: PulseAsked, pulse: Pulse) -> Result<(), RequestError> {
        let bytes = (self.nats.max_payload() / 2).min(PART_MAX_BYTES);
        for part in parts(pulse, (bytes / QUEUE_MAX_BYTES).max(1)) {
            let body = encoded(ANSWERING, &part)?;
            self.nats.send(ANSWERING, asked.reply.clone(), None, body).await?;
        }
        Ok(())
    }
}

fn encoded(doing: &'static str, value: &impl serde::Serialize) -> Result<Bytes, RequestError> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from).map_err(|error| RequestError::Unreadable { doing, reason: error.to_string() })
}

/// An answer in parts of so many queues; one without queues is a part, too.
fn parts(mut pulse: Pulse, queues: usize) -> Vec<Pulse> {
    let all = std::mem::take(&mut pulse.queues);
    let count = all.len().div_ceil(queues).max(1);
    pulse.parts = u32::try_from(count).unwrap_or(u32::MAX);
    let mut parts: Vec<Pulse> =
        all.chunks(queues).map(|some| Pulse { queues: some.to_vec(), ..pulse.clone() }).collect();
    if parts.is_empty() {
        parts.push(pulse);
    }
    parts
}

/// What has been heard of each instance: how many parts, and all of them together.
#[derive(Default)]
struct Heard(HashMap<String, (u32, Pulse)>);

impl Heard {
    /// What cannot be read is as good as not sent.
    fn add(&mut self, json: &[u8]) {
        let Ok(part) = serde_json::from_slice::<Pulse>(json) else { return };
        match self.0.get_mut(&part.instance) {
            Some((parts, pulse)) => {
                *parts += 1;
                pulse.queues.extend(part.queues);
            }
            None => _ = self.0.insert(part.instance.clone(), (1, part)),
        }
    }

    fn is_complete(&self, expected: &BTreeSet<String>) -> bool {
        let is_whole = |(parts, pulse): &(u32, Pulse)| *parts >= pulse.parts;
        expected.iter().all(|instance| self.0.get(instance).is_some_and(is_whole))
    }

    fn whole(self) -> Vec<Pulse> {
        let whole = self.0.into_values().filter(|(parts, pulse)| *parts >= pulse.parts);
        whole.map(|(_, pulse)| pulse).collect()
    }
}

#[cfg(test)]
mod tests {
    use saggar_model::{QueuePulse, WorkDone};

    use super::*;

    fn pulse(queues: usize) -> Pulse {
        let work = WorkDone { ended: u64::MAX, failed: u64::MAX, fuel: u64::MAX, computed_ns: u64::MAX };
        let (tenant, queue) = ("t".repeat(63).parse().unwrap(), "q".repeat(63).parse().unwrap());
        let queue = QueuePulse { tenant, queue, work };
        Pulse { instance: "one".into(), queues: vec![queue; queues], ..Pulse::default() }
    }

    #[test]
    fn an_answer_is_put_together_from_its_parts() {
        let mut heard = Heard::default();
        let expected = BTreeSet::from(["one".to_owned()]);
        let parts = parts(pulse(5), 2);
        assert_eq!(parts.iter().map(|part| part.queues.len()).collect::<Vec<_>>(), [2, 2, 1]);
        for (n, part) in parts.iter().enumerate() {
            assert!(!heard.is_complete(&expected), "after {n}");
            heard.add(&serde_json::to_vec(part).unwrap());
        }
        assert!(heard.is_complete(&expected));
        assert_eq!(heard.whole()[0].queues.len(), 5);
    }

    #[test]
    fn an_answer_of_which_a_part_is_missing_is_none() {
        let mut heard = Heard::default();
        heard.add(&serde_json::to_vec(&parts(pulse(3), 2)[0]).unwrap());
        heard.add(b"{");
        assert!(heard.whole().is_empty());
    }

    #[test]
    fn a_host_without_queues_answers_in_one_part_and_no_queue_takes_more_than_its_room() {
        assert_eq!(parts(pulse(0), 2).len(), 1);
        let one = serde_json::to_vec(&pulse(1).queues[0]).unwrap().len();
        assert!(one <= QUEUE_MAX_BYTES, "{one}");
    }
}
