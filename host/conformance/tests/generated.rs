//! Programs that nobody wrote: generated modules, and real components that something has happened to. Each gets a
//! verdict, those that are accepted an attempt, and the host none of it to keep.
//!
//! A run of the tests tries a few hundred of each; `SAGGAR_GENERATED=200000` tries so many.

use std::future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use saggar_conformance::Guest;
use saggar_model::{Limits, Outcome};
use saggar_sandbox::{Options, Refused, Request, Sandbox, Silent};

/// How many, unless somebody says otherwise.
const NUMBER: u64 = 300;

/// Enough for most generated programs to end by themselves.
const LIMITS: Limits = Limits {
    fuel: 2_000_000,
    memory: 16 << 20,
    timeout: Duration::from_millis(500),
    output: 64 << 10,
    log: 16 << 10,
    host_call: 1 << 20,
    resources: 100,
};

/// A verdict takes milliseconds; this tells it from a compiler that does not end.
const VERDICT: Duration = Duration::from_secs(20);

/// An attempt may take so much longer than its wall limit on a machine that does other things.
const LATE: Duration = Duration::from_secs(2);

/// What the process may hold more at the end than it held after the first tenth.
const GROWTH: u64 = 64 << 20;

fn number() -> u64 {
    std::env::var("SAGGAR_GENERATED").map_or(NUMBER, |number| number.parse().expect("it is a number"))
}

/// What a plugin exports.
const EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "saggar:task/handler@0.1.0#handle") (param i32 i32) (result i32) unreachable))"#;

/// What it may call, with whatever it likes.
const IMPORTS: &str = r#"(module
    (import "saggar:task/context@0.1.0" "header" (func (param i32 i32 i32)))
    (import "saggar:task/context@0.1.0" "deadline-ms" (func (result i64)))
    (import "saggar:task/progress@0.1.0" "report" (func (param f64 i32 i32)))
    (import "wasi:logging/logging@0.1.0-draft" "log" (func (param i32 i32 i32 i32 i32)))
    (import "wasi:random/random@0.2.12" "get-random-bytes" (func (param i64 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func (param i64) (result i32)))
    (import "wasi:io/poll@0.2.12" "poll" (func (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func (param i32)))
    (import "wasi:cli/stdout@0.2.12" "get-stdout" (func (result i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
        (func (param i32 i32 i32 i32)))
    (import "wasi:cli/environment@0.2.12" "get-environment" (func (param i32)))
    (import "wasi:filesystem/preopens@0.2.12" "get-directories" (func (param i32))))"#;

fn generated(random: &mut StdRng) -> Option<Vec<u8>> {
    Guest::CoreModule(saggar_harness::generated::module(random, EXPORTS, IMPORTS)?).build().ok()
}

/// What a program of preview 1 exports.
const PROGRAM: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// What it may call.
const PREVIEW_1: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "env" "unknown" (func)))"#;

/// A module, now and then with something done to it, and what is made of it.
fn program(random: &mut StdRng) -> Option<Vec<u8>> {
    let module = saggar_harness::generated::module(random, PROGRAM, PREVIEW_1)?;
    let module = if random.random_ratio(1, 3) { mutated(random, &[module]) } else { module };
    match saggar_sandbox::adapt(&module) {
        Ok(adapted) => adapted.map(|adapted| adapted.wasm),
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            None
        }
    }
}

