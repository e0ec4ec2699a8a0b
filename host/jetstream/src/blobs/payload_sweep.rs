//! Removing payloads that nothing names any more: inputs whose task was never published, was removed, or whose dead
//! letter is gone; outputs whose result is.
//!
//! What an input's name may stand in is read from beginning to end: queued tasks, timers, dead letters, and once more
//! what has come into the queues meanwhile. So a task that moves once is met. Whoever moves one renews its payload
//! first, and a payload is removed only if it is still what it was when the reading began: so one that moves more
//! often is not harmed either. Reading is done in pieces, since a queue can be long.

use std::collections::HashMap;
use std::time::Duration;

use saggar_model::{PayloadName, StoreError, Subjects, TaskRef};

use super::Blobs;
use super::payloads::{OWNER, Payloads, named};
use super::sweep::LEFT_AFTER;
use crate::direct::PAGE;
use crate::records::{RecordsError, Results};

const DOING: &str = "looking for what names a payload";

/// About how many bytes are read at once.
const PAGE_BYTES: usize = 1 << 20;

/// What a message counts for beside its payload.
const MESSAGE_BYTES: usize = 512;

/// A sweep that has begun.
#[derive(Debug)]
pub struct PayloadSweep {
    /// Inputs that nothing has named so far.
    unnamed: HashMap<PayloadName, Candidate>,
    /// Which of the places is being read, and how far it was.
    place: usize,
    after: u64,
    /// How far the queues were read at first.
    queues_read: u64,
}

/// A payload as it was when the sweep began.
#[derive(Debug)]
struct Candidate {
    revision: u64,
    nuid: String,
}

impl Payloads {
    /// Goes on with a sweep, or begins one if there is none, and reads about so many bytes; says how many payloads were
    /// removed. `sweep` is nothing again once it is through. What is younger than `kept_for` stays in any case.
    ///
    /// # Errors
    /// The store does not answer. The sweep can be gone on with.
    pub async fn sweep(
        &self,
        sweep: &mut Option<PayloadSweep>,
        kept_for: Duration,
        bytes: usize,
    ) -> Result<usize, StoreError> {
        let mut removed = 0;
        if sweep.is_none() {
            removed += self.0.sweep(LEFT_AFTER).await?;
            let (unnamed, outputs) = self.candidates(kept_for).await?;
            removed += outputs;
            *sweep = Some(PayloadSweep { unnamed, place: 0, after: 0, queues_read: 0 });
        }
        let Some(begun) = sweep else { return Ok(removed) };
        if self.read_on(begun, bytes).await? {
            for Candidate { revision, nuid } in
                sweep.take().into_iter().flat_map(|sweep| sweep.unnamed.into_values())
            {
                removed += usize::from(self.0.remove_revision(revision, &nuid).await?);
            }
        }
        Ok(removed)
    }

    /// The inputs that may have to go. Outputs that have to go are removed at once; their number is the second part.
    async fn candidates(
        &self,
        kept_for: Duration,
    ) -> Result<(HashMap<PayloadName, Candidate>, usize), StoreError> {
        let (mut unnamed, mut removed) = (HashMap::new(), 0);
        let (mut after, now) = (Some(0), self.0.stores.nats().now());
        while let Some(place) = after {
            let (metas, next) = self.0.metas(place).await?;
            for meta in metas {
                let age = now.duration_since(meta.facts().created_at).unwrap_or_default();
                // What somebody else has put here is nobody's payload.
                let Ok(name) = meta.name.parse::<PayloadName>() else { continue };
                if age < kept_for {
                    continue;
                }
                if name.is_input() {
                    unnamed.insert(name, Candidate { revision: meta.revision, nuid: meta.nuid });
                } else if !self.has_result(&name, meta.metadata.get(OWNER)).await? {
                    removed += usize::from(self.0.remove_revision(meta.revision, &meta.nuid).await?);
                }
            }
            after = next;
        }
        Ok((unnamed, removed))
    }

    /// Whether a result names this output.
    async fn has_result(&self, name: &PayloadName, owner: Option<&String>) -> Result<bool, StoreError> {
        let Some(task) = owner.and_then(|owner| owner.parse::<TaskRef>().ok()) else { return Ok(false) };
        let blobs = &self.0;
        match Results::new(blobs.stores.nats()).get(&blobs.tenant, &task.queue, &task.id).await {
            Ok(found) => Ok(found.is_some_and(|stored| stored.result.object == Some(*name))),
            // It cannot be read, and may name it.
            Err(RecordsError::Unreadable { .. } | RecordsError::Contended { .. }) => Ok(true),
            Err(RecordsError::Request(error)) if error.is_not_found() => Ok(false),
            Err(RecordsError::Request(error)) => Err(blobs.failed(error)),
        }
    }

    /// Reads about so many bytes of what can name a payload; says whether all of it has been read.
    async fn read_on(&self, sweep: &mut PayloadSweep, bytes: usize) -> Result<bool, StoreError> {
        let subjects = Subjects::of(&self.0.tenant);
        // In this order: a task comes from a timer or a dead letter into its queue, and goes the other way from there.
        let places = [
            subjects.tasks_stream(),
            subjects.timers_stream(),
            subjects.dead_stream(),
            subjects.tasks_stream(),
        ];
        let mut read = 0;
        while let Some(stream) = places.get(sweep.place) {
            if sweep.unnamed.is_empty() {
                break;
            }
            if read >= bytes {
                return Ok(false);
            }
            let nats = self.0.stores.nats();
            let (page, more) = match nats.scan_page(DOING, stream, ">", sweep.after, PAGE, PAGE_BYTES).await {
                Ok(page) => page,
                Err(error) if error.is_not_found() => (Vec::new(), false),
                Err(error) => return Err(self.0.failed(error)),
            };
            for kept in &page {
                read += kept.payload.len() + MESSAGE_BYTES;
                for name in named(kept.headers()) {
                    sweep.unnamed.remove(&name);
                }
            }
            sweep.after = page.last().map_or(sweep.after, |last| last.sequence);
            if !more {
                if sweep.place == 0 {
                    sweep.queues_read = sweep.after;
                }
                sweep.place += 1;
                sweep.after = if sweep.place + 1 == places.len() { sweep.queues_read } else { 0 };
            }
        }
        Ok(true)
    }
}

impl Blobs {
    /// Removes an object if it still has this revision; says whether it had.
    async fn remove_revision(&self, revision: u64, nuid: &str) -> Result<bool, StoreError> {
        let nats = self.stores.nats();
        let removed = nats.delete_message("removing an object", &self.stream(), revision).await;
        let removed = removed.map_err(|error| self.failed(error))?;
        if removed {
            self.purge(nuid).await?;
        }
        Ok(removed)
    }
}
