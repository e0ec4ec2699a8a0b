//! The tasks of one key beside each other: so many at once, so many in a time.
//!
//! A task whose turn comes within a second waits for it here. Any other gets a time that is its own and goes into a timer
//! until then, so that however many tasks one customer has, they hold no places that others need, and nothing is tried
//! over and over.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use saggar_model::{KeyLimits, RateLimit};
use tokio::sync::Notify;

/// A turn that comes within this is waited for. Timers are no more exact.
const SOON: Duration = Duration::from_secs(1);

/// Of the places of a queue, one part in so many may be taken by tasks that wait here.
const WAITING: u32 = 4;

/// So many keys are known before those that nothing runs of are looked for.
const KEYS_MIN: usize = 1024;

/// More are not remembered: of those that only wait for their rate it is forgotten that they do.
const KEYS_MAX: usize = 1 << 17;

/// A turn that nobody knows the time of is looked for after so long, at least.
const LATER_MIN: Duration = Duration::from_secs(1);

/// What a queue's tasks take, as long as nobody knows.
const UNKNOWN: Duration = Duration::from_millis(100);

/// The keys of one queue on this host.
pub(crate) struct KeyGate {
    keys: Mutex<Keys>,
    /// Keys are known by their hash: publishers write them, and as long as they like.
    hasher: RandomState,
    /// A task of some key has ended.
    ended: Notify,
}

impl Default for KeyGate {
    fn default() -> Self {
        let keys = Keys { known: HashMap::new(), waiting: 0, sweep_at: KEYS_MIN };
        Self { keys: Mutex::new(keys), hasher: RandomState::new(), ended: Notify::new() }
    }
}

struct Keys {
    known: HashMap<u64, Key>,
    /// Tasks that wait here.
    waiting: u32,
    /// When this many are known, those that are idle are forgotten.
    sweep_at: usize,
}

#[derive(Default)]
struct Key {
    running: u32,
    waiting: u32,
    /// When the next start is due that the rate allows, were there no burst.
    due: Option<Instant>,
    /// When those that were put off have run, as far as anybody knows.
    free: Option<Instant>,
}

impl Key {
    fn is_idle(&self, now: Instant) -> bool {
        let is_past = |time: Option<Instant>| time.is_none_or(|time| time <= now);
        self.running == 0 && self.waiting == 0 && is_past(self.due) && is_past(self.free)
    }
}

/// What a task of a key asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    /// The value of its header.
    pub(crate) key: &'a str,
    pub(crate) limits: &'a KeyLimits,
    /// Hosts that share the limits.
    pub(crate) hosts: u32,
    /// Its start is counted already.
    pub(crate) booked: bool,
    /// What a task of the queue takes, if that is known.
    pub(crate) takes: Option<Duration>,
    /// Tasks of the queue at once.
    pub(crate) places: u32,
}

/// What it gets.
pub(crate) enum KeyTurn {
    /// It may start. Until this is dropped, it counts.
    Now(KeyHold),
    /// Not before so long. `booked`: its start is counted.
    Later { after: Duration, booked: bool },
}

/// A task of a key that runs.
pub(crate) struct KeyHold {
    gate: Arc<KeyGate>,
    key: u64,
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        let mut keys = self.gate.lock();
        if let Some(key) = keys.known.get_mut(&self.key) {
            key.running = key.running.saturating_sub(1);
        }
        drop(keys);
        self.gate.ended.notify_waiters();
    }
}

/// What is to be done now.
enum Step {
    Start,
    Wait(Duration),
    Later(Duration),
}

