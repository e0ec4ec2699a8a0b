//! A host as the scheduler sees it, in steps of a fraction of a millisecond: guests that fetch, compute on processors that
//! they share, sleep and end. Its load is made of tenants that always have more and of such that have a task now and then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{Capacity, Event, Grant, LaneId, Scheduler, TenantId, Terms, Work};

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000;

/// One step, in microseconds.
const STEP: u64 = 100;

/// What a request to the server takes.
const FETCH: u64 = 1_500;

/// So much work is told before a task ends, as the dispatcher does.
const WORTH_TELLING: u64 = 10_000;

/// A tenant with one queue. Times are in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenant {
    pub(super) weight: u32,
    /// What a task computes, and for how long it sleeps afterwards.
    pub(super) computes: u64,
    pub(super) sleeps: u64,
    pub(super) comes: Comes,
}

/// How its tasks come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comes {
    /// There are always more.
    Flood,
    /// One after so many microseconds, in the mean.
    Every(u64),
}

impl Tenant {
    pub(super) const fn flood(weight: u32, computes: u64, sleeps: u64) -> Self {
        Self { weight, computes, sleeps, comes: Comes::Flood }
    }

    pub(super) const fn quiet(computes: u64, every: u64) -> Self {
        Self { weight: 1, computes, sleeps: 0, comes: Comes::Every(every) }
    }

    fn ahead(&self) -> u32 {
        u32::try_from((5_000 / (self.computes + self.sleeps)).clamp(1, 64)).expect("it is small")
    }
}

struct Guest {
    lane: usize,
    tasks: u32,
    fetches: u64,
    left: u64,
    sleeps: u64,
    untold: (u64, u64),
}

/// What became of a tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Had {
    /// Processor time of its guests, in microseconds.
    pub(super) computed: u64,
    /// Time of its guests on the host, in microseconds.
    pub(super) occupied: u64,
    /// Tasks that were begun.
    pub(super) tasks: u64,
    /// How long it waited for each grant, in microseconds.
    pub(super) waited: Vec<u64>,
}

impl Had {
    /// What ninety-nine of a hundred grants took less than, in microseconds.
    pub(super) fn p99(&self) -> u64 {
        let mut waited = self.waited.clone();
        waited.sort_unstable();
        waited.get(waited.len() * 99 / 100).copied().unwrap_or(u64::MAX)
    }
}

/// A host with its load.
pub(super) struct Host<'a> {
    tenants: &'a [Tenant],
    scheduler: Scheduler,
    start: Instant,
    now: u64,
    dice: StdRng,
    cores: u64,
    guests: Vec<Guest>,
    /// Of each tenant: tasks that have come, and since when it waits.
    due: Vec<u32>,
    since: Vec<Option<u64>>,
    /// When tasks of quiet tenants come, the next one first.
    coming: BinaryHeap<Reverse<(u64, usize)>>,
    /// Who may have something to say.
    news: Vec<usize>,
    had: Vec<Had>,
}

impl<'a> Host<'a> {
    pub(super) fn new(capacity: Capacity, tenants: &'a [Tenant], seed: u64) -> Self {
        let (start, mut dice) = (Instant::now(), StdRng::seed_from_u64(seed));
        let mut scheduler = Scheduler::new(capacity);
        for (lane, tenant) in (0..).zip(tenants) {
            let terms = Terms { tenant_weight: tenant.weight, weight: 1, memory: MIB, component: None };
            scheduler.handle(Event::Opened { lane: LaneId(lane), tenant: TenantId(lane), terms }, start);
        }
        let coming = tenants.iter().enumerate().filter_map(|(lane, tenant)| match tenant.comes {
            Comes::Flood => None,
            Comes::Every(mean) => Some(Reverse((dice.random_range(0..2 * mean), lane))),
        });
        let (coming, count) = (coming.collect(), tenants.len());
        Self {
            tenants,
            scheduler,
            start,
            now: 0,
            dice,
            cores: capacity.cores.into(),
            guests: Vec::new(),
            due: tenants.iter().map(|tenant| if tenant.comes == Comes::Flood { 256 } else { 0 }).collect(),
            since: vec![None; count],
            coming,
            news: (0..count).collect(),
            had: vec![Had::default(); count],
        }
    }

    /// Lets so many seconds pass, and forgets what was before the last so many of them.
    pub(super) fn run(mut self, warm_up: u64, seconds: u64) -> Vec<Had> {
        while self.now < warm_up * SECOND {
            self.step();
        }
        self.had.iter_mut().for_each(|had| *had = Had::default());
        while self.now < (warm_up + seconds) * SECOND {
            self.step();
        }
        self.had
    }

