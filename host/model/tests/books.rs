//! Books of hosts that are lost, frozen and taken for lost, with answers that are lost at any step: played against a
//! stream of results and a store of records, every result is counted once, whoever counts it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use saggar_model::{
    Bill, Book, BookId, BookTicket, Ending, Failure, Outcome, Page, Receipt, Sequence, Spent, Tally,
    TaskResult,
};

const HOSTS: usize = 2;

/// One thing that happens, to one of the hosts. `which` chooses among what it could happen to.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A result is sent.
    Send,
    /// The server stores a result that was sent.
    Store { which: usize },
    /// The answer comes; if it was not stored yet, it is refused.
    Answer { which: usize },
    /// Nobody waits for the answer any more.
    Forget { which: usize },
    /// Something is spent that no result shows.
    Apart,
    /// The host writes its record; `told`: it hears that it was written.
    Write { told: bool },
    /// A new day begins, and a day that is over is taken over into the account, up to a step.
    Turn { steps: u8 },
    /// The host is taken for lost although it is not.
    Bury,
    /// The host is killed, and another begins in its place.
    Kill,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let which = 0..8_usize;
    let step = prop_oneof![
        6 => Just(Step::Send),
        6 => which.clone().prop_map(|which| Step::Store { which }),
        6 => which.clone().prop_map(|which| Step::Answer { which }),
        1 => which.prop_map(|which| Step::Forget { which }),
        2 => Just(Step::Apart),
        4 => any::<bool>().prop_map(|told| Step::Write { told }),
        2 => (0..4_u8).prop_map(|steps| Step::Turn { steps }),
        1 => Just(Step::Bury),
        1 => Just(Step::Kill),
    ];
    (0..HOSTS, step)
}

/// A record as it is stored: the books it stands for, and a page of them.
#[derive(Debug, Clone, Default)]
struct Record {
    ids: Vec<BookId>,
    page: Page,
    revision: u64,
}

/// A result on its way.
struct Sent {
    ticket: BookTicket,
    book: BookId,
    place: Option<Sequence>,
}

struct Host {
    name: String,
    book: Book,
    /// The books that it writes its record for, its own first.
    ids: Vec<BookId>,
    /// The record's revision, as far as the host knows.
    revision: u64,
    sent: Vec<Sent>,
    /// What was spent apart and is not written for sure.
    apart: u64,
}

#[derive(Default)]
struct World {
    results: BTreeMap<Sequence, (BookId, TaskResult)>,
    records: BTreeMap<BookId, Record>,
    account: Tally,
    /// Which books the account has a day of.
    taken: Vec<(saggar_model::Day, BookId)>,
    hosts: Vec<Host>,
    began: u64,
    day: u64,
    /// What was spent apart: surely, and at most.
    apart: (u64, u64),
}

fn result(host: &str) -> TaskResult {
    let receipt = Receipt { fuel: 1, attempt: 1, host: host.to_owned(), ..Receipt::default() };
    let failure = Failure::new(Outcome::Trapped, "for a reason");
    TaskResult::new("q/a".parse().unwrap(), 1, Ending::Failed(failure), receipt, None)
}

impl World {
    fn begun(hosts: usize) -> Self {
        let mut world = Self::default();
        for _ in 0..hosts {
            let host = world.begin();
            world.hosts.push(host);
        }
        world
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(24 * self.day)
    }

    fn last(&self) -> Sequence {
        self.results.last_key_value().map_or(0, |(place, _)| *place)
    }

    fn next_id(&mut self) -> BookId {
        self.began += 1;
        format!("{:x}", self.began).parse().unwrap()
    }

    fn begin(&mut self) -> Host {
        let (id, through) = (self.next_id(), self.last());
        let page = Page { through, ..Page::default() };
        self.records.insert(id.clone(), Record { ids: vec![id.clone()], page, revision: 1 });
        let name = format!("host-{id}");
        Host { name, book: Book::new(through), ids: vec![id], revision: 1, sent: Vec::new(), apart: 0 }
    }

