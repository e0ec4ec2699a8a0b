//! Runs an attack and looks at everything that it must leave alone.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use saggar_model::{Ending, Failure, Limits, Outcome};
use saggar_sandbox::{Attempt, Plugin, Request, Sandbox, Silent};

use crate::{Attack, BuildError, Expected, attacks};

/// What an attempt may take beyond its wall limit. It is a hundredth of this on an idle machine; a busy one of two
/// cores may have nothing to spare for the thread that runs it for that long.
const LATE: Duration = Duration::from_millis(250);

/// What the host's memory may grow by beyond what the guest was allowed.
const HOST_MEMORY: u64 = 64 << 20;

/// An attack after it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The attack's name for machines.
    pub id: &'static str,
    /// What it tries.
    pub name: &'static str,
    /// What must become of it.
    pub expected: Expected,
    /// What became of it, and what it did not leave alone, if anything.
    pub actual: String,
    /// Whether it held.
    pub passed: bool,
    /// How long its attempt took; nothing if it was refused.
    pub took: Option<Duration>,
    /// How long after its wall limit the attempt ended, if that is what ended it.
    pub late: Option<Duration>,
}

/// Runs attacks in one sandbox, with a neighbour who must not notice.
pub struct Checker {
    sandbox: Sandbox,
    neighbour: Plugin,
    /// What the neighbour's task costs when nobody attacks.
    fuel: u64,
}

/// The sandbox does not even run the neighbour.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// An attack or the neighbour could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The neighbour does not run.
    #[error("the sandbox does not run a plugin that does nothing: {0}")]
    Neighbour(String),
}

impl Checker {
    /// Gets the neighbour ready.
    ///
    /// # Errors
    /// The sandbox refuses it or it does not succeed.
    pub async fn new(sandbox: Sandbox) -> Result<Self, CheckError> {
        let wasm = attacks::neighbour().build()?;
        let refused = |refused: saggar_sandbox::Refused| CheckError::Neighbour(refused.to_string());
        let neighbour = sandbox.compile(&wasm).and_then(|code| sandbox.load(&code)).map_err(refused)?;
        let mut checker = Self { sandbox, neighbour, fuel: 0 };
        let attempt = checker.run(&checker.neighbour, Request::local(NOTHING)).await;
        match attempt.ending {
            Ending::Succeeded(_) => checker.fuel = attempt.usage.fuel,
            Ending::Failed(failure) => return Err(CheckError::Neighbour(failure.reason)),
        }
        Ok(checker)
    }

    /// Runs one attack.
    ///
    /// # Errors
    /// The attack cannot be made: its own mistake.
    pub async fn check(&self, attack: &Attack) -> Result<Checked, CheckError> {
        let wasm = attack.guest.build()?;
        let Attack { id, name, expected, .. } = *attack;
        let loaded = self.sandbox.compile(&wasm).and_then(|code| self.sandbox.load(&code));
        let (actual, mut faults, took, late) = match loaded {
            Err(refused) => {
                let mut faults = Vec::new();
                if expected != Expected::Refused {
                    faults.push(format!("it was not run: {refused}"));
                }
                ("refused".to_owned(), faults, None, None)
            }
            Ok(plugin) => {
                let before = resident();
                let request = Request { limits: attack.limits, ..Request::local(attack.input.clone()) };
                let start = Instant::now();
                let attempt = self.run(&plugin, request).await;
                let took = start.elapsed();
                let outcome = attempt.ending.outcome();
                let mut faults = exceeded(&attempt, &attack.limits, took);
                faults.extend(unfit_to_read(&attempt));
                if !expected.allows(outcome) {
                    faults.push(format!("unexpected: {}", reason(&attempt)));
                }
                let more = resident().saturating_sub(before);
                if more > attack.limits.memory + HOST_MEMORY {
                    faults.push(format!("the host holds {more} bytes more"));
                }
                let late = took.saturating_sub(attack.limits.timeout);
                let late = (outcome == Outcome::TimedOut).then_some(late);
                (outcome.as_str().to_owned(), faults, Some(took), late)
            }
        };
        faults.extend(self.harm().await);
        let passed = faults.is_empty();
        let actual = std::iter::once(actual).chain(faults).collect::<Vec<_>>().join("; ");
        Ok(Checked { id, name, expected, actual, passed, took, late })
    }

    async fn run(&self, plugin: &Plugin, request: Request) -> Attempt {
        self.sandbox.run(plugin, request, Arc::new(Silent), future::pending()).await
    }

    /// What the neighbour notices, if anything.
    async fn harm(&self) -> Option<String> {
        let attempt = self.run(&self.neighbour, Request::local(NOTHING)).await;
        match &attempt.ending {
            Ending::Succeeded(_) if attempt.usage.fuel == self.fuel => None,
            Ending::Succeeded(_) => Some(format!(
                "a neighbour's task costs {} units of fuel instead of {}",
                attempt.usage.fuel, self.fuel
            )),
            Ending::Failed(failure) => Some(format!("a neighbour's task failed: {}", failure.reason)),
        }
    }
}

const NOTHING: bytes::Bytes = bytes::Bytes::new();

fn reason(attempt: &Attempt) -> String {
    match &attempt.ending {
        Ending::Succeeded(output) => format!("{} bytes of output", output.payload.len()),
        Ending::Failed(failure) => failure.reason.clone(),
    }
}

/// The limits that an attempt did not keep to.
fn exceeded(attempt: &Attempt, limits: &Limits, took: Duration) -> Vec<String> {
    let usage = &attempt.usage;
    let mut faults = Vec::new();
    if usage.fuel > limits.fuel {
        faults.push(format!("{} units of fuel of {}", usage.fuel, limits.fuel));
    }
    if usage.peak_memory > limits.memory {
        faults.push(format!("{} bytes of memory of {}", usage.peak_memory, limits.memory));
    }
    if took > limits.timeout + LATE {
        faults.push(format!("ended after {took:?} of {:?}", limits.timeout));
    }
    if attempt.ending.outcome() == Outcome::OutOfFuel && usage.fuel != limits.fuel {
        faults.push(format!("out of fuel after {} units of {}", usage.fuel, limits.fuel));
    }
    faults
}

/// What is wrong with the words of a failure: people read them, and they end up in headers.
fn unfit_to_read(attempt: &Attempt) -> Option<String> {
    let Ending::Failed(failure) = &attempt.ending else { return None };
    let lines = failure.stderr.lines().chain([failure.reason.as_str()]).chain(failure.code.as_deref());
    let lines = lines.chain(failure.backtrace.iter().map(String::as_str));
    let harmless = lines.into_iter().all(|line| saggar_model::escape(line) == line);
    let short = failure.reason.len() <= Failure::REASON_MAX_BYTES;
    (!harmless || !short).then(|| "the failure is not fit to be read by people".to_owned())
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    const PAGE: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.as_deref().and_then(|statm| statm.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * PAGE
}