    /// Tells the scheduler something else.
    pub(super) fn tell(&mut self, event: Event) {
        let now = self.time();
        self.scheduler.handle(event, now);
    }

    fn time(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    fn step(&mut self) {
        self.ask();
        let now = self.time();
        while let Some(grant) = self.scheduler.next(now) {
            self.take(grant);
        }
        self.now += STEP;
        self.work();
        self.end();
    }

    /// Who has tasks and does not wait yet says so.
    fn ask(&mut self) {
        while let Some(&Reverse((at, lane))) = self.coming.peek().filter(|Reverse((at, _))| *at <= self.now) {
            self.coming.pop();
            self.due[lane] += 1;
            self.news.push(lane);
            if let Comes::Every(mean) = self.tenants[lane].comes {
                self.coming.push(Reverse((at + self.dice.random_range(0..2 * mean), lane)));
            }
        }
        let now = self.time();
        for lane in std::mem::take(&mut self.news) {
            if self.due[lane] > 0 && self.since[lane].is_none() {
                self.since[lane] = Some(self.now);
                let (tenant, wanted) = (&self.tenants[lane], self.due[lane]);
                let holding = tenant.comes != Comes::Flood;
                let event =
                    Event::Waiting { lane: LaneId(lane as u64), wanted, ahead: tenant.ahead(), holding };
                self.scheduler.handle(event, now);
            }
        }
    }

    fn take(&mut self, Grant { lane, slots, guests, .. }: Grant) {
        let lane = usize::try_from(lane.0).expect("few");
        let (tenant, had) = (&self.tenants[lane], &mut self.had[lane]);
        had.waited.extend(self.since[lane].take().map(|since| self.now - since));
        had.tasks += u64::from(slots);
        if tenant.comes != Comes::Flood {
            self.due[lane] = self.due[lane].saturating_sub(slots);
        }
        self.news.push(lane);
        let mut left = slots;
        for others in (0..guests).rev() {
            let tasks = left / (others + 1);
            left -= tasks;
            self.guests.push(Guest {
                lane,
                tasks,
                fetches: if tenant.comes == Comes::Flood { FETCH } else { 0 },
                // Hosts on which all tasks took exactly the same time would fall into step.
                left: tenant.computes * u64::from(tasks) * self.dice.random_range(90..=110) / 100,
                sleeps: tenant.sleeps,
                untold: (0, 0),
            });
        }
    }

    /// Guests that are ready share the processors.
    fn work(&mut self) {
        let now = self.time();
        let ready = self.guests.iter().filter(|guest| guest.fetches == 0 && guest.left > 0).count() as u64;
        let speed = (self.cores * STEP / ready.max(self.cores)).max(1);
        for guest in &mut self.guests {
            let had = &mut self.had[guest.lane];
            had.occupied += STEP;
            if guest.fetches > 0 {
                guest.fetches = guest.fetches.saturating_sub(STEP);
            } else if guest.left > 0 {
                let did = guest.left.min(speed);
                guest.left -= did;
                had.computed += did;
                guest.untold = (guest.untold.0 + did, guest.untold.1 + STEP);
                if guest.untold.1 >= WORTH_TELLING {
                    tell_work(&mut self.scheduler, guest, now);
                }
            } else {
                guest.sleeps = guest.sleeps.saturating_sub(STEP);
            }
        }
    }

    fn end(&mut self) {
        let (now, scheduler) = (self.time(), &mut self.scheduler);
        self.guests.retain_mut(|guest| {
            let is_over = guest.fetches == 0 && guest.left == 0 && guest.sleeps == 0;
            if is_over {
                let lane = LaneId(guest.lane as u64);
                tell_work(scheduler, guest, now);
                scheduler.handle(Event::Settled { lane, slots: guest.tasks, ran: guest.tasks }, now);
                scheduler.handle(Event::Ended { lane, memory: MIB }, now);
            }
            !is_over
        });
    }
}

fn tell_work(scheduler: &mut Scheduler, guest: &mut Guest, now: Instant) {
    let (computed, ready) = std::mem::take(&mut guest.untold);
    let work = Work {
        computed: Duration::from_micros(computed),
        ready: Duration::from_micros(ready),
        fuel: computed,
    };
    scheduler.handle(Event::Computed { lane: LaneId(guest.lane as u64), work }, now);
}
