//! Reads wasmtime's errors into plain data: what kind of end it was, in which words, and where in the guest.

use saggar_model::escape_and_cut;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::stdio::TooMuch;

/// A function name is cut here; generic Rust names can be pages long.
const NAME_MAX_BYTES: usize = 256;

/// How far an attempt had come when an error ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before any code of the guest's: its stack, memories and tables.
    Allocating,
    /// Start functions, the handler, and the reading of what it returned.
    Running,
}

/// A call could not be answered, and the guest cannot go on without the answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostFault(pub(crate) String);

/// An error that ended an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) kind: CrashKind,
    pub(crate) message: String,
    pub(crate) backtrace: Vec<String>,
}

/// The kinds of errors that lead to different outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashKind {
    /// All fuel is spent.
    OutOfFuel,
    /// The guest ended itself with an exit code.
    Exit(i32),
    /// The handler returned more than may cross the wall.
    ReturnedTooMuch,
    /// The guest wrote more than the output limit.
    WroteTooMuch,
    /// A trap, or a value that breaks the contract.
    Guest,
    /// Nothing the guest did.
    Host,
}

impl Crash {
    pub(crate) fn read(error: &Error, phase: Phase) -> Self {
        let backtrace = error.downcast_ref::<WasmBacktrace>();
        let kind = if let Some(I32Exit(code)) = error.downcast_ref() {
            CrashKind::Exit(*code)
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            if *trap == Trap::OutOfFuel { CrashKind::OutOfFuel } else { CrashKind::Guest }
        } else if error.is::<TooMuch>() {
            CrashKind::WroteTooMuch
        } else if error.is::<PoolConcurrencyLimitError>() || error.is::<HostFault>() {
            CrashKind::Host
        } else {
            match (phase, backtrace) {
                (_, Some(_)) => CrashKind::Guest,
                (Phase::Allocating, None) => CrashKind::Host,
                (Phase::Running, None) if is_too_much(error) => CrashKind::ReturnedTooMuch,
                (Phase::Running, None) => CrashKind::Guest,
            }
        };
        Self {
            kind,
            message: error.root_cause().to_string(),
            backtrace: backtrace.map(names).unwrap_or_default(),
        }
    }
}

/// Whether what crossed the wall was too much. The error's type is private, so its words have to do; a test with a
/// guest that returns too much notices when they change.
fn is_too_much(error: &Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}

fn names(backtrace: &WasmBacktrace) -> Vec<String> {
    backtrace
        .frames()
        .iter()
        .map(|frame| match frame.func_name() {
            Some(name) => escape_and_cut(&format!("{:#}", rustc_demangle::demangle(name)), NAME_MAX_BYTES),
            None => format!("function {}", frame.func_index()),
        })
        .collect()
}
