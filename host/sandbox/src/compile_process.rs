//! The inside of a compile process: a component comes in by standard input, machine code leaves by standard output.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use saggar_model::{COMPONENT_MAX_BYTES, escape_and_cut};
use wasmtime::Engine;

use crate::component::Refused;
use crate::confinement::confine;
use crate::settings;

/// The argument that makes a program a compile process.
pub const COMPILE_COMMAND: &str = "compile-component";

/// How a compile process ends when the component is refused; the reason is on standard error.
pub(crate) const REFUSED: u8 = 65;

/// How it ends when it could not even begin.
pub(crate) const UNFIT: u8 = 70;

/// A reason is a line, not a document.
pub(crate) const REASON_MAX_BYTES: usize = 4096;

/// Compiles the component on standard input, in a process that can do nothing else any more. To be called before
/// anything else, when the program's first argument is [`COMPILE_COMMAND`]; its answer is the program's exit code.
#[must_use]
pub fn compile_standard_input() -> ExitCode {
    let ended = confine().map_err(Ended::Unfit).and_then(|()| compile());
    let (code, reason) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Ended::Refused(reason)) => (REFUSED, reason),
        Err(Ended::Unfit(error)) => (UNFIT, error.to_string()),
    };
    // Whoever does not read the reason does not learn it.
    let _ = io::stderr().write_all(escape_and_cut(&reason, REASON_MAX_BYTES).as_bytes());
    ExitCode::from(code)
}

/// How it ends, unless there is code.
enum Ended {
    Refused(String),
    Unfit(io::Error),
}

fn compile() -> Result<(), Ended> {
    let mut wasm = Vec::new();
    let most = COMPONENT_MAX_BYTES as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut wasm).map_err(Ended::Unfit)?;
    if wasm.len() > COMPONENT_MAX_BYTES {
        let refused = Refused::TooLarge { size: wasm.len(), most: COMPONENT_MAX_BYTES };
        return Err(Ended::Refused(refused.to_string()));
    }
    let engine = settings::compiling().and_then(|config| Engine::new(&config));
    let engine = engine.map_err(|error| Ended::Unfit(io::Error::other(format!("{error:#}"))))?;
    let code = engine.precompile_component(&wasm).map_err(|error| Ended::Refused(format!("{error:#}")))?;
    io::stdout().lock().write_all(&code).map_err(Ended::Unfit)
}
