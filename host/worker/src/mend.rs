//! Puts right what no host can have done: tasks that lie in a queue and are never delivered, tasks that JetStream has
//! given up, and what tasks had been through that are gone.
//!
//! The leader does it, from the moment it leads. Whatever it does can be done twice.

use std::collections::HashMap;
use std::time::Duration;

use saggar_jetstream::{
    Advisories, Advisory, DeadError, DeadLetters, GivenUp, Nats, OVERLOOKED_FOR, Provisioner, Put, Reader,
    RecordsError, Remains, RequestError, Results, States, Stores, Tenants,
};
use saggar_model::{
    DeadLetter, Ending, Failure, Outcome, Receipt, Sequence, Subjects, TaskId, TaskRef, TaskResult,
    TenantRecord, header_name,
};

use crate::books::Books;
use crate::groups;
use crate::metrics::{Mended, Metrics};
use crate::payload_sweep::PayloadSweeps;
use crate::settlement::{Unsettled, persist};

/// How often all queues are looked at, when nothing has happened for a while. A task that is overlooked waits for half
/// of it on average, and a thousand queues cost ten requests a second.
const ROUND: Duration = Duration::from_mins(5);

/// How soon after the first look, which is when this host begins to lead and when its connection is back, follows the
/// second; each further one after twice the time, up to [`ROUND`].
const ROUND_FIRST: Duration = Duration::from_secs(30);

/// How often a queue in which tasks run is looked at again before its consumer is made anew all the same: whatever
/// runs then is delivered once more.
const LOOKS_WHILE_RUNNING: u32 = 6;

/// What a task has been through is kept for so long at least: longer than any task is between two of its records.
pub(crate) const STATE_KEPT: Duration = Duration::from_mins(10);

/// States looked at in a round.
const STATES_MAX: usize = 1_000;

/// What does the mending.
pub(crate) struct Mender {
    nats: Nats,
    /// The name that the records of given-up tasks show.
    host: String,
    provisioner: Provisioner,
    stores: Stores,
    books: Books,
    metrics: Metrics,
}

impl Mender {
    pub(crate) fn new(
        nats: &Nats,
        host: &str,
        provisioner: Provisioner,
        stores: Stores,
        books: Books,
        metrics: Metrics,
    ) -> Self {
        Self { nats: nats.clone(), host: host.to_owned(), provisioner, stores, books, metrics }
    }

    /// Mends for ever, or until the connection is closed.
    pub(crate) async fn mend(&self) {
        let listening = async {
            match Advisories::listen(&self.nats).await {
                Ok(mut advisories) => {
                    while let Some(advisory) = advisories.next().await {
                        self.take_up(&advisory).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "what JetStream gives up is not heard of"),
            }
        };
        let looking = async {
            let mut sweeps = PayloadSweeps::default();
            let mut connects = self.nats.connects();
            connects.mark_unchanged();
            let mut pause = ROUND_FIRST;
            loop {
                if let Err(error) = self.look_round(&mut sweeps).await {
                    tracing::debug!(%error, "not all queues could be looked at");
                }
                // A server that was killed may have forgotten that it removed a task, and remember that it was done. It
                // shows when the tasks have passed that were under way.
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(ROUND),
                    Ok(()) = connects.changed() => pause = ROUND_FIRST,
                }
            }
        };
        tokio::join!(listening, looking);
    }

