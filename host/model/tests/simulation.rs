//! Settlement against a model of JetStream: hosts that die, freeze and wake, messages that come again, answers that get
//! lost, a stream without a leader. Every seed is another schedule; a failing one is run again with
//! `SAGGAR_SEED=… cargo test --release --workspace --test simulation`.
//!
//! The model's hosts do what `docs/architecture.md` says of settling, step by step, with the product's own decisions:
//! what a history becomes, what follows from an outcome. Between any two steps anything may happen.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use saggar_model::{History, Outcome, RetryPolicy, Settlement, settle};

/// Milliseconds without a sign of life after which the server delivers a message again.
const ACK_WAIT: u64 = 30_000;

/// As often does a host give a sign of life.
const KEEP_ALIVE: u64 = 10_000;

/// Schedules in one run of the tests.
const SEEDS: u64 = 100_000;

/// Past this a schedule does not come to an end, and something is stuck.
const STEPS_MAX: u64 = 20_000;

const ATTEMPTS: u32 = 3;

/// Numbers that depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("a place in it")]
    }
}

/// What runs of a task do: so that its right end is known.
#[derive(Debug, Clone, Copy)]
enum Nature {
    Succeeds,
    /// Fails before this attempt.
    FailsUntil(u32),
    AlwaysFails,
    IsRejected,
    /// Does the one or the other.
    IsFickle,
}

impl Nature {
    fn run(self, attempt: u32, dice: &mut Dice) -> Outcome {
        match self {
            Self::Succeeds => Outcome::Succeeded,
            Self::FailsUntil(good) if attempt >= good => Outcome::Succeeded,
            Self::FailsUntil(_) | Self::AlwaysFails => Outcome::Trapped,
            Self::IsRejected => Outcome::Rejected,
            Self::IsFickle => dice.pick(&[Outcome::Succeeded, Outcome::Trapped, Outcome::Rejected]),
        }
    }

    /// The outcome, and the attempt that has it, if that is certain.
    fn end(self) -> Option<(Outcome, u32)> {
        match self {
            Self::Succeeds => Some((Outcome::Succeeded, 1)),
            Self::FailsUntil(good) => Some((Outcome::Succeeded, good)),
            Self::AlwaysFails => Some((Outcome::Trapped, ATTEMPTS)),
            Self::IsRejected => Some((Outcome::Rejected, 1)),
            Self::IsFickle => None,
        }
    }
}

#[derive(Debug)]
struct Message {
    nature: Nature,
    deliveries: u64,
    /// When it can be delivered, for the first time or again.
    ready_at: u64,
    acked: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Stored {
    outcome: Outcome,
    attempt: u32,
}

/// What is on disk: it outlives every host.
#[derive(Debug, Default)]
struct Server {
    messages: BTreeMap<u64, Message>,
    results: HashMap<u64, Stored>,
    dead: HashMap<u64, Stored>,
    /// By task, with a revision.
    states: HashMap<u64, (History, u64)>,
    revision: u64,
    /// Nothing is stored before that: the stream has no leader.
    leader_at: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Recall,
    /// Until then.
    Run(u64),
    PutDead(Stored),
    PutResult(Stored),
    RemoveDead,
    Ack,
    PutState(History, u64),
    Nak(u64),
    RemoveState,
}

/// A delivered message in the hands of a host.
#[derive(Debug)]
struct Unit {
    task: u64,
    delivery: u64,
    past: History,
    revision: u64,
    /// When the last sign of life was asked for that was confirmed in time.
    confirmed: u64,
    step: Step,
    has_dead: bool,
}

#[derive(Debug, Default)]
struct Host {
    units: Vec<Unit>,
    /// It does nothing before that.
    wakes_at: u64,
    leaving: bool,
}

struct World {
    seed: u64,
    dice: Dice,
    now: u64,
    server: Server,
    hosts: Vec<Host>,
    policy: RetryPolicy,
    /// Faults happen until then; afterwards everything must come to an end.
    calm_at: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let natures = [
            Nature::Succeeds,
            Nature::FailsUntil(2),
            Nature::FailsUntil(ATTEMPTS),
            Nature::AlwaysFails,
            Nature::IsRejected,
            Nature::IsFickle,
        ];
        let tasks = 2 + dice.below(4);
        let mut message =
            || Message { nature: dice.pick(&natures), deliveries: 0, ready_at: 0, acked: false };
        let messages = (1..=tasks).map(|task| (task, message())).collect();
        let server = Server { messages, ..Server::default() };
        let hosts = (0..=1 + dice.below(2)).map(|_| Host::default()).collect();
        let policy = RetryPolicy { attempts: ATTEMPTS, base: 0.1, cap: 2.0, ..RetryPolicy::default() };
        let calm_at = 40_000 + dice.below(200_000);
        Self { seed, dice, now: 0, server, hosts, policy, calm_at }
    }