    fn take(&mut self, at: usize, step: Step) {
        let pick = |sent: &[Sent], which: usize| (!sent.is_empty()).then(|| which % sent.len());
        match step {
            Step::Send => {
                let host = &mut self.hosts[at];
                let ticket = host.book.begin();
                host.sent.push(Sent { ticket, book: host.ids[0].clone(), place: None });
            }
            Step::Store { which } => {
                let place = self.last() + 1;
                let host = &mut self.hosts[at];
                let Some(which) = pick(&host.sent, which) else { return };
                let sent = &mut host.sent[which];
                if sent.place.is_none() {
                    sent.place = Some(place);
                    self.results.insert(place, (sent.book.clone(), result(&host.name)));
                }
            }
            Step::Answer { which } => {
                let now = self.now();
                let host = &mut self.hosts[at];
                let Some(which) = pick(&host.sent, which) else { return };
                let Sent { ticket, place, .. } = host.sent.swap_remove(which);
                match place {
                    Some(place) => host.book.stored(ticket, place, Bill::of(&result(&host.name), now)),
                    None => host.book.refused(ticket),
                }
            }
            Step::Forget { which } => {
                let host = &mut self.hosts[at];
                let Some(which) = pick(&host.sent, which) else { return };
                let sent = host.sent.swap_remove(which);
                host.book.lost(sent.ticket);
            }
            Step::Apart => {
                let now = self.now();
                let host = &mut self.hosts[at];
                let spent = Spent { fuel: 1, ..Spent::default() };
                host.book.add(Bill::apart(&"q".parse().unwrap(), &host.name, spent, now));
                host.apart += 1;
                self.apart.1 += 1;
            }
            Step::Write { told } => self.write(at, told),
            Step::Turn { steps } => self.turn(at, steps),
            Step::Bury => {
                let id = self.hosts[at].ids[0].clone();
                self.close(&id);
            }
            Step::Kill => {
                let new = self.begin();
                self.hosts[at] = new;
            }
        }
    }

    /// What a host does every few seconds.
    fn write(&mut self, at: usize, told: bool) {
        let host = &mut self.hosts[at];
        let Some(page) = host.book.draft().cloned() else { return };
        let record = self.records.get_mut(&host.ids[0]).expect("a record goes only when its host is gone");
        if record.revision == host.revision {
            *record = Record { ids: host.ids.clone(), page, revision: record.revision + 1 };
            // Written, told or not, in the end.
            self.apart.0 += std::mem::take(&mut host.apart);
            if told {
                host.revision = record.revision;
                host.book.written();
            }
            return;
        }
        // Refused: it is its own that it was not told of, or somebody has closed it.
        record.page.continued = record.page.closed;
        let stored = record.clone();
        if stored.page.closed {
            let id = self.next_id();
            let host = &mut self.hosts[at];
            host.book.closed(&stored.page);
            host.ids.insert(0, id.clone());
            let page = host.book.page().clone();
            self.records.insert(id, Record { ids: host.ids.clone(), page, revision: 1 });
            host.revision = 1;
        } else {
            host.revision = stored.revision;
            host.book.written();
        }
    }

    /// A new day: the record says so, the day before goes into the account, the record loses it.
    fn turn(&mut self, at: usize, steps: u8) {
        self.day += 1;
        let today = saggar_model::Day::of(self.now());
        self.hosts[at].book.turn_to(today);
        if steps > 0 {
            self.write(at, true);
        }
        let (Some(day), true) = (self.hosts[at].book.over(), steps > 1) else { return };
        let host = &self.hosts[at];
        let (id, page) = (host.ids[0].clone(), host.book.page().clone());
        self.take_over(day, &id, &page);
        if steps > 2 {
            self.hosts[at].book.taken(day);
        }
    }

    fn take_over(&mut self, day: saggar_model::Day, id: &BookId, page: &Page) {
        let Some(lines) = page.tally.day(day) else { return };
        let taken = (day, id.clone());
        if !self.taken.contains(&taken) {
            self.account.add_day(day, lines);
            self.taken.push(taken);
        }
    }

    /// What the leader does with the record of a host that it thinks is lost.
    fn close(&mut self, id: &BookId) {
        let now = self.now();
        let record = self.records.get_mut(id).expect("it is there");
        if record.page.continued {
            return;
        }
        let behind = self.results.iter();
        let behind =
            behind.map(|(place, (book, result))| (*place, Some(book.clone()), Bill::of(result, now)));
        record.page = record.page.clone().closed_with(&record.ids, behind);
        record.revision += 1;
    }

    /// All hosts are gone, and everything is taken over into the account.
    fn end(&mut self) -> Tally {
        let ids: Vec<_> = self.records.keys().cloned().collect();
        for id in ids {
            self.close(&id);
            let page = self.records[&id].page.clone();
            let days: Vec<_> = page.tally.days().map(|(day, _)| day).collect();
            for day in days {
                self.take_over(day, &id, &page);
            }
            self.records.remove(&id);
        }
        std::mem::take(&mut self.account)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_result_is_counted_once(steps in proptest::collection::vec(step(), 0..120)) {
        let mut world = World::begun(HOSTS);
        for (at, step) in steps {
            world.take(at, step);
        }
        let (results, (surely, at_most)) = (world.results.len() as u64, world.apart);
        let account = world.end();
        prop_assert_eq!(account.by_queue(), account.by_host());
        let sum = account.by_queue();
        prop_assert_eq!((sum.ended(), sum.spent.fuel), (results, results));
        prop_assert!((surely..=at_most).contains(&sum.apart.fuel), "{surely} {} {at_most}", sum.apart.fuel);
    }
}