    async fn look_round(&self, sweeps: &mut PayloadSweeps) -> Result<(), RequestError> {
        let records: Vec<TenantRecord> = match Tenants::new(&self.nats).snapshot().await {
            Ok((entries, _)) => entries.into_iter().map(|entry| entry.record).collect(),
            Err(error) => {
                tracing::debug!(%error, "the tenants' records could not be read");
                return Ok(());
            }
        };
        let mut seen = HashMap::new();
        for (reader, record) in readers(&records) {
            let tenant = &record.spec.name;
            if let Some(found) = self.nats.overlooked(tenant, &reader).await? {
                seen.insert((tenant, reader), found.sequence);
            }
        }
        for look in 1..=LOOKS_WHILE_RUNNING {
            if seen.is_empty() {
                break;
            }
            tokio::time::sleep(OVERLOOKED_FOR).await;
            for (reader, record) in readers(&records) {
                let place = (&record.spec.name, reader);
                let Some(sequence) = seen.get(&place).copied() else { continue };
                match self.nats.overlooked(place.0, &place.1).await? {
                    Some(found) if found.sequence == sequence => {
                        if found.running == 0 || look == LOOKS_WHILE_RUNNING {
                            self.rebind(record, &place.1, sequence).await;
                            seen.remove(&place);
                        }
                    }
                    // It was acknowledged just then.
                    _ => drop(seen.remove(&place)),
                }
            }
        }
        groups::sweep(&self.nats, &self.metrics).await;
        let tenants: Vec<_> = records.iter().map(|record| record.spec.name.clone()).collect();
        sweeps.round(&self.stores, &tenants, &self.metrics).await;
        self.sweep_states().await
    }

    async fn rebind(&self, record: &TenantRecord, reader: &Reader, sequence: Sequence) {
        let tenant = &record.spec.name;
        tracing::error!(%tenant, %reader, sequence,
            "tasks lie there that the consumer has passed; it is made anew");
        match self.provisioner.rebind(record, reader).await {
            Ok(()) => self.metrics.mended(Mended::Overlooked),
            Err(error) => tracing::error!(%tenant, %reader, %error, "the consumer could not be made anew"),
        }
    }

    /// Removes what finished tasks had been through, where the host was lost that would have.
    async fn sweep_states(&self) -> Result<(), RequestError> {
        let states = States::new(&self.nats);
        let sweeping = async {
            for place in states.list(0, STATES_MAX).await? {
                let age = self.nats.now().duration_since(place.stored_at).unwrap_or_default();
                if age >= STATE_KEPT
                    && !states.has_task(&place).await?
                    && states.remove(place.revision).await?
                {
                    self.metrics.mended(Mended::State);
                }
            }
            Ok::<_, saggar_jetstream::StateError>(())
        };
        sweeping.await.unwrap_or_else(|error| tracing::debug!(%error, "states could not be swept"));
        Ok(())
    }

    /// Turns a task that JetStream has given up into a dead letter.
    async fn take_up(&self, advisory: &Advisory) {
        let Advisory { why, tenant, queue, sequence, .. } = advisory;
        match self.dead_letter(advisory).await {
            Ok(true) => {
                tracing::error!(%tenant, %queue, sequence, ?why, "JetStream gave a task up; it is a dead letter now");
                self.metrics.mended(Mended::GivenUp);
            }
            Ok(false) => tracing::debug!(%tenant, %queue, sequence, "an advisory that nothing bears out"),
            Err(Unsettled) => {
                tracing::error!(%tenant, %queue, sequence, ?why, "JetStream gave a task up, and it has no dead letter");
            }
        }
    }