impl KeyGate {
    /// A task's turn: now, after a wait of up to a second, or at a time of its own.
    pub(crate) async fn turn(self: &Arc<Self>, turn: Turn<'_>) -> KeyTurn {
        let name = self.hasher.hash_one(turn.key);
        let mut booked = turn.booked;
        if !booked && let Some(limit) = turn.limits.rate {
            match self.book(name, &turn, limit) {
                Step::Start => {}
                Step::Wait(wait) => {
                    tokio::time::sleep(wait).await;
                    self.waited(name);
                }
                Step::Later(after) => return KeyTurn::Later { after, booked: true },
            }
            booked = true;
        }
        let booked = booked && turn.limits.rate.is_some();
        let end = Instant::now() + SOON;
        loop {
            // Heard also if it comes between looking and waiting.
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            match self.enter(name, &turn, end) {
                Step::Start => {
                    return KeyTurn::Now(KeyHold { gate: self.clone(), key: name });
                }
                Step::Later(after) => return KeyTurn::Later { after, booked },
                Step::Wait(wait) => {
                    let _ = tokio::time::timeout(wait, ended).await;
                    self.waited(name);
                }
            }
        }
    }

    /// Counts a start by the rate of its key: each has a time, and none has that of another.
    fn book(&self, name: u64, turn: &Turn<'_>, RateLimit { rate, burst }: RateLimit) -> Step {
        let now = Instant::now();
        let hosts = turn.hosts.max(1);
        let interval =
            Duration::try_from_secs_f64(f64::from(hosts) / rate.per_second()).unwrap_or(Duration::MAX);
        let at_once = interval.saturating_mul((burst / hosts).max(1) - 1);
        let mut keys = self.lock();
        let may_wait = keys.waiting < turn.places.div_ceil(WAITING);
        let key = keys.key(name, now);
        let due = key.due.map_or(now, |due| due.max(now));
        key.due = due.checked_add(interval).or(key.due);
        let wait = due.saturating_duration_since(now).saturating_sub(at_once);
        if wait.is_zero() {
            Step::Start
        } else if wait <= SOON && may_wait {
            key.waiting += 1;
            keys.waiting += 1;
            Step::Wait(wait)
        } else {
            Step::Later(wait)
        }
    }

    /// Starts a task unless as many of its key run as may.
    fn enter(&self, name: u64, turn: &Turn<'_>, end: Instant) -> Step {
        let now = Instant::now();
        // With less than one nothing would ever start.
        let most = turn.limits.concurrency.map_or(u32::MAX, |most| (most / turn.hosts.max(1)).max(1));
        let mut keys = self.lock();
        let may_wait = now < end && keys.waiting < turn.places.div_ceil(WAITING);
        let key = keys.key(name, now);
        if key.running < most {
            key.running += 1;
            return Step::Start;
        }
        let each = turn.takes.unwrap_or(UNKNOWN) / most;
        if may_wait && each * (key.waiting + 1) <= SOON {
            key.waiting += 1;
            keys.waiting += 1;
            return Step::Wait(end - now);
        }
        let free = key.free.map_or(now, |free| free.max(now)) + each;
        key.free = Some(free);
        Step::Later((free - now).max(LATER_MIN))
    }