    fn run(mut self) {
        for _ in 0..STEPS_MAX {
            let done = self.server.messages.values().all(|message| message.acked);
            if done && self.hosts.iter().all(|host| host.units.is_empty()) {
                return self.check();
            }
            self.turn();
        }
        panic!("seed {}: stuck: {:#?} {:#?}", self.seed, self.server, self.hosts);
    }

    /// Something happens, somewhere.
    fn turn(&mut self) {
        self.now += self.dice.pick(&[1, 5, 40, 700, 6_000]);
        if self.now < self.calm_at {
            self.fault();
        }
        let host = self.any_host();
        if self.hosts[host].wakes_at > self.now {
            return;
        }
        self.keep_alive(host);
        if self.hosts[host].leaving && self.hosts[host].units.is_empty() {
            // Another one comes in its place.
            self.hosts[host] = Host::default();
        }
        let units = self.hosts[host].units.len() as u64;
        match self.dice.below(units + 1) {
            0 if !self.hosts[host].leaving => self.deliver(host),
            0 => {}
            unit => self.step(host, usize::try_from(unit - 1).expect("a place among them")),
        }
    }

    fn any_host(&mut self) -> usize {
        usize::try_from(self.dice.below(self.hosts.len() as u64)).expect("a place among them")
    }

    fn fault(&mut self) {
        let host = self.any_host();
        match self.dice.below(60) {
            0 => self.hosts[host] = Host::default(),
            1 => self.hosts[host].wakes_at = self.now + self.dice.below(3 * ACK_WAIT),
            2 => self.hosts[host].leaving = true,
            3 => self.server.leader_at = self.now + self.dice.below(9_000),
            _ => {}
        }
    }

    /// Every message that was asked about in time is the host's for a while longer. What it lost stays lost, although
    /// JetStream would confirm a sign of life for it, too.
    fn keep_alive(&mut self, host: usize) {
        let (now, leaderless) = (self.now, self.server.leader_at > self.now);
        for unit in &mut self.hosts[host].units {
            let age = now - unit.confirmed;
            if (KEEP_ALIVE..ACK_WAIT).contains(&age) && !leaderless {
                unit.confirmed = now;
                let message = self.server.messages.get_mut(&unit.task).filter(|message| !message.acked);
                if let Some(message) = message {
                    message.ready_at = now + ACK_WAIT;
                }
            }
        }
    }

    fn deliver(&mut self, host: usize) {
        let now = self.now;
        let mut messages = self.server.messages.iter_mut();
        let ready = messages.find(|(_, message)| !message.acked && message.ready_at <= now);
        if let Some((task, message)) = ready {
            message.deliveries += 1;
            message.ready_at = now + ACK_WAIT;
            self.hosts[host].units.push(Unit {
                task: *task,
                delivery: message.deliveries,
                past: History::default(),
                revision: 0,
                confirmed: now,
                step: Step::Recall,
                has_dead: false,
            });
        }
    }

    /// One step of one unit. What has no answer was done or not, and is tried again.
    fn step(&mut self, host: usize, unit: usize) {
        let mut unit = self.hosts[host].units.swap_remove(unit);
        let calm = self.now >= self.calm_at;
        let writes = !matches!(unit.step, Step::Recall | Step::Run(_) | Step::Ack | Step::Nak(_));
        let fails = writes && (self.server.leader_at > self.now || (!calm && self.dice.one_in(30)));
        let unanswered = writes && !calm && self.dice.one_in(30);
        if !fails {
            let before = unit.step.clone();
            match self.next(host, &mut unit) {
                Some(_) if unanswered => unit.step = before,
                Some(next) => unit.step = next,
                None => return,
            }
        }
        self.hosts[host].units.push(unit);
    }