    async fn dead_letter(&self, advisory: &Advisory) -> Result<bool, Unsettled> {
        let Advisory { why, tenant, queue, sequence, .. } = advisory;
        let Ok(Some(entry)) = Tenants::new(&self.nats).get(tenant).await else { return Ok(false) };
        let Some(spec) = entry.record.spec.queues.get(queue) else { return Ok(false) };
        let remains = self.nats.remains(tenant, *sequence).await.map_err(|_| Unsettled)?;
        let borne_out = match (why, &remains) {
            (GivenUp::Terminated, None) => true,
            _ => self.nats.bears_out(advisory).await.map_err(|_| Unsettled)?,
        };
        if !borne_out {
            return Ok(false);
        }
        let id = self.id_of(advisory, remains.as_ref()).await?;
        let failure = Failure::new(Outcome::HostError, &reason(advisory, remains.is_some()));
        let state = States::new(&self.nats).get(tenant, queue, *sequence).await.ok().flatten();
        let receipt = Receipt {
            attempt: state.as_ref().map_or(0, |state| state.history.attempts),
            host: self.host.clone(),
            bytes_in: remains.as_ref().map_or(0, |remains| remains.payload.len() as u64),
            ..Receipt::default()
        };
        let task = TaskRef { queue: queue.clone(), id: id.clone() };
        let headers = remains.iter().flat_map(|remains| &remains.headers);
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        let payload = remains.as_ref().map(|remains| remains.payload.clone()).unwrap_or_default();
        let letter = DeadLetter::new(&task, *sequence, payload, headers, &failure, &receipt);
        let (dead, results) = (DeadLetters::new(&self.nats), Results::new(&self.nats));
        let earlier = state.as_ref().map(|state| state.history.earlier.clone()).unwrap_or_default();
        let result = TaskResult::new(task, *sequence, Ending::Failed(failure), receipt, None);
        // A task that ran all the same, and finished, needs none of this.
        if let Ok(Some(stored)) = results.get(tenant, queue, &id).await
            && stored.result.sequence == *sequence
        {
            self.nats.bury(tenant, *sequence).await.map_err(|_| Unsettled)?;
            return Ok(false);
        }
        persist(
            "dead letter",
            DeadError::fault,
            |_| false,
            || dead.put(tenant, queue, &id, *sequence, &letter),
        )
        .await
        .map_err(|_| Unsettled)?;
        let ttl = Duration::from_secs(spec.results_ttl);
        let under_way = self.books.open(tenant).await.map_err(|_| Unsettled)?;
        let result = TaskResult { book: Some(under_way.id().clone()), ..result.with_earlier(earlier) };
        let put =
            persist("result", RecordsError::fault, |_| false, || results.put(tenant, &result, ttl)).await;
        match put.map_err(|_| Unsettled)? {
            Put::Stored(place) => under_way.stored(place, &result),
            Put::Refused(found) => under_way.refused(&found),
        }
        let mut headers = remains.iter().flat_map(|remains| &remains.headers);
        let waiting = headers.find(|(name, _)| name.eq_ignore_ascii_case(header_name::GROUP));
        let waiting = waiting.and_then(|(_, task)| task.parse().ok());
        groups::tell(&self.nats, tenant, waiting, &result).await?;
        self.nats.bury(tenant, *sequence).await.map_err(|_| Unsettled)?;
        if let Some(state) = state {
            States::new(&self.nats).remove(state.revision).await.ok();
        }
        Ok(true)
    }

    /// The name of a given-up task: its own, or the one that its place gives it.
    async fn id_of(&self, advisory: &Advisory, remains: Option<&Remains>) -> Result<TaskId, Unsettled> {
        let Advisory { tenant, queue, sequence, .. } = advisory;
        let own =
            remains.and_then(|remains| Subjects::of(tenant).task_id(queue, &remains.subject).ok().flatten());
        if let Some(id) = own {
            return Ok(id);
        }
        let created = self.nats.tasks_created_ms(tenant).await.map_err(|_| Unsettled)?;
        Ok(TaskId::from_sequence(created, *sequence))
    }
}

fn readers(records: &[TenantRecord]) -> impl Iterator<Item = (Reader, &TenantRecord)> {
    records.iter().flat_map(|record| {
        let queues = record.spec.queues.keys().cloned().map(Reader::Queue);
        queues.chain([Reader::Pump]).map(move |reader| (reader, record))
    })
}

fn reason(advisory: &Advisory, is_whole: bool) -> String {
    let Advisory { why, queue, sequence, deliveries, .. } = advisory;
    let why = match why {
        GivenUp::MaxDeliveries => format!(
            "JetStream delivered it {deliveries} times and then gave it up: somebody had set a maximum of deliveries \
             on consumer {queue}, and hosts set none"
        ),
        GivenUp::Terminated => "somebody who is no host terminated it".to_owned(),
    };
    if is_whole {
        why
    } else {
        format!("{why}; its payload and headers went with it, and all that is known is its place, {sequence}")
    }
}
