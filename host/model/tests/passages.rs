//! Tasks that wait in timers, with hosts, servers and acknowledgements lost at any step: what hosts do with
//! [`History::arrival`], played against a message system that remembers no longer than it must.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use saggar_model::{Arrival, History, Outcome, Sequence, Ticket, TimerName};

/// The first message of the task.
const ORIGIN: Sequence = 17;

/// The attempt that succeeds: the task goes through two timers.
const ATTEMPTS: u32 = 3;

fn published() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

/// One thing that happens. `which` chooses among what it could happen to.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A message is delivered to a host, which is `lost` after so many steps of what it has to do.
    Deliver { which: usize, lost: Option<u8> },
    /// A timer is due, `twice` if the server is killed at that moment.
    Due { which: usize, twice: bool },
    /// What is due is moved into the queue; `lost`: the host is, before it acknowledges. Message ids may be forgotten.
    Move { which: usize, lost: bool, forgotten: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let deliver = (0..8_usize, proptest::option::of(0..4_u8));
    prop_oneof![
        deliver.prop_map(|(which, lost)| Step::Deliver { which, lost }),
        (0..8_usize, any::<bool>()).prop_map(|(which, twice)| Step::Due { which, twice }),
        (0..8_usize, any::<bool>(), any::<bool>()).prop_map(|(which, lost, forgotten)| Step::Move {
            which,
            lost,
            forgotten
        }),
    ]
}

#[derive(Default)]
struct World {
    /// Messages in the queue: ticket, and deliveries so far.
    queue: BTreeMap<Sequence, (Option<Ticket>, u64)>,
    waiting: BTreeMap<TimerName, Ticket>,
    /// What is due, and how often it was delivered.
    due: Vec<(TimerName, Ticket, u32)>,
    /// Message ids that are remembered.
    remembered: BTreeSet<TimerName>,
    record: Option<History>,
    /// How often each attempt was run to its end.
    runs: BTreeMap<u32, u32>,
    result: Option<u32>,
    next: Sequence,
}

impl World {
    fn new() -> Self {
        Self { queue: [(ORIGIN, (None, 0))].into(), next: ORIGIN + 1, ..Self::default() }
    }

    fn deliver(&mut self, sequence: Sequence, lost: Option<u8>) {
        let (ticket, delivered) = self.queue.get_mut(&sequence).expect("it is in the queue");
        *delivered += 1;
        let (ticket, delivered) = (ticket.clone(), *delivered);
        if self.result.is_some() {
            self.queue.remove(&sequence);
            return;
        }
        match self.record.clone().unwrap_or_default().arrival(sequence, published(), ticket.as_ref()) {
            Arrival::Stranger => panic!("nobody lies here"),
            Arrival::Superseded => drop(self.queue.remove(&sequence)),
            Arrival::PutOff(history) => {
                if lost != Some(0) {
                    self.set_timer(sequence, &history, lost == Some(1));
                }
            }
            Arrival::Current(history) => self.run(sequence, &history.at_delivery(delivered), delivered, lost),
        }
    }

    /// Runs the task: the result or the record, then the timer, then the acknowledgement.
    fn run(&mut self, sequence: Sequence, history: &History, delivered: u64, lost: Option<u8>) {
        if lost == Some(0) {
            return;
        }
        let attempt = history.next_attempt();
        *self.runs.entry(attempt).or_default() += 1;
        if attempt == ATTEMPTS {
            self.result = Some(attempt);
            if lost.is_none() {
                self.queue.remove(&sequence);
            }
            return;
        }
        if lost == Some(1) {
            return;
        }
        let secret: TimerName = "6f1c".parse().expect("it is a name");
        let due = published() + Duration::from_secs(9);
        let history = history.after(Outcome::Retried, delivered, "a");
        let history = history.put_off(sequence, &secret, due, published());
        self.record = Some(history.clone());
        if lost != Some(2) {
            self.set_timer(sequence, &history, lost == Some(3));
        }
    }