    /// Does a step; the answer is the one after it.
    fn next(&mut self, host: usize, unit: &mut Unit) -> Option<Step> {
        match unit.step.clone() {
            Step::Recall => Some(self.recall(unit)),
            Step::Run(until) if self.now < until && !self.hosts[host].leaving => Some(Step::Run(until)),
            Step::Run(until) => self.settle(host, unit, self.now < until),
            Step::PutDead(stored) => {
                self.server.dead.entry(unit.task).or_insert_with(|| stored.clone());
                Some(Step::PutResult(stored))
            }
            Step::PutResult(stored) => {
                let first = self.server.results.entry(unit.task).or_insert(stored);
                // A twin was faster: its success makes the dead letter untrue.
                let untrue = unit.has_dead && !first.outcome.is_failure();
                Some(if untrue { Step::RemoveDead } else { Step::Ack })
            }
            Step::RemoveDead => {
                self.server.dead.remove(&unit.task);
                Some(Step::Ack)
            }
            Step::Ack => {
                let recorded = self.server.results.contains_key(&unit.task);
                assert!(recorded, "seed {}: {} was acknowledged without a record", self.seed, unit.task);
                if let Some(message) = self.server.messages.get_mut(&unit.task) {
                    message.acked = true;
                }
                Some(Step::RemoveState)
            }
            Step::RemoveState => {
                self.server.states.remove(&unit.task);
                None
            }
            Step::PutState(history, after) => self.put_state(unit, history).then_some(Step::Nak(after)),
            Step::Nak(after) => {
                let message = self.server.messages.get_mut(&unit.task).filter(|message| !message.acked);
                if let Some(message) = message {
                    message.ready_at = self.now + after;
                }
                None
            }
        }
    }

    fn recall(&mut self, unit: &mut Unit) -> Step {
        if unit.delivery > 1 {
            if let Some(stored) = self.server.results.get(&unit.task).cloned() {
                // A failure that has its result makes sure of its dead letter.
                return if stored.outcome.is_failure() { Step::PutDead(stored) } else { Step::Ack };
            }
            let (history, revision) = self.server.states.get(&unit.task).cloned().unwrap_or_default();
            (unit.past, unit.revision) = (history.at_delivery(unit.delivery), revision);
        }
        Step::Run(self.now + self.dice.below(4) * 9_000)
    }

    fn settle(&mut self, host: usize, unit: &mut Unit, cut_short: bool) -> Option<Step> {
        let attempt = unit.past.next_attempt();
        let nature = self.server.messages[&unit.task].nature;
        let outcome = if cut_short { Outcome::Interrupted } else { nature.run(attempt, &mut self.dice) };
        let stored = Stored { outcome, attempt };
        let holds = self.now - unit.confirmed < ACK_WAIT;
        match settle(outcome, None, &unit.past, &self.policy, 0.5) {
            Settlement::Finish => Some(Step::PutResult(stored)),
            // Whoever may have lost the task says nothing but its result.
            _ if !holds => None,
            Settlement::DeadLetter => {
                unit.has_dead = true;
                Some(Step::PutDead(stored))
            }
            Settlement::Retry { after } | Settlement::GiveBack { after } => {
                let history = unit.past.after(outcome, unit.delivery, &format!("host-{host}"));
                Some(Step::PutState(history, millis(after)))
            }
        }
    }

    /// Whether the state is this host's to write: somebody else's later one stays.
    fn put_state(&mut self, unit: &mut Unit, history: History) -> bool {
        let kept = self.server.states.get(&unit.task);
        let stored = kept.map_or(0, |(_, revision)| *revision);
        if stored != unit.revision {
            // Unless it is the very same, written by a try that had no answer.
            return kept.is_some_and(|(kept, _)| *kept == history);
        }
        self.server.revision += 1;
        self.server.states.insert(unit.task, (history, self.server.revision));
        true
    }

    fn check(&self) {
        let Self { seed, server: Server { messages, results, dead, .. }, .. } = self;
        for (task, message) in messages {
            let Some(result) = results.get(task) else {
                panic!("seed {seed}: {task} has no result: {message:?}")
            };
            let is_dead = dead.contains_key(task);
            assert!(is_dead || !result.outcome.is_failure(), "seed {seed}: {task} lacks its dead letter");
            assert!(result.attempt <= ATTEMPTS, "seed {seed}: {task}: {result:?}");
            if let Some((outcome, attempt)) = message.nature.end() {
                assert_eq!(result.outcome, outcome, "seed {seed}: {task}: {message:?}");
                assert_eq!(
                    result.attempt, attempt,
                    "seed {seed}: an interruption was counted: {task}: {message:?}"
                );
                assert_eq!(is_dead, outcome.is_failure(), "seed {seed}: {task}: {message:?}");
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[test]
fn every_schedule_ends_with_one_result_each_and_no_attempt_counted_for_an_interruption() {
    match std::env::var("SAGGAR_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => World::new(seed).run(),
        None => (0..SEEDS).for_each(|seed| World::new(seed).run()),
    }
}
