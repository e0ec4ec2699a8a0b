//! Submits tasks as any client of NATS would, at a steady rate whatever happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

use crate::job::Task;
use crate::ledger::{Ledger, Said};

/// Tasks on their way at once. More than a thousand starve those who pull.
const ON_THEIR_WAY: usize = 512;

/// How often a task is submitted that nobody answers for. The message id keeps it from becoming several.
const TRIES: usize = 3;

/// How long an answer is waited for: longer than a cluster takes to choose another leader.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a task may wait, from the campaign's end on: no queue takes so long, and a clock that is set could.
const DEADLINE: Duration = Duration::from_hours(3);

/// How often the generator looks how many tasks are due.
const BEAT: Duration = Duration::from_millis(10);

/// The tasks that have been acknowledged so far, for those who look while it goes on.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(Arc<Mutex<Vec<u64>>>);

impl Acknowledged {
    fn add(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    /// One of them.
    pub fn any(&self) -> Option<u64> {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!numbers.is_empty()).then(|| numbers[rand::random_range(0..numbers.len())])
    }
}

/// Submits `rate` tasks a second until `until`, and gives how many that were. Those that could not be submitted in
/// time, because nobody answered, follow as soon as somebody does.
pub async fn generate(
    context: Context,
    seed: u64,
    rate: u32,
    until: Instant,
    ledger: Ledger,
    acknowledged: Acknowledged,
) -> u64 {
    let (began, permits) = (Instant::now(), Arc::new(Semaphore::new(ON_THEIR_WAY)));
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let deadline = SystemTime::now() + until.saturating_duration_since(began) + DEADLINE;
    let deadline = Timestamp::try_from(deadline).map_or_else(|_| String::new(), |time| time.to_string());
    let mut number = 0;
    while Instant::now() < until {
        beat.tick().await;
        let due = began.elapsed().as_millis() * u128::from(rate) / 1_000;
        while u128::from(number) < due && Instant::now() < until {
            let Ok(permit) = permits.clone().acquire_owned().await else { break };
            let (context, ledger, acknowledged) = (context.clone(), ledger.clone(), acknowledged.clone());
            let (task, deadline) = (Task::of(seed, number), deadline.clone());
            tokio::spawn(async move {
                let said = submit(&context, &task, &deadline).await;
                if said == Said::Acknowledged {
                    acknowledged.add(task.number);
                }
                ledger.note(task.number, said);
                drop(permit);
            });
            number += 1;
        }
    }
    // All permits back: all tasks answered for, or given up.
    let all = u32::try_from(ON_THEIR_WAY).expect("a few hundred");
    drop(permits.acquire_many(all).await);
    number
}

async fn submit(context: &Context, task: &Task, deadline: &str) -> Said {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", task.id());
    headers.insert("Saggar-Deadline", deadline);
    for _ in 0..TRIES {
        let submitting = async {
            let answer =
                context.publish_with_headers(task.subject(), headers.clone(), task.payload().into()).await;
            match answer {
                Ok(answer) => answer.await.is_ok(),
                Err(_) => false,
            }
        };
        let began = Instant::now();
        match tokio::time::timeout(ANSWER, submitting).await {
            Ok(true) => return Said::Acknowledged,
            // Refused at once, by a server that is about to go or has just come: not at once again.
            Ok(false) | Err(_) => tokio::time::sleep_until(began + ANSWER / 10).await,
        }
    }
    Said::Unknown
}
