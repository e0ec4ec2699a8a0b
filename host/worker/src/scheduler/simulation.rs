//! Hosts with this scheduler against a model of JetStream: hosts that are killed, acknowledgements that get lost, a stream
//! without a leader. Every seed is another schedule; a failing one is run again with `SAGGAR_SEED=…`.
//!
//! The model's lanes do what `lane.rs` and `batch.rs` do, with the product's own scheduler. Afterwards nothing may be held,
//! nothing may be left, and every queue must reach its concurrency again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::{Capacity, Event, Grant, Holding, LaneId, Scheduler, TenantId, Terms};

const ACK_WAIT: u64 = 30_000;
const HOLD: u64 = 5_000;
const STUCK: u64 = 50;
const FETCH_MAX: usize = 256;
const SEEDS: u64 = 100_000;

/// Far more than any schedule takes.
const EVENTS_MAX: u32 = 100_000;

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn place(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("it is small")
    }
}

/// A host in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Life {
    host: usize,
    number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Ended { life: Life, batch: usize, task: usize },
    Stuck { life: Life, batch: usize },
    HeldTooLong { life: Life, queue: usize, task: usize },
    NoSignOfLife { task: usize, delivery: u32 },
    Wake,
    Kill { host: usize },
    Start { host: usize },
    LeaderGone { millis: u64 },
}

struct Message {
    queue: usize,
    millis: u64,
    deliveries: u32,
    is_ready: bool,
    holder: Option<Life>,
    has_result: bool,
    is_acked: bool,
}

struct Queue {
    concurrency: usize,
    memory: u64,
    ahead: u32,
    out: usize,
}

struct Batch {
    queue: usize,
    memory: u64,
    waiting: VecDeque<usize>,
}

#[derive(Clone, Copy)]
enum Lane {
    /// A request for one task stands at the server.
    Stands,
    /// It waits for its grant, with a task in hand or without.
    Asks(Option<usize>),
}

struct Host {
    life: u32,
    is_up: bool,
    scheduler: Scheduler,
    lanes: Vec<Lane>,
    batches: Vec<Batch>,
}

