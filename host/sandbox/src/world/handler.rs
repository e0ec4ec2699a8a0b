//! Saggar's own world: the payload is the handler's argument, and what it returns is the output or the failure.

use std::time::Duration;

use bytes::Bytes;
use saggar_model::Output;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::attempt::{instantiate, misshapen};
use crate::crash::{Crash, Phase};
use crate::interfaces::bindings::PluginIndices;
use crate::interfaces::bindings::exports::saggar::task::handler::{Error, Kind};
use crate::state::State;
use crate::verdict::{Call, GuestError};

/// A component of this world, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry {
    pre: InstancePre<State>,
    indices: PluginIndices,
}

impl Entry {
    pub(crate) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(Self { indices: PluginIndices::new(&pre)?, pre })
    }

    pub(crate) async fn call(&self, store: &mut Store<State>, payload: &Bytes) -> Call {
        let instance = match instantiate(store, &self.pre).await {
            Ok(instance) => instance,
            Err(call) => return call,
        };
        let plugin = match self.indices.load(&mut *store, &instance) {
            Ok(plugin) => plugin,
            Err(error) => return misshapen(&error),
        };
        match plugin.saggar_task_handler().call_handle(store, payload).await {
            Ok(Ok(output)) => {
                Call::Returned(Output { content_type: output.content_type, payload: output.payload.into() })
            }
            Ok(Err(error)) => Call::Refused(error.into()),
            Err(error) => Call::Crashed(Crash::read(&error, Phase::Running)),
        }
    }
}

impl From<Error> for GuestError {
    fn from(error: Error) -> Self {
        Self {
            permanent: match error.kind {
                Kind::Reject => true,
                Kind::Retry => false,
            },
            reason: error.reason,
            after: error.after_ms.map(Duration::from_millis),
            code: error.code,
        }
    }
}
