//! What a host has to add to a tenant's account: a pure state machine between the acknowledgements of results and the
//! record that the host writes every few seconds.
//!
//! A result that was stored is the bill of its task, so that nothing has to be written for each. The record says how far
//! in the tenant's results it goes: everything of this book up to there is in it, and nothing beyond. Whoever finds the
//! record of a lost host can therefore read on from there, and counts each result once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Bill, BookId, Day, Sequence, Tally};

/// What a host knows of a tenant's results, and has written of it.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// The highest place in the tenant's results that is known.
    highest: Sequence,
    /// Results under way, by what was the highest place when they were sent: each lies beyond.
    under_way: BTreeMap<Sequence, u64>,
    /// Those of them that nobody waits for any more, and that may have been stored.
    lost: u64,
    /// Results that were stored, and are not yet in what was written.
    stored: BTreeMap<Sequence, Bill>,
    /// What has no place in the results and is not yet written.
    loose: Tally,
    /// The days before this one are over: what comes late counts for it.
    floor: Option<Day>,
    written: Page,
    /// A day was taken out of what was written.
    has_taken: bool,
    /// What is being written, until it is known whether it was.
    draft: Option<Draft>,
}

/// What is written of a book.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// All results of the book up to this place are in it, and none beyond.
    pub through: Sequence,
    /// How often the host has written.
    pub writes: u64,
    /// The days before this one are over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Day>,
    /// Its host was taken for lost: what was stored behind it is counted by whoever closed it.
    pub closed: bool,
    /// Its host was not lost, and goes on with another book from where this one was closed.
    pub continued: bool,
    /// What was counted.
    pub tally: Tally,
}

#[derive(Debug, Clone)]
struct Draft {
    page: Page,
    loose: Tally,
}

/// A result under way. To be given back, whatever becomes of it.
#[derive(Debug)]
#[must_use = "a book does not get beyond a result of which it is not told what became of it"]
pub struct Ticket(Sequence);

impl Book {
    /// A book that begins behind this place in the tenant's results.
    #[must_use]
    pub fn new(through: Sequence) -> Self {
        let written = Page { through, ..Page::default() };
        Self { highest: through, written, ..Self::default() }
    }

    /// A result is about to be sent.
    pub fn begin(&mut self) -> Ticket {
        *self.under_way.entry(self.highest).or_default() += 1;
        Ticket(self.highest)
    }

    /// A result was stored at this place.
    pub fn stored(&mut self, ticket: Ticket, place: Sequence, bill: Bill) {
        let sent = ticket.0;
        self.give_back(ticket);
        if place <= sent {
            // The stream was made anew and counts from 1. Its places say nothing about this book.
            self.loose.charge(&bill.not_before(self.floor));
        } else if place > self.written.through {
            self.highest = self.highest.max(place);
            self.stored.insert(place, bill);
        }
        // Whoever closed the book while this host was thought to be lost has found the result.
    }

    /// A result was refused in favour of one of this book's, at this place: itself, perhaps, stored without an answer.
    /// One that is counted already is not counted again.
    pub fn found(&mut self, ticket: Ticket, place: Sequence, bill: Bill) {
        let sent = ticket.0;
        self.give_back(ticket);
        if place > sent.max(self.written.through) {
            self.highest = self.highest.max(place);
            self.stored.insert(place, bill);
        }
    }

    /// A result was not stored: it was refused in favour of another's.
    pub fn refused(&mut self, ticket: Ticket) {
        self.give_back(ticket);
    }

    /// Nobody knows whether a result was stored, and nobody will tell. The book stays before it.
    pub fn lost(&mut self, _: Ticket) {
        self.lost += 1;
    }

    /// Something is to be counted that no result shows. It is lost with the host unless it is written before.
    pub fn add(&mut self, bill: Bill) {
        self.loose.charge(&bill.not_before(self.floor));
    }

    /// The highest place in the tenant's results that is known.
    #[must_use]
    pub fn highest(&self) -> Sequence {
        self.highest
    }

