//! Compiles components, each in a process of its own.
//!
//! Compiling is the most that a stranger can make a host do: nine kilobytes can cost it minutes and gigabytes, and a
//! fault in the compiler would be a fault of the host. So a component is looked at first, and then compiled by this
//! same program as a child, which can do nothing but compute, with limits, and which is killed when it takes too long.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use saggar_model::{escape_and_cut, format_bytes, format_duration};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::compile_process::{COMPILE_COMMAND, REASON_MAX_BYTES, REFUSED, UNFIT};
use crate::component::{Compiled, Refused};
use crate::confinement::{CPU_SECONDS, MEMORY_BYTES};
use crate::inspect::inspect;
use crate::sandbox::Sandbox;

/// Compile processes at once. Each may take [`MEMORY_BYTES`], and one that takes long must not hold up all others.
const AT_ONCE: usize = 2;

/// How long a compile process may take by the clock: its processor time, on a machine that is busy with tasks.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often one hears of a compile process that takes long.
const NEWS: Duration = Duration::from_secs(5);

/// The most machine code of one component. The largest honest ones have a tenth of it.
const CODE_MAX_BYTES: u64 = 1 << 30;

/// Compiles components. Cheap to clone; all clones share the number of processes.
#[derive(Clone)]
pub struct Compiler(Place);

#[derive(Clone)]
enum Place {
    Here(Sandbox),
    Process { program: PathBuf, permits: Arc<Semaphore> },
}

/// A component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component's fault: it would end like this again.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The machine's fault: trying again may help.
    #[error("the compile process failed: {0}")]
    Process(String),
}

impl Compiler {
    /// Compiles in child processes of this same program, which must pass control to
    /// [`compile_standard_input`](crate::compile_standard_input) when its first argument is [`COMPILE_COMMAND`].
    ///
    /// # Errors
    /// The system does not say where the program is.
    pub fn new() -> Result<Self, CompileError> {
        // This one leads to the running program even after an update has put another in its place.
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() {
            running
        } else {
            std::env::current_exe().map_err(|error| failed(&error))?
        };
        Ok(Self(Place::Process { program, permits: Arc::new(Semaphore::new(AT_ONCE)) }))
    }

    /// Compiles in this process, without limits: for components that are one's own.
    #[must_use]
    pub fn here(sandbox: &Sandbox) -> Self {
        Self(Place::Here(sandbox.clone()))
    }

    /// Compiles a component.
    ///
    /// # Errors
    /// It is refused, or the process could not be run.
    pub async fn compile(&self, wasm: Bytes) -> Result<Compiled, CompileError> {
        match &self.0 {
            Place::Here(sandbox) => {
                let sandbox = sandbox.clone();
                let compiling = tokio::task::spawn_blocking(move || sandbox.compile(&wasm));
                let compiled = compiling.await.map_err(|error| CompileError::Process(error.to_string()))?;
                Ok(compiled?)
            }
            Place::Process { program, permits } => {
                let (inspection, wasm) = inspected(wasm).await?;
                let _permit = permits.acquire().await.map_err(|closed| failed(&closed))?;
                let code = run(program, wasm).await?;
                Ok(Compiled { digest: inspection.digest, code })
            }
        }
    }
}

async fn inspected(wasm: Bytes) -> Result<(crate::Inspection, Bytes), CompileError> {
    // A large component takes long enough to read to be in the way of others.
    let inspecting = tokio::task::spawn_blocking(move || inspect(&wasm).map(|inspection| (inspection, wasm)));
    Ok(inspecting.await.map_err(|error| failed(&error))??)
}

async fn run(program: &PathBuf, wasm: Bytes) -> Result<Vec<u8>, CompileError> {
    let mut command = Command::new(program);
    // Neither variables, which may hold secrets, nor a place in the file system.
    command.arg(OsString::from(COMPILE_COMMAND)).env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| failed(&error))?;
    let size = wasm.len();
    let mut working = std::pin::pin!(tokio::time::timeout(PATIENCE, converse(child, wasm)));
    let mut news = tokio::time::interval(NEWS);
    news.reset();
    loop {
        tokio::select! {
            ended = &mut working => return match ended {
                Ok(Ok(told)) => judge(told),
                Ok(Err(error)) => Err(failed(&error)),
                // What was given up is killed as it is dropped.
                Err(_) => Err(too_expensive(&format!("more than {}", format_duration(PATIENCE)))),
            },
            _ = news.tick() => {
                tracing::info!(component = format_bytes(size as u64), "still compiling");
            }
        }
    }
}

