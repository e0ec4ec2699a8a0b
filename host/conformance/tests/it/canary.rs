//! Nothing of one tenant's task is found by another's in the same slot.

use std::future;
use std::sync::Arc;

use saggar_model::Outcome;
use saggar_sandbox::{Options, PageScan, Sandbox, Silent};

use crate::stage::{attack, load, request, sandbox};

/// How often one leaves a canary and the other looks for it, for each way of clearing memory.
const ROUNDS: &str = "SAGGAR_CANARY_ROUNDS";
const ROUNDS_DEFAULT: u32 = 1_000;

async fn alternate(sandbox: &Sandbox) {
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS_DEFAULT);
    let attacks = ["62-canary-left", "62b-canary-sought"].map(attack);
    let plugins = attacks.each_ref().map(|attack| load(sandbox, &attack.guest));
    for round in 0..rounds {
        for (attack, plugin) in attacks.iter().zip(&plugins) {
            let attempt = sandbox.run(plugin, request(attack), Arc::new(Silent), future::pending()).await;
            assert_eq!(attempt.ending.outcome(), Outcome::Succeeded, "{} in round {round}", attack.id);
        }
    }
}

#[tokio::test]
async fn attack_62_a_canary_is_not_found_where_the_kernel_says_what_was_written() {
    alternate(&sandbox(&Options { slots: 1, ..Options::default() })).await;
}

#[tokio::test]
async fn attack_62_a_canary_is_not_found_where_all_of_memory_is_cleared() {
    alternate(&sandbox(&Options { slots: 1, page_scan: PageScan::Never, ..Options::default() })).await;
}