    /// How many bills wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.stored.len()
    }

    /// Whether a result was lost sight of. The book cannot get beyond it; another one must take its place.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.lost > 0
    }

    /// Whether nothing is under way any more that could still be heard of.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.under_way.values().sum::<u64>() == self.lost
    }

    /// What should be written now, if anything has changed. Until it is known whether it was written, the same again.
    pub fn draft(&mut self) -> Option<&Page> {
        if self.draft.is_none() {
            let through = self.under_way.keys().next().copied().unwrap_or(self.highest);
            // What was sent before the book was closed lies beyond that, or was counted by whoever closed it.
            let through = through.max(self.written.through);
            let mut ready = self.stored.range(..=through).peekable();
            let is_same = self.floor == self.written.floor && !self.has_taken;
            if is_same && ready.peek().is_none() && self.loose.is_empty() {
                return None;
            }
            let mut tally = self.written.tally.clone();
            ready.for_each(|(_, bill)| tally.charge(&bill.clone().not_before(self.floor)));
            tally.add(&self.loose);
            let writes = self.written.writes + 1;
            let page = Page { through, writes, floor: self.floor, tally, ..Page::default() };
            self.draft = Some(Draft { page, loose: std::mem::take(&mut self.loose) });
        }
        self.draft.as_ref().map(|draft| &draft.page)
    }

    /// What was drafted is written.
    pub fn written(&mut self) {
        if let Some(Draft { page, .. }) = self.draft.take() {
            self.stored = self.stored.split_off(&(page.through + 1));
            self.written = page;
            self.has_taken = false;
        }
    }

    /// Somebody has closed the book, as it was stored, while this host was thought to be lost: what it holds is
    /// counted. It goes on behind that, as a new book.
    pub fn closed(&mut self, stored: &Page) {
        if let Some(draft) = self.draft.take_if(|draft| draft.page.writes != stored.writes) {
            self.loose.add(&draft.loose);
        }
        self.draft = None;
        self.stored = self.stored.split_off(&(stored.through + 1));
        self.highest = self.highest.max(stored.through);
        self.written = Page { through: stored.through, ..Page::default() };
        self.has_taken = false;
    }

    /// The days before `today` are over; what comes late counts for today.
    pub fn turn_to(&mut self, today: Day) {
        for (day, lines) in std::mem::take(&mut self.loose).into_days() {
            self.loose.add_day(day.max(today), &lines);
        }
        self.floor = self.floor.max(Some(today));
    }

    /// A day that is over, and in the record as it will stay: it can be taken from the book into the account.
    #[must_use]
    pub fn over(&self) -> Option<Day> {
        let floor = self.written.floor?;
        let first = self.written.tally.days().next().map(|(day, _)| day);
        first.filter(|day| *day < floor && self.draft.is_none())
    }

    /// What is in the record.
    #[must_use]
    pub fn page(&self) -> &Page {
        &self.written
    }

    /// A day was taken over into the account, which names the book until the record no longer has the day.
    pub fn taken(&mut self, day: Day) {
        self.has_taken |= self.written.tally.remove(day).is_some();
    }

    fn give_back(&mut self, Ticket(sent): Ticket) {
        if let Some(count) = self.under_way.get_mut(&sent) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&sent);
            }
        }
    }
}

impl Page {
    /// The page with the results that follow it, of which some are this book's, and closed: `results` are all that were
    /// stored behind it, in order. It can be done again for as long as nobody has continued it.
    #[must_use]
    pub fn closed_with(
        mut self,
        ids: &[BookId],
        results: impl IntoIterator<Item = (Sequence, Option<BookId>, Bill)>,
    ) -> Self {
        for (place, book, bill) in results {
            if place <= self.through {
                continue;
            }
            self.through = place;
            if book.is_some_and(|book| ids.contains(&book)) {
                self.tally.charge(&bill.not_before(self.floor));
            }
        }
        Self { closed: true, ..self }
    }
}