/// What a compile process said, and how it ended.
struct Told {
    status: ExitStatus,
    code: Vec<u8>,
    reason: String,
}

async fn converse(mut child: Child, wasm: Bytes) -> io::Result<Told> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let send = async move {
        if let Some(mut stdin) = stdin {
            // A process that ends before it has read everything says why by itself.
            let _ = stdin.write_all(&wasm).await;
        }
    };
    let ((), code, reason, status) = tokio::join!(
        send,
        read(stdout, CODE_MAX_BYTES),
        read(stderr, REASON_MAX_BYTES as u64),
        child.wait(),
    );
    Ok(Told { status: status?, code: code?, reason: String::from_utf8_lossy(&reason?).into_owned() })
}

/// What comes, up to a limit; what comes beyond it finds nobody who reads it.
async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Whose fault it is, if there is no code.
fn judge(told: Told) -> Result<Vec<u8>, CompileError> {
    let Told { status, code, reason } = told;
    let reason = escape_and_cut(reason.trim_end(), REASON_MAX_BYTES);
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(code),
        (Some(exit), _) if exit == i32::from(REFUSED) => Err(Refused::Broken(reason).into()),
        (Some(exit), _) if exit == i32::from(UNFIT) => Err(CompileError::Process(reason)),
        (_, Some(libc::SIGXCPU)) => {
            Err(too_expensive(&format!("more than {CPU_SECONDS} s of processor time")))
        }
        (_, Some(libc::SIGABRT)) if reason.contains("memory allocation of") => {
            Err(too_expensive(&format!("more than {} of memory", format_bytes(MEMORY_BYTES))))
        }
        // Somebody else ended it, the kernel perhaps because memory ran out; it may fare better another time.
        (_, Some(signal @ (libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP))) => {
            Err(CompileError::Process(format!("it was ended by signal {signal}")))
        }
        _ => Err(Refused::CompilerFailed(format!("{status}: {reason}")).into()),
    }
}

fn too_expensive(what: &str) -> CompileError {
    Refused::TooExpensive(what.to_owned()).into()
}

fn failed(error: &dyn std::fmt::Display) -> CompileError {
    CompileError::Process(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: i32, reason: &str) -> Result<Vec<u8>, CompileError> {
        judge(Told { status: ExitStatus::from_raw(status), code: vec![1], reason: reason.to_owned() })
    }

    fn exited(code: u8) -> i32 {
        i32::from(code) << 8
    }

    #[test]
    fn what_the_component_caused_is_refused_and_what_it_did_not_may_be_tried_again() {
        assert_eq!(judged(0, "").unwrap(), [1]);
        let refused = |status, reason| match judged(status, reason) {
            Err(CompileError::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(exited(REFUSED), "no\n"), Refused::Broken("no".to_owned()));
        assert!(matches!(refused(libc::SIGXCPU, ""), Refused::TooExpensive(_)));
        assert!(matches!(
            refused(libc::SIGABRT, "memory allocation of 9 bytes failed"),
            Refused::TooExpensive(_)
        ));
        assert!(matches!(refused(libc::SIGABRT, "has overflowed its stack"), Refused::CompilerFailed(_)));
        assert!(matches!(refused(libc::SIGSEGV, ""), Refused::CompilerFailed(_)));
        assert!(matches!(refused(exited(101), "panicked at"), Refused::CompilerFailed(_)));

        for status in [exited(UNFIT), libc::SIGKILL, libc::SIGTERM] {
            assert!(matches!(judged(status, ""), Err(CompileError::Process(_))), "{status}");
        }
    }

    #[test]
    fn what_a_compile_process_says_is_no_text_for_a_terminal() {
        let error = judged(exited(REFUSED), "\u{1b}[2J").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
