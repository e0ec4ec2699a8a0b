//! Runs an attack and looks at everything that it must leave alone.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use saggar_model::{Ending, Failure, Limits, Outcome};
use saggar_sandbox::{Attempt, CompileError, Compiler, Plugin, Refused, Request, Sandbox, Silent};

use crate::host_memory::HostMemory;
use crate::{Attack, BuildError, Expected, Guest, attacks};

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
    /// How long its last attempt took; nothing if it was refused.
    pub took: Option<Duration>,
    /// How long after its wall limit each attempt ended that ran into it.
    pub late: Vec<Duration>,
}

/// Runs attacks in one sandbox, with a neighbour who must not notice.
pub struct Checker {
    sandbox: Sandbox,
    compiler: Compiler,
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
    /// The compile process could not be run.
    #[error(transparent)]
    Compile(CompileError),
    /// The neighbour does not run.
    #[error("the sandbox does not run a plugin that does nothing: {0}")]
    Neighbour(String),
}

impl Checker {
    /// Gets the neighbour ready.
    ///
    /// # Errors
    /// The sandbox refuses it or it does not succeed.
    pub async fn new(sandbox: Sandbox, compiler: Compiler) -> Result<Self, CheckError> {
        let prepared = prepare(&sandbox, &compiler, &attacks::neighbour()).await?;
        let neighbour = prepared.map_err(|refused| CheckError::Neighbour(refused.to_string()))?;
        let mut checker = Self { sandbox, compiler, neighbour, fuel: 0 };
        let attempt = checker.run(&checker.neighbour, Request::local(NOTHING)).await;
        match attempt.ending {
            Ending::Succeeded(_) => checker.fuel = attempt.usage.fuel,
            Ending::Failed(failure) => return Err(CheckError::Neighbour(failure.reason)),
        }
        Ok(checker)
    }

    /// Runs one attack so often, or until it does not hold.
    ///
    /// # Errors
    /// The attack cannot be made: its own mistake. Or the compile process cannot be run.
    pub async fn check(&self, attack: &Attack, repeat: u32) -> Result<Checked, CheckError> {
        let Attack { id, name, expected, .. } = *attack;
        let (mut took, mut late) = (None, Vec::new());
        let (mut actual, mut faults) = (String::new(), Vec::new());
        match prepare(&self.sandbox, &self.compiler, &attack.guest).await? {
            Err(refused) => {
                "refused".clone_into(&mut actual);
                if expected != Expected::Refused {
                    faults.push(format!("it was not run: {refused}"));
                }
                faults.extend(self.harm().await);
            }
            Ok(plugin) => {
                for _ in 0..repeat {
                    let ran = self.attempt(attack, &plugin).await;
                    ran.outcome.as_str().clone_into(&mut actual);
                    took = Some(ran.took);
                    if ran.outcome == Outcome::TimedOut {
                        late.push(ran.took.saturating_sub(attack.limits.timeout));
                    }
                    faults = ran.faults;
                    faults.extend(self.harm().await);
                    if !faults.is_empty() {
                        break;
                    }
                }
            }
        }
        let passed = faults.is_empty();
        let actual = std::iter::once(actual).chain(faults).collect::<Vec<_>>().join("; ");
        Ok(Checked { id, name, expected, actual, passed, took, late })
    }

    async fn attempt(&self, attack: &Attack, plugin: &Plugin) -> Ran {
        let memory = HostMemory::now();
        let request = Request { limits: attack.limits, ..Request::local(attack.input.clone()) };
        let start = Instant::now();
        let attempt = self.run(plugin, request).await;
        let took = start.elapsed();
        let outcome = attempt.ending.outcome();
        let mut faults = exceeded(&attempt, &attack.limits, took);
        faults.extend(unfit_to_read(&attempt));
        if !attack.expected.allows(outcome) {
            faults.push(format!("unexpected: {}", reason(&attempt)));
        }
        let more = memory.grown_at_most();
        if more > attack.limits.memory + HOST_MEMORY {
            faults.push(format!("the host held {more} bytes more"));
        }
        Ran { outcome, took, faults }
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

/// An attempt, and what it did not leave alone.
struct Ran {
    outcome: Outcome,
    took: Duration,
    faults: Vec<String>,
}

/// The plugin, made as a host makes it.
async fn prepare(
    sandbox: &Sandbox,
    compiler: &Compiler,
    guest: &Guest,
) -> Result<Result<Plugin, Refused>, CheckError> {
    match compiler.compile(guest.build()?.into()).await {
        Ok(compiled) => Ok(sandbox.load(&compiled)),
        Err(CompileError::Refused(refused)) => Ok(Err(refused)),
        Err(error @ CompileError::Process(_)) => Err(CheckError::Compile(error)),
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