struct World {
    seed: u64,
    dice: Dice,
    start: Instant,
    now: u64,
    leader_at: u64,
    calm_at: u64,
    queues: Vec<Queue>,
    messages: Vec<Message>,
    hosts: Vec<Host>,
    slots: u32,
    memory: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    noted: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let (slots, memory) = (4 + u32::try_from(dice.below(28)).expect("few"), 8 + dice.below(24));
        let queues = (0..=dice.below(4))
            .map(|_| Queue {
                concurrency: 1 + dice.place(8),
                memory: 1 + dice.below(3),
                ahead: if dice.below(2) == 0 { 1 } else { 16 },
                out: 0,
            })
            .collect::<Vec<_>>();
        let mut world = Self {
            seed,
            start: Instant::now(),
            now: 0,
            leader_at: 0,
            calm_at: 20_000 + dice.below(60_000),
            messages: Vec::new(),
            hosts: Vec::new(),
            slots,
            memory,
            agenda: BinaryHeap::new(),
            noted: 0,
            queues,
            dice,
        };
        for _ in 0..4 + world.dice.below(40) {
            let queue = world.dice.place(world.queues.len());
            let millis = world.length_in(queue);
            world.publish(queue, millis);
        }
        for host in 0..=world.dice.place(3) {
            let scheduler = world.fresh_scheduler();
            world.hosts.push(Host {
                life: 0,
                is_up: false,
                scheduler,
                lanes: Vec::new(),
                batches: Vec::new(),
            });
            world.start_host(host);
        }
        for _ in 0..world.dice.below(6) {
            let (at, host) = (world.dice.below(world.calm_at), world.dice.place(world.hosts.len()));
            let what = match world.dice.below(3) {
                0 => Happens::LeaderGone { millis: 1 + world.dice.below(9_000) },
                _ => Happens::Kill { host },
            };
            world.note(at, what);
        }
        world
    }

    fn length_in(&mut self, queue: usize) -> u64 {
        match (self.queues[queue].ahead, self.dice.below(20)) {
            // One that is longer than expected: those behind it are stuck.
            (1, _) | (_, 0) => 20 + self.dice.below(8_000),
            _ => 1 + self.dice.below(3),
        }
    }

    fn publish(&mut self, queue: usize, millis: u64) {
        self.messages.push(Message {
            queue,
            millis,
            deliveries: 0,
            is_ready: true,
            holder: None,
            has_result: false,
            is_acked: false,
        });
    }

    fn fresh_scheduler(&self) -> Scheduler {
        // So many cores that all that fits may run at once, and what is full is slots or memory.
        let cores = self.slots;
        let mut scheduler = Scheduler::new(Capacity { slots: self.slots, memory: self.memory, cores });
        for (lane, queue) in (0..).zip(&self.queues) {
            let terms = Terms { tenant_weight: 1, weight: 1, memory: queue.memory, component: None };
            let event = Event::Opened { lane: LaneId(lane), tenant: TenantId(0), terms };
            scheduler.handle(event, self.time());
        }
        scheduler
    }

    fn start_host(&mut self, host: usize) {
        let (scheduler, lanes) = (self.fresh_scheduler(), vec![Lane::Stands; self.queues.len()]);
        let life = self.hosts[host].life + 1;
        self.hosts[host] = Host { life, is_up: true, scheduler, lanes, batches: Vec::new() };
    }

    fn note(&mut self, at: u64, what: Happens) {
        self.noted += 1;
        self.agenda.push(Reverse((at.max(self.now), self.noted, what)));
    }

    fn run(mut self) {
        self.finish();
        for queue in 0..self.queues.len() {
            self.fill(queue);
        }
    }

    fn finish(&mut self) {
        self.all_hosts();
        for _ in 0..EVENTS_MAX {
            let Some(Reverse((at, _, what))) = self.agenda.pop() else { return self.check() };
            self.now = at;
            self.happens(what);
            self.all_hosts();
        }
        panic!("seed {}: it does not come to an end", self.seed);
    }

    /// As many tasks as a queue may run at once, or as the hosts have room for, do run at once.
    fn fill(&mut self, queue: usize) {
        self.queues[queue].ahead = 1;
        let wanted = self.queues[queue].concurrency;
        for _ in 0..wanted {
            self.publish(queue, 4_000);
        }
        let room = self.slots.min(u32::try_from(self.memory / self.queues[queue].memory).expect("few"));
        let until = self.now + 3_000;
        self.all_hosts();
        while let Some(Reverse((at, _, what))) = self.agenda.pop() {
            if at > until {
                self.agenda.push(Reverse((at, 0, what)));
                break;
            }
            self.now = at;
            self.happens(what);
            self.all_hosts();
        }
        let room = room as usize * self.hosts.len();
        assert_eq!(
            self.queues[queue].out,
            wanted.min(room),
            "seed {}: queue {queue} runs so many",
            self.seed
        );
        self.finish();
    }

    fn check(&self) {
        let seed = self.seed;
        let left = self.messages.iter().filter(|message| !message.is_acked).count();
        assert_eq!(left, 0, "seed {seed}: tasks are left and nobody does anything");
        for host in &self.hosts {
            let Holding { slots, memory, .. } = host.scheduler.free;
            assert_eq!((slots, memory), (self.slots, self.memory), "seed {seed}: something is held");
        }
        assert!(self.queues.iter().all(|queue| queue.out == 0), "seed {seed}: a place in a queue leaked");
    }

    fn time(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn tell(&mut self, host: usize, event: Event) {
        let now = self.time();
        self.hosts[host].scheduler.handle(event, now);
    }

    fn is_alive(&self, life: Life) -> bool {
        let host = &self.hosts[life.host];
        host.is_up && host.life == life.number
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Wake => {}
            Happens::Kill { host } => {
                self.hosts[host].is_up = false;
                let at = self.now + 500;
                self.note(at, Happens::Start { host });
            }
            Happens::Start { host } => self.start_host(host),
            Happens::LeaderGone { millis } => {
                self.leader_at = self.now + millis;
                self.note(self.leader_at, Happens::Wake);
            }
            Happens::NoSignOfLife { task, delivery } => self.no_sign_of_life(task, delivery),
            Happens::Ended { life, batch, task } if self.is_alive(life) => self.ended(life, batch, task),
            Happens::Stuck { life, batch } if self.is_alive(life) => {
                let Batch { queue, waiting, .. } = &self.hosts[life.host].batches[batch];
                if !waiting.is_empty() {
                    let lane = LaneId(*queue as u64);
                    self.tell(life.host, Event::Stuck { lane });
                }
            }
            Happens::HeldTooLong { life, queue, task } if self.is_alive(life) => {
                if matches!(self.hosts[life.host].lanes[queue], Lane::Asks(Some(held)) if held == task) {
                    self.give_back(task);
                    self.ask(life.host, queue, None);
                }
            }
            Happens::Ended { .. } | Happens::Stuck { .. } | Happens::HeldTooLong { .. } => {}
        }
    }

    fn no_sign_of_life(&mut self, task: usize, delivery: u32) {
        let Message { is_acked, deliveries, holder, .. } = self.messages[task];
        if is_acked || deliveries != delivery || self.messages[task].is_ready {
            return;
        }
        if holder.is_some_and(|life| self.is_alive(life)) {
            let at = self.now + ACK_WAIT;
            self.note(at, Happens::NoSignOfLife { task, delivery });
        } else {
            self.give_back(task);
        }
    }

    /// It can be delivered again.
    fn give_back(&mut self, task: usize) {
        let message = &mut self.messages[task];
        (message.is_ready, message.holder) = (true, None);
        self.queues[message.queue].out -= 1;
    }

    fn deliver(&mut self, queue: usize, to: Life) -> Option<usize> {
        let Queue { concurrency, out, .. } = self.queues[queue];
        if self.leader_at > self.now || out >= concurrency {
            return None;
        }
        let task = self.messages.iter().position(|message| message.queue == queue && message.is_ready)?;
        let message = &mut self.messages[task];
        message.is_ready = false;
        message.deliveries += 1;
        message.holder = Some(to);
        let delivery = message.deliveries;
        self.queues[queue].out += 1;
        let at = self.now + ACK_WAIT;
        self.note(at, Happens::NoSignOfLife { task, delivery });
        Some(task)
    }

    fn pending(&self, queue: usize) -> usize {
        self.messages.iter().filter(|message| message.queue == queue && message.is_ready).count()
    }

    fn ended(&mut self, life: Life, batch: usize, task: usize) {
        let (calm, lost) = (self.now >= self.calm_at, self.dice.below(20) == 0);
        let message = &mut self.messages[task];
        message.has_result = true;
        message.holder = None;
        // One that gets lost is not missed by anybody here: the task comes again and has its result.
        if self.leader_at <= self.now && (calm || !lost) && !message.is_acked {
            message.is_acked = true;
            self.queues[message.queue].out -= 1;
        }
        let Batch { queue, memory, .. } = self.hosts[life.host].batches[batch];
        let lane = LaneId(queue as u64);
        self.tell(life.host, Event::Settled { lane, slots: 1, ran: 1 });
        match self.hosts[life.host].batches[batch].waiting.pop_front() {
            Some(next) => self.run_task(life, batch, next),
            None => self.tell(life.host, Event::Ended { lane, memory }),
        }
    }

    fn run_task(&mut self, life: Life, batch: usize, task: usize) {
        let Message { has_result, millis, .. } = self.messages[task];
        let at = self.now + if has_result { 1 } else { millis };
        self.note(at, Happens::Ended { life, batch, task });
    }

    fn all_hosts(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].is_up {
                self.turn(host);
            }
        }
    }

    /// What a host does at once.
    fn turn(&mut self, host: usize) {
        let life = Life { host, number: self.hosts[host].life };
        for queue in 0..self.queues.len() {
            if matches!(self.hosts[host].lanes[queue], Lane::Stands)
                && let Some(task) = self.deliver(queue, life)
            {
                self.ask(host, queue, Some(task));
                let at = self.now + HOLD;
                self.note(at, Happens::HeldTooLong { life, queue, task });
            }
        }
        let now = self.time();
        while let Some(grant) = self.hosts[host].scheduler.next(now) {
            self.take(life, grant);
        }
        if let Some(at) = self.hosts[host].scheduler.wake_at() {
            let at = u64::try_from((at - self.start).as_millis()).expect("soon");
            self.note(at.max(self.now + 1), Happens::Wake);
        }
    }

    fn ask(&mut self, host: usize, queue: usize, held: Option<usize>) {
        let wanted = self.pending(queue).min(FETCH_MAX) + usize::from(held.is_some());
        if wanted == 0 {
            self.hosts[host].lanes[queue] = Lane::Stands;
            return;
        }
        self.hosts[host].lanes[queue] = Lane::Asks(held);
        let waiting = Event::Waiting {
            lane: LaneId(queue as u64),
            wanted: u32::try_from(wanted).expect("few"),
            ahead: self.queues[queue].ahead,
            holding: held.is_some(),
        };
        self.tell(host, waiting);
    }

    fn take(&mut self, life: Life, Grant { lane, slots, guests, memory, .. }: Grant) {
        let queue = usize::try_from(lane.0).expect("few");
        if slots == 0 {
            let mut batches = self.hosts[life.host].batches.iter_mut().enumerate();
            let stuck = batches.find_map(|(n, batch)| {
                (batch.queue == queue && batch.memory == memory)
                    .then(|| batch.waiting.pop_front().map(|task| (n, task)))?
            });
            match stuck {
                Some((batch, task)) => {
                    self.run_task(life, batch, task);
                    let at = self.now + STUCK / 10;
                    self.note(at, Happens::Stuck { life, batch });
                }
                None => self.tell(life.host, Event::Ended { lane, memory }),
            }
            return;
        }
        let held = match self.hosts[life.host].lanes[queue] {
            Lane::Asks(held) => held,
            Lane::Stands => None,
        };
        let mut tasks: VecDeque<_> = held.into_iter().collect();
        while tasks.len() < slots as usize {
            let Some(task) = self.deliver(queue, life) else { break };
            tasks.push_back(task);
        }
        let came_short = tasks.len() < slots as usize;
        let unused = slots - u32::try_from(tasks.len()).expect("few");
        let batch = self.hosts[life.host].batches.len();
        let runs: Vec<_> = tasks.drain(..tasks.len().min(guests as usize)).collect();
        let idle = guests as usize - runs.len();
        self.tell(life.host, Event::Settled { lane, slots: unused, ran: 0 });
        (0..idle).for_each(|_| self.tell(life.host, Event::Ended { lane, memory }));
        let is_stuck = !tasks.is_empty();
        self.hosts[life.host].batches.push(Batch { queue, memory, waiting: tasks });
        for task in runs {
            self.run_task(life, batch, task);
        }
        if is_stuck {
            let at = self.now + STUCK;
            self.note(at, Happens::Stuck { life, batch });
        }
        if came_short {
            self.hosts[life.host].lanes[queue] = Lane::Stands;
        } else {
            self.ask(life.host, queue, None);
        }
    }
}

#[test]
fn whatever_breaks_every_task_ends_nothing_stays_held_and_every_queue_reaches_its_concurrency() {
    if let Ok(seed) = std::env::var("SAGGAR_SEED") {
        return World::new(seed.parse().expect("a seed is a number")).run();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for (first, _) in (0..SEEDS).zip(0..threads) {
            scope.spawn(move || {
                for seed in (first..SEEDS).step_by(threads) {
                    World::new(seed).run();
                }
            });
        }
    });
}
