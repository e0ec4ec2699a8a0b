//! One tenant's book on this host, and where it is stored. The lock is held for as long as a sum takes, never across a
//! wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use saggar_jetstream::{BookRecord, Nats, StoredBook, StoredResult};
use saggar_model::{Bill, Book, BookId, BookTicket, Day, Page, Sequence, TaskResult, TenantName};

/// Books that one continues, and that results under way may still name: each was closed since a host was last heard of,
/// so that more than one is rare.
const CONTINUES_MAX: usize = 8;

/// A tenant's book.
pub(crate) struct Ledger {
    tenant: TenantName,
    state: Mutex<State>,
}

struct State {
    book: Book,
    /// Its id, and those of the books that it continues.
    ids: Vec<BookId>,
    /// Of the record that was written last.
    revision: Sequence,
    /// What it will be called next, once its record is there.
    successor: Option<BookId>,
    is_retired: bool,
}

impl Ledger {
    pub(crate) fn new(tenant: &TenantName, id: BookId, through: Sequence) -> Self {
        let book = Book::new(through);
        let state = State { book, ids: vec![id], revision: 0, successor: None, is_retired: false };
        Self { tenant: tenant.clone(), state: Mutex::new(state) }
    }

    pub(crate) fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    pub(crate) fn id(&self) -> BookId {
        self.lock().ids[0].clone()
    }

    pub(crate) fn revision(&self) -> Sequence {
        self.lock().revision
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().book.waiting()
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.lock().book.is_stuck()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.lock().book.is_settled()
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.lock().is_retired
    }

    pub(crate) fn set_retired(&self) {
        self.lock().is_retired = true;
    }

    pub(crate) fn add(&self, bill: Bill) {
        self.lock().book.add(bill);
    }

    /// What was written of it.
    pub(crate) fn record(&self, host: &str) -> BookRecord {
        self.lock().record(host)
    }

    /// Its record is there.
    pub(crate) fn opened(&self, revision: Sequence) {
        self.lock().revision = revision;
    }

    /// What is to be written.
    pub(crate) fn draft(&self, host: &str) -> Option<BookRecord> {
        let mut state = self.lock();
        let page = state.book.draft()?.clone();
        Some(BookRecord { page, ..state.record(host) })
    }

    /// The draft is written.
    pub(crate) fn written(&self, revision: Sequence) {
        let mut state = self.lock();
        state.revision = revision;
        state.book.written();
    }

    /// What this host has written, told or not.
    pub(crate) fn is_stored(&self, page: &Page, revision: Sequence) {
        let mut state = self.lock();
        state.revision = revision;
        if state.book.draft().is_some_and(|draft| draft.writes == page.writes) {
            state.book.written();
        }
    }

    /// The page of a book that was closed and taken over, of which it may be known how far it went. If not, all that
    /// this host knows of was counted by then or is charged to nobody.
    pub(crate) fn closed_page(&self, through: Option<Sequence>) -> Page {
        let through = through.unwrap_or_else(|| self.lock().book.highest());
        Page { through, closed: true, ..Page::default() }
    }

    /// What the book that continues it is called.
    pub(crate) fn successor(&self, make: impl FnOnce() -> BookId) -> BookId {
        self.lock().successor.get_or_insert_with(make).clone()
    }

    /// The first record of the book that continues it.
    pub(crate) fn continuing(&self, host: &str, successor: &BookId, closed: &Page) -> BookRecord {
        let mut ids = self.lock().ids.clone();
        ids.insert(0, successor.clone());
        ids.truncate(CONTINUES_MAX);
        let page = Page { through: closed.through, ..Page::default() };
        BookRecord { host: host.to_owned(), ids, retired: false, page }
    }

    /// The record of the book that continues it is there.
    pub(crate) fn continued(&self, successor: BookId, closed: &Page, revision: Sequence) {
        let mut state = self.lock();
        state.book.closed(closed);
        state.ids.insert(0, successor);
        state.ids.truncate(CONTINUES_MAX);
        state.revision = revision;
        state.successor = None;
    }

    /// The days before today are over, if any is in it.
    pub(crate) fn turn_to(&self, today: Day) {
        let mut state = self.lock();
        if state.book.page().tally.days().next().is_some_and(|(day, _)| day < today) {
            state.book.turn_to(today);
        }
    }

    /// A day that can go into the account, and the book as it is stored.
    pub(crate) fn over(&self) -> Option<(StoredBook, Day)> {
        let state = self.lock();
        let day = state.book.over()?;
        Some((self.stored(&state), day))
    }

    /// The book as it is stored, if everything is in it that it will ever have unless another result is begun.
    pub(crate) fn whole(&self) -> Option<StoredBook> {
        let mut state = self.lock();
        let is_whole = state.book.is_settled() && !state.book.is_stuck() && state.book.draft().is_none();
        is_whole.then(|| self.stored(&state))
    }

    fn stored(&self, state: &State) -> StoredBook {
        StoredBook {
            tenant: self.tenant.clone(),
            record: state.record(""),
            revision: state.revision,
            stored_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// It is there.
    pub(crate) fn taken(&self, day: Day) {
        self.lock().book.taken(day);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&self, host: &str) -> BookRecord {
        let page = self.book.page().clone();
        BookRecord { host: host.to_owned(), ids: self.ids.clone(), retired: false, page }
    }
}

/// A result under way, and the book that it will be counted in. Dropped, it is lost sight of.
pub(crate) struct UnderWay {
    ledger: Arc<Ledger>,
    nats: Nats,
    id: BookId,
    ticket: Option<BookTicket>,
}

impl UnderWay {
    pub(crate) fn begin(ledger: Arc<Ledger>, nats: Nats) -> Self {
        let mut state = ledger.lock();
        let (ticket, id) = (Some(state.book.begin()), state.ids[0].clone());
        drop(state);
        Self { ledger, nats, id, ticket }
    }

    /// The book that the result has to name.
    pub(crate) fn id(&self) -> &BookId {
        &self.id
    }

    /// It was stored at this place.
    pub(crate) fn stored(mut self, place: Sequence, result: &TaskResult) {
        let bill = Bill::of(result, self.nats.now());
        if let Some(ticket) = self.ticket.take() {
            self.ledger.lock().book.stored(ticket, place, bill);
        }
    }

    /// It was refused in favour of this one, which is counted if it belongs into this book and is not: it may be the
    /// same result, stored without an answer.
    pub(crate) fn refused(mut self, found: &StoredResult) {
        let bill = Bill::of(&found.result, self.nats.now());
        let Some(ticket) = self.ticket.take() else { return };
        let mut state = self.ledger.lock();
        if found.result.book.as_ref().is_some_and(|book| state.ids.contains(book)) {
            state.book.found(ticket, found.sequence, bill);
        } else {
            state.book.refused(ticket);
        }
    }

    /// It was not sent.
    pub(crate) fn not_sent(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.ledger.lock().book.refused(ticket);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.ledger.lock().book.lost(ticket);
        }
    }
}