    fn waited(&self, name: u64) {
        let mut keys = self.lock();
        keys.waiting = keys.waiting.saturating_sub(1);
        if let Some(key) = keys.known.get_mut(&name) {
            key.waiting = key.waiting.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn key(&mut self, name: u64, now: Instant) -> &mut Key {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, key| !key.is_idle(now));
            if self.known.len() >= KEYS_MAX {
                self.known.retain(|_, key| key.running > 0 || key.waiting > 0);
            }
            self.sweep_at = (self.known.len() * 2).clamp(KEYS_MIN, KEYS_MAX);
        }
        self.known.entry(name).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    fn limits(concurrency: Option<u32>, rate: Option<(&str, u32)>) -> KeyLimits {
        let rate = rate.map(|(rate, burst)| RateLimit { rate: rate.parse().unwrap(), burst });
        KeyLimits { header: "Customer".to_owned(), concurrency, rate }
    }

    fn turn<'a>(key: &'a str, limits: &'a KeyLimits) -> Turn<'a> {
        Turn { key, limits, hosts: 1, booked: false, takes: Some(Duration::from_mins(1)), places: 16 }
    }

    async fn now(gate: &Arc<KeyGate>, turn: Turn<'_>) -> KeyHold {
        match tokio::time::timeout(BOUND, gate.turn(turn)).await.unwrap() {
            KeyTurn::Now(hold) => hold,
            KeyTurn::Later { after, .. } => panic!("after {after:?}"),
        }
    }

    async fn later(gate: &Arc<KeyGate>, turn: Turn<'_>) -> (Duration, bool) {
        match tokio::time::timeout(BOUND, gate.turn(turn)).await.unwrap() {
            KeyTurn::Now(_) => panic!("now"),
            KeyTurn::Later { after, booked } => (after, booked),
        }
    }

    #[tokio::test]
    async fn one_key_does_not_keep_another_waiting() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(Some(2), None));
        let a = (now(&gate, turn("a", &limits)).await, now(&gate, turn("a", &limits)).await);
        assert!(later(&gate, turn("a", &limits)).await.0 >= LATER_MIN);
        let _b = now(&gate, turn("b", &limits)).await;
        drop(a.0);
        let _a = now(&gate, turn("a", &limits)).await;
    }

    #[tokio::test]
    async fn those_that_are_put_off_come_back_one_after_another() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(Some(1), None));
        let _held = now(&gate, turn("a", &limits)).await;
        let mut before = Duration::ZERO;
        for _ in 0..5 {
            let (after, booked) = later(&gate, turn("a", &limits)).await;
            assert!(after >= before + Duration::from_secs(59) && !booked, "{after:?} {before:?}");
            before = after;
        }
    }

    #[tokio::test]
    async fn a_turn_that_comes_soon_is_waited_for() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(Some(1), None));
        let short = Turn { takes: Some(Duration::from_millis(1)), ..turn("a", &limits) };
        let held = now(&gate, short).await;
        let waiting = pin!(now(&gate, short));
        let ((), _second) = tokio::join!(async { drop(held) }, waiting);
        assert_eq!(gate.lock().waiting, 0);
    }

    #[tokio::test]
    async fn no_more_wait_than_there_is_room_for_and_none_for_ever() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(Some(1), None));
        let short = Turn { takes: Some(Duration::from_millis(1)), places: 4, ..turn("a", &limits) };
        let _held = now(&gate, short).await;
        let (one, other) = tokio::join!(later(&gate, short), later(&gate, short));
        assert!(one.0 >= LATER_MIN && other.0 >= LATER_MIN);
        assert_eq!(gate.lock().waiting, 0);
    }

    #[tokio::test]
    async fn each_start_beyond_the_rate_has_a_time_of_its_own() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(None, Some(("6/min", 2))));
        for _ in 0..2 {
            drop(now(&gate, turn("a", &limits)).await);
        }
        for tens in 1..4 {
            let (after, booked) = later(&gate, turn("a", &limits)).await;
            let (least, most) = (Duration::from_secs(10 * tens - 2), Duration::from_secs(10 * tens));
            assert!(booked && after > least && after <= most, "{after:?}");
        }
        drop(now(&gate, Turn { booked: true, ..turn("a", &limits) }).await);
        drop(now(&gate, turn("b", &limits)).await);
    }

    #[tokio::test]
    async fn hosts_share_a_rate() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(None, Some(("6/min", 1))));
        let shared = Turn { hosts: 3, ..turn("a", &limits) };
        drop(now(&gate, shared).await);
        assert!(later(&gate, shared).await.0 > Duration::from_secs(28));
    }

    #[tokio::test]
    async fn however_many_keys_there_are_the_memory_for_them_is_bounded() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(None, Some(("1/h", 1))));
        for key in 0..3 * KEYS_MAX {
            drop(now(&gate, turn(&key.to_string(), &limits)).await);
        }
        assert!(gate.lock().known.len() <= 2 * KEYS_MAX, "{}", gate.lock().known.len());
    }

    #[tokio::test]
    async fn keys_that_nothing_runs_of_are_forgotten() {
        let (gate, limits) = (Arc::new(KeyGate::default()), limits(Some(1), None));
        for key in 0..5 * KEYS_MIN {
            drop(now(&gate, turn(&key.to_string(), &limits)).await);
        }
        assert!(gate.lock().known.len() <= 2 * KEYS_MIN, "{}", gate.lock().known.len());
    }
}
