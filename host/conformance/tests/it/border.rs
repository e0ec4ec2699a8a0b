//! Everything a guest may call, and being ended wherever it waits.

use std::future::{self, Future};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use saggar_conformance::every_call;
use saggar_model::{Limits, Outcome};
use saggar_sandbox::{Options, Request, Silent, StopReason};

use crate::stage::{attack, load, request, sandbox};

#[tokio::test]
async fn attack_35_numbers_that_are_hard_to_bear_are_an_error_or_a_trap_to_every_function() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let every = every_call().expect("the signatures are well-formed");
    assert!(every.calls.len() > 600, "{} calls", every.calls.len());
    let plugin = load(&sandbox, &every.guest);
    let limits = Limits { fuel: 10_000_000, timeout: Duration::from_millis(100), ..Limits::default() };
    let mut seen = std::collections::BTreeMap::new();
    for (name, input) in every.calls {
        let request = Request { limits, ..Request::local(input.into()) };
        let attempt = sandbox.run(&plugin, request, Arc::new(Silent), future::pending()).await;
        let outcome = attempt.ending.outcome();
        let borne = [Outcome::Succeeded, Outcome::Trapped, Outcome::OutOfFuel, Outcome::TimedOut];
        assert!(borne.contains(&outcome), "{name}: {:?}", attempt.ending);
        *seen.entry(outcome.as_str()).or_insert(0) += 1;
    }
    assert!(seen["succeeded"] > 100 && seen["trapped"] > 10, "{seen:?}");
}

/// Ends an attempt the `nth` time that it waits for something; counts how often it did.
fn stop_at(nth: usize, waits: Arc<AtomicUsize>) -> impl Future<Output = StopReason> {
    future::poll_fn(move |_| {
        if waits.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            Poll::Ready(StopReason::Cancelled)
        } else {
            Poll::Pending
        }
    })
}

fn resident_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("it holds some")
}

#[tokio::test]
async fn attack_36_an_attempt_that_is_cancelled_wherever_it_waits_leaves_nothing_behind() {
    const TIMES: usize = 1_000;
    const PAGES: usize = 16 << 20 >> 12;
    // One slot: an attempt that keeps anything keeps the next one from starting.
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    for id in ["1-endless-loop", "8-timers-of-zero", "10b-costly-calls"] {
        let attack = attack(id).within(|limits| limits.fuel = 12_000_000);
        let plugin = load(&sandbox, &attack.guest);
        let waits = Arc::new(AtomicUsize::new(0));
        let stop = stop_at(usize::MAX, waits.clone());
        let whole = sandbox.run(&plugin, request(&attack), Arc::new(Silent), stop).await;
        assert_eq!(whole.ending.outcome(), Outcome::OutOfFuel, "{id}");
        let places = waits.load(Ordering::Relaxed);
        assert!(places > 5, "{id} waits {places} times");
        let before = resident_pages();
        let mut cancelled = 0;
        for n in 0..TIMES {
            let nth = n % places + 1;
            let waits = Arc::new(AtomicUsize::new(0));
            let stop = stop_at(nth, waits.clone());
            let attempt = sandbox.run(&plugin, request(&attack), Arc::new(Silent), stop).await;
            // Turns are of time: it does not give way equally often each time.
            let wanted = if waits.load(Ordering::Relaxed) >= nth {
                cancelled += 1;
                Outcome::Cancelled
            } else {
                Outcome::OutOfFuel
            };
            assert_eq!(attempt.ending.outcome(), wanted, "{id} at {nth}");
        }
        assert!(cancelled > TIMES / 2, "{id} was cancelled {cancelled} times");
        assert!(resident_pages() < before + PAGES, "{id}");
        let again = sandbox.run(&plugin, request(&attack), Arc::new(Silent), future::pending()).await;
        assert_eq!(again.usage.fuel, whole.usage.fuel);
    }
}