    /// Sets the timer that a record speaks of, unless it is under way, and acknowledges unless the host is lost.
    fn set_timer(&mut self, sequence: Sequence, history: &History, lost: bool) {
        let passage = history.passage.as_ref().expect("it was put off");
        let (name, ticket) = (passage.timer(), passage.ticket(ORIGIN));
        let under_way = self.waiting.contains_key(&name)
            || self.due.iter().any(|(due, ..)| *due == name)
            || self.is_queued(&ticket);
        if !under_way {
            self.waiting.insert(name, ticket);
        }
        if !lost {
            self.queue.remove(&sequence);
        }
    }

    fn is_queued(&self, ticket: &Ticket) -> bool {
        self.queue.values().any(|(queued, _)| queued.as_ref() == Some(ticket))
    }

    fn make_due(&mut self, which: usize, twice: bool) {
        let Some(name) = self.waiting.keys().nth(which % self.waiting.len().max(1)).cloned() else { return };
        let ticket = self.waiting.remove(&name).expect("it waits");
        for _ in 0..=u8::from(twice) {
            self.due.push((name.clone(), ticket.clone(), 0));
        }
    }

    fn move_on(&mut self, which: usize, lost: bool, forgotten: bool) {
        if self.due.is_empty() {
            return;
        }
        if forgotten {
            self.remembered.clear();
        }
        let at = which % self.due.len();
        self.due[at].2 += 1;
        let (name, ticket, delivered) = self.due[at].clone();
        let moved = delivered > 1 && (self.is_queued(&ticket) || self.result.is_some());
        if !moved && self.remembered.insert(name) {
            self.queue.insert(self.next, (Some(ticket), 0));
            self.next += 1;
        }
        if !lost {
            self.due.remove(at);
        }
    }

    fn is_over(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty() && self.due.is_empty()
    }
}

/// What has become of the task when these things have happened, and after them nothing that goes wrong.
fn played(steps: &[Step]) -> World {
    let mut world = World::new();
    for step in steps {
        match *step {
            Step::Deliver { which, lost } => {
                let sequence = world.queue.keys().nth(which % world.queue.len().max(1)).copied();
                if let Some(sequence) = sequence {
                    world.deliver(sequence, lost);
                }
            }
            Step::Due { which, twice } => world.make_due(which, twice),
            Step::Move { which, lost, forgotten } => world.move_on(which, lost, forgotten),
        }
        assert!(world.result.is_some() || !world.is_over(), "the task is lost at {step:?} of {steps:?}");
    }
    for _ in 0..100 {
        let sequences: Vec<_> = world.queue.keys().copied().collect();
        sequences.into_iter().for_each(|sequence| world.deliver(sequence, None));
        world.make_due(0, false);
        world.move_on(0, false, false);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_on_the_way_the_task_ends_and_no_attempt_is_left_out_or_added(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let world = played(&steps);
        prop_assert!(world.is_over(), "something is left of {:?}", steps);
        prop_assert_eq!(world.result, Some(ATTEMPTS), "{:?}", steps);
        let attempts: Vec<_> = world.runs.keys().copied().collect();
        prop_assert_eq!(attempts, (1..=ATTEMPTS).collect::<Vec<_>>(), "{:?}", steps);
    }

    #[test]
    fn an_attempt_whose_host_lives_is_made_once_whatever_happens_to_timers(
        rounds in proptest::collection::vec((0..8_usize, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let steps: Vec<_> = rounds
            .into_iter()
            .flat_map(|(which, twice, lost)| [
                Step::Deliver { which, lost: None },
                Step::Due { which, twice },
                Step::Move { which, lost, forgotten: false },
            ])
            .collect();
        let world = played(&steps);
        prop_assert!(world.runs.values().all(|runs| *runs == 1), "{:?}: {:?}", world.runs, steps);
    }
}
