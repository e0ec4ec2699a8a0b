//! Taking over what a lost host has counted, and what it could not count any more: the results behind its record, which
//! name its book.
//!
//! The order is: the record is closed, with the results behind it; each of its days goes into the account, which names
//! the book; the record goes; the names go. Every step can be done again, by anybody.

use std::collections::BTreeSet;
use std::time::SystemTime;

use saggar_model::{Bill, BookId, Day, Page, Sequence, Subjects, TaskResult, TenantName};

use crate::direct::PAGE;
use crate::usages::{StoredBook, UsageError, Usages};

/// Bytes of results read at once: their outputs come with them.
const PAGE_BYTES: usize = 4 << 20;

/// How often a write is tried again that somebody else was faster with: as many as can want the same at once.
const TRIES: usize = 16;

impl Usages {
    /// Closes the book of a lost host, with all results that it had not counted. Done again, it looks for what came
    /// later; not once the host is back and has continued it. The answer is the book as it is stored then.
    ///
    /// # Errors
    /// NATS does not answer, or the host writes it all the time.
    pub async fn close(&self, tenant: &TenantName, id: &BookId) -> Result<Option<StoredBook>, UsageError> {
        for _ in 0..TRIES {
            let Some(mut book) = self.get(tenant, id).await? else { return Ok(None) };
            if book.record.page.continued {
                return Ok(Some(book));
            }
            let open = book.record.page.clone();
            book.record.page = self.with_results(tenant, &book.record.ids, open.clone()).await?;
            if book.record.page == open {
                return Ok(Some(book));
            }
            match self.put(tenant, &book.record, book.revision).await {
                Ok(revision) => return Ok(Some(StoredBook { revision, ..book })),
                Err(UsageError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(UsageError::Conflict { subject: Subjects::of(tenant).usage_book(id) })
    }

    /// A page, closed, with the results behind it that are its own.
    async fn with_results(
        &self,
        tenant: &TenantName,
        ids: &[BookId],
        mut page: Page,
    ) -> Result<Page, UsageError> {
        let subjects = Subjects::of(tenant);
        let (stream, filter) = (subjects.results_stream(), subjects.results());
        let mut after = page.through;
        loop {
            let doing = "reading results for a book of usage";
            let scanned = self.nats.scan_page(doing, &stream, &filter, after, PAGE, PAGE_BYTES).await;
            let (kept, more) = match scanned {
                // The tenant is gone, and its results are.
                Err(error) if error.is_not_found() => (Vec::new(), false),
                scanned => scanned?,
            };
            after = kept.last().map_or(after, |kept| kept.sequence);
            let results = kept.iter().filter_map(|kept| {
                let result = TaskResult::read(|name| kept.header(name), kept.payload.clone()).ok()?;
                let bill = Bill::of(&result, kept.time);
                Some((kept.sequence, result.book, bill))
            });
            page = page.closed_with(ids, results);
            if !more {
                return Ok(page);
            }
        }
    }

    /// Adds a day of a book to the account, unless it was before.
    ///
    /// # Errors
    /// NATS does not answer, or too many want the same at once.
    pub async fn take_over(&self, book: &StoredBook, day: Day) -> Result<(), UsageError> {
        let StoredBook { tenant, record, .. } = book;
        let Some(lines) = record.page.tally.day(day) else { return Ok(()) };
        for _ in 0..TRIES {
            let mut stored = self.day(tenant, day).await?;
            if stored.record.taken.contains_key(record.id()) {
                return Ok(());
            }
            stored.record.lines.add(lines);
            stored.record.taken.insert(record.id().clone(), record.page.through);
            match self.put_day(&stored).await {
                Ok(_) => return Ok(()),
                Err(UsageError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(UsageError::Conflict { subject: Subjects::of(tenant).usage_day(day) })
    }

    /// How far a book went that one of these days says to have been taken over.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn taken_through(
        &self,
        tenant: &TenantName,
        id: &BookId,
        days: [Day; 2],
    ) -> Result<Option<Sequence>, UsageError> {
        let mut through = None;
        for day in days {
            through = through.max(self.day(tenant, day).await?.record.taken.get(id).copied());
        }
        Ok(through)
    }

    /// Takes a closed book over into the account, and removes it.
    ///
    /// # Errors
    /// NATS does not answer. It can be done again, from wherever it stopped.
    pub async fn settle(&self, book: &StoredBook) -> Result<(), UsageError> {
        for (day, _) in book.record.page.tally.days() {
            self.take_over(book, day).await?;
        }
        self.remove(book.revision).await?;
        Ok(())
    }

    /// Drops from a day of all accounts the names of books that no longer have it.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn forget_taken(&self, day: Day) -> Result<(), UsageError> {
        for mut stored in self.days(None, Some(day), |_| true).await? {
            let mut kept = BTreeSet::new();
            for id in stored.record.taken.keys() {
                let book = self.get(&stored.tenant, id).await?;
                if book.is_some_and(|book| book.record.page.tally.day(day).is_some()) {
                    kept.insert(id.clone());
                }
            }
            if kept.len() < stored.record.taken.len() {
                stored.record.taken.retain(|id, _| kept.contains(id));
                match self.put_day(&stored).await {
                    // Somebody adds to it. The names can stay for another round.
                    Ok(_) | Err(UsageError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl StoredBook {
    /// Whether nobody will write it any more: its host is gone, or has given it up, since `before`.
    #[must_use]
    pub fn is_left(&self, is_alive: bool, before: SystemTime) -> bool {
        !is_alive || (self.record.retired && self.stored_at < before)
    }

    /// The process of a host that keeps it.
    #[must_use]
    pub fn instance(&self) -> &str {
        let id = self.record.id().as_str();
        id.split_once('-').map_or(id, |(instance, _)| instance)
    }
}