fn mutated(random: &mut StdRng, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = originals[random.random_range(0..originals.len())].clone();
    for _ in 0..random.random_range(1..6) {
        let place = random.random_range(0..bytes.len());
        let end = (place + random.random_range(1..64)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes[place] ^= 1 << random.random_range(0..8),
            1 => bytes[place] = random.random(),
            2 => drop(bytes.drain(place..end)),
            3 => random.fill_bytes(&mut bytes[place..end]),
            4 => {
                let copy = bytes[place..end].to_vec();
                let to = random.random_range(0..bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => bytes.truncate(place.max(1)),
        }
    }
    bytes
}

/// What became of all of them.
#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    ended: u64,
    succeeded: u64,
}

/// Pushes a component and makes an attempt if it is accepted.
async fn try_it(sandbox: &Sandbox, wasm: Vec<u8>, seed: u64, tally: &mut Tally) {
    let begun = Instant::now();
    let verdict = sandbox.compile(&wasm).and_then(|compiled| sandbox.load(&compiled));
    assert!(begun.elapsed() < VERDICT, "seed {seed}: a verdict after {:?}", begun.elapsed());
    let plugin = match verdict {
        Ok(plugin) => plugin,
        Err(refused) => {
            assert!(!refused.to_string().is_empty(), "seed {seed}");
            tally.refused += 1;
            return;
        }
    };
    let request = Request { limits: LIMITS, ..Request::local("clay".into()) };
    let begun = Instant::now();
    let attempt = sandbox.run(&plugin, request, Arc::new(Silent), future::pending()).await;
    let took = begun.elapsed();
    assert!(took < LIMITS.timeout + LATE, "seed {seed}: ended after {took:?}");
    assert!(attempt.usage.fuel <= LIMITS.fuel, "seed {seed}: {} fuel", attempt.usage.fuel);
    assert!(attempt.usage.peak_memory <= LIMITS.memory, "seed {seed}: {}", attempt.usage.peak_memory);
    match attempt.ending.outcome() {
        Outcome::HostError | Outcome::Interrupted | Outcome::Cancelled | Outcome::Expired => {
            panic!("seed {seed}: {:?}", attempt.ending)
        }
        Outcome::Succeeded => tally.succeeded += 1,
        Outcome::Rejected
        | Outcome::Retried
        | Outcome::Trapped
        // What it exports may have got another shape.
        | Outcome::Invalid
        | Outcome::OutOfFuel
        | Outcome::OutOfMemory
        | Outcome::TimedOut
        | Outcome::OutputTooLarge => {}
    }
    tally.ended += 1;
}

/// Tries so many, and looks whether the process grows.
async fn try_all(make: impl Fn(&mut StdRng) -> Option<Vec<u8>>) -> Tally {
    let sandbox = Sandbox::new(&Options { slots: 2, max_memory: 64 << 20, ..Options::default() })
        .expect("the machine has room");
    let (number, mut tally) = (number(), Tally::default());
    let mut settled = None;
    for seed in 0..number {
        let mut random = StdRng::seed_from_u64(seed);
        if let Some(wasm) = make(&mut random) {
            try_it(&sandbox, wasm, seed, &mut tally).await;
        }
        if seed == number / 10 {
            settled = Some(resident());
        }
    }
    let growth = resident().saturating_sub(settled.unwrap_or_default());
    assert!(growth < GROWTH, "the process has grown by {growth} bytes: {tally:?}");
    println!("{number} tried: {tally:?}, grown by {growth} bytes");
    tally
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("the kernel says so");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("it is a number") * 4096
}

#[tokio::test]
async fn generated_modules_get_a_verdict_and_those_that_run_an_end() {
    let tally = try_all(generated).await;
    assert!(tally.ended > tally.refused / 2, "many are valid: {tally:?}");
}

#[tokio::test]
async fn generated_programs_of_preview_1_are_refused_or_run() {
    let tally = try_all(program).await;
    assert!(tally.ended > 10 && tally.refused < tally.ended, "what is adapted can be run: {tally:?}");
}

#[tokio::test]
async fn mutated_components_get_a_verdict_and_those_that_run_an_end() {
    let names = ["hello", "echo", "facts", "fails", "reports", "returns"];
    let read = |path: PathBuf| std::fs::read(path).expect("it is there");
    let originals: Vec<_> = names.map(|name| read(saggar_harness::guests::path(name))).to_vec();
    let tally = try_all(|random| Some(mutated(random, &originals))).await;
    assert!(tally.refused > tally.ended, "most are broken: {tally:?}");
    assert!(tally.ended > 0, "what is beside the code does not matter: {tally:?}");
}

#[test]
fn what_is_no_component_is_refused_without_a_compiler() {
    let sandbox = Sandbox::new(&Options { slots: 1, max_memory: 64 << 20, ..Options::default() })
        .expect("the machine has room");
    for seed in 0..number() {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; random.random_range(0..4096)];
        random.fill_bytes(&mut bytes);
        if seed % 2 == 0 {
            bytes.splice(0..0, *b"\0asm\x0d\0\x01\0");
        }
        match sandbox.compile(&bytes) {
            // Noise may claim to have more of something than is allowed.
            Err(Refused::NotWasm | Refused::Broken(_) | Refused::TooMuch(_) | Refused::NotAPlugin { .. }) => {
            }
            Err(other) => panic!("seed {seed}: {other}"),
            Ok(_) => panic!("seed {seed}: it is no component"),
        }
    }
}
