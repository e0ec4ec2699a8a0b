//! Fuel that ends in the middle of a call, and the thread that runs a guest.

use std::future::{self, Future};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use saggar_model::{Limits, Outcome};
use saggar_sandbox::{Options, Request, Silent};

use crate::stage::{Recorder, attack, load, request, run, sandbox};

#[tokio::test]
async fn attack_11_fuel_that_runs_out_around_a_call_leaves_no_half_effect() {
    /// The engine looks at the fuel where functions begin and loops turn: what a guest does after that, up to its
    /// end, is not looked at.
    const UNCHECKED: u64 = 20;
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let mut logs_once = attack("34c-level-that-is-none");
    // The same call with a level that there is, and one byte to say.
    let saggar_conformance::Guest::Module(text) = logs_once.guest else { panic!("it is a module") };
    let text = text.replace("(i32.const 99)", "(i32.const 2)");
    logs_once.guest = saggar_conformance::Guest::Module(text);
    let whole = run(&sandbox, &logs_once, Arc::new(Silent)).await;
    assert_eq!(whole.ending.outcome(), Outcome::Succeeded);

    let plugin = load(&sandbox, &logs_once.guest);
    for fuel in 0..=whole.usage.fuel + 1 {
        let recorder = Arc::new(Recorder::default());
        let limits = Limits { fuel, ..logs_once.limits };
        let request = Request { limits, ..request(&logs_once) };
        let attempt = sandbox.run(&plugin, request, recorder.clone(), future::pending()).await;
        let lines = recorder.lines();
        if fuel + UNCHECKED < whole.usage.fuel {
            assert_eq!((attempt.ending.outcome(), attempt.usage.fuel), (Outcome::OutOfFuel, fuel));
            assert!(lines.is_empty() || lines == [""], "{lines:?}");
        } else if fuel < whole.usage.fuel {
            assert_eq!(attempt.usage.fuel, fuel, "{:?}", attempt.ending);
            assert_eq!(lines, [""]);
        } else {
            assert_eq!(
                (attempt.ending.outcome(), attempt.usage.fuel),
                (Outcome::Succeeded, whole.usage.fuel)
            );
            assert_eq!(lines, [""]);
        }
    }
}

/// The longest time that a future kept the thread which polled it.
async fn longest_poll<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let (mut future, mut longest) = (pin!(future), Duration::ZERO);
    let output = future::poll_fn(|context| {
        let start = Instant::now();
        let polled = future.as_mut().poll(context);
        longest = longest.max(start.elapsed());
        polled
    })
    .await;
    (output, longest)
}

#[tokio::test]
async fn attack_12_no_attack_keeps_the_thread_that_runs_it() {
    /// Hundred times what a turn takes. A machine of two cores with other things to do needs as much.
    const STALL: Duration = Duration::from_millis(250);
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let busy = |attack: &saggar_conformance::Attack| attack.number() <= 14 || attack.number() == 24;
    for attack in saggar_conformance::all().iter().filter(|attack| busy(attack)) {
        let plugin = load(&sandbox, &attack.guest);
        let running = sandbox.run(&plugin, request(attack), Arc::new(Silent), future::pending());
        let (_, longest) = longest_poll(running).await;
        assert!(longest < STALL, "{}: {longest:?}", attack.id);
    }
}

#[tokio::test]
async fn attack_12_the_largest_bulk_operation_is_as_long_as_a_poll_can_be() {
    /// To write 256 MiB for the first time takes a twentieth of this on an idle machine.
    const STALL: Duration = Duration::from_secs(2);
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let mut fills = attack("3-fill-memory");
    let saggar_conformance::Guest::Module(text) = fills.guest else { panic!("it is a module") };
    let text = text.replace("\"memory\") 961", "\"memory\") 4100").replace("62914560", "268435456");
    fills.guest = saggar_conformance::Guest::Module(text);
    let fills = fills.within(|limits| {
        limits.memory = 300 << 20;
        limits.fuel = 3_000_000_000;
        limits.timeout = Duration::from_secs(30);
    });
    let plugin = load(&sandbox, &fills.guest);
    let running = sandbox.run(&plugin, request(&fills), Arc::new(Silent), future::pending());
    let (attempt, longest) = longest_poll(running).await;
    assert_eq!(attempt.ending.outcome(), Outcome::OutOfFuel);
    assert!(longest < STALL, "{longest:?}");
}
