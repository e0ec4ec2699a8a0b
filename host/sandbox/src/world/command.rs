//! The world of programs, `wasi:cli/command`: the payload is standard input, standard output is the result, and the
//! exit code says how it ended. What the codes mean is the verdict's concern.

use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi::p2::bindings::CommandIndices;

use crate::attempt::{instantiate, misshapen};
use crate::crash::{Crash, CrashKind, Phase};
use crate::state::State;
use crate::stdio::Collector;
use crate::verdict::Call;

/// The code of a program whose `run` returned an error: it can say no more than that.
const FAILED: i32 = 1;

/// A component of this world, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry {
    pre: InstancePre<State>,
    indices: CommandIndices,
}

impl Entry {
    pub(crate) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(Self { indices: CommandIndices::new(&pre)?, pre })
    }

    pub(crate) async fn call(&self, store: &mut Store<State>) -> Call {
        let instance = match instantiate(store, &self.pre).await {
            Ok(instance) => instance,
            Err(call) => return call,
        };
        let program = match self.indices.load(&mut *store, &instance) {
            Ok(program) => program,
            Err(error) => return misshapen(&error),
        };
        let code = match program.wasi_cli_run().call_run(&mut *store).await {
            Ok(Ok(())) => 0,
            Ok(Err(())) => FAILED,
            Err(error) => match Crash::read(&error, Phase::Running) {
                Crash { kind: CrashKind::Exit(code), .. } => code,
                crash => return Call::Crashed(crash),
            },
        };
        Call::Exited { code, stdout: store.data().output.as_ref().map(Collector::take).unwrap_or_default() }
    }
}
