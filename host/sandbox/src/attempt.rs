//! One attempt: a fresh store, a fresh instance, one call, and then nothing is left.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_model::{Ending, Failure, Limits, Outcome, Output, panic_message};
use wasmtime::{Engine, Store};

use crate::charge::Border;
use crate::component::Plugin;
use crate::crash::{Crash, Phase};
use crate::interfaces::bindings::exports::saggar::task::handler::{Error, Kind};
use crate::redact::Redactor;
use crate::request::{Attempt, Request, StopReason, Usage};
use crate::services::Services;
use crate::settings::YIELD_INTERVAL;
use crate::state::State;
use crate::verdict::{Call, GuestError, Observed, verdict};

pub(crate) async fn run(
    engine: &Engine,
    plugin: &Plugin,
    request: Request,
    services: Arc<dyn Services>,
    stop: impl Future<Output = StopReason> + Send,
) -> Attempt {
    let start = Instant::now();
    let limits = request.limits;
    let deadline = start + limits.timeout;
    let payload = request.task.payload.clone();
    let mut store = Store::new(engine, State::new(request, services, start, deadline));
    let call = match arm(&mut store, &limits) {
        Ok(()) => tokio::select! {
            biased;
            call = call(&mut store, plugin, &payload) => call,
            () = tokio::time::sleep_until(deadline.into()) => Call::TimedOut,
            reason = stop => Call::Stopped(reason),
        },
        Err(error) => Call::Crashed(Crash::read(&error, Phase::Allocating)),
    };
    let redactor = store.data().granted.redactor.clone();
    let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    let (log_bytes, stderr) = close(&mut store);
    let state = store.data();
    let observed = Observed { limits, growth_denied: state.memory.last_growth_denied(), stderr };
    let ending = redacted(verdict(call.redacted(&redactor), &observed), &redactor);
    let bytes_out = match &ending {
        Ending::Succeeded(output) => output.payload.len() as u64,
        Ending::Failed(_) => 0,
    };
    let usage = Usage {
        fuel,
        peak_memory: state.memory.peak(),
        duration: start.elapsed(),
        bytes_in: payload.len() as u64,
        bytes_out,
        log_bytes,
        host_calls: state.charges.count(),
    };
    Attempt { ending, usage }
}

/// How an attempt ended over which the host panicked. What it used nobody knows.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Attempt {
    let reason = format!("the host panicked while it ran the task: {}", panic_message(panic));
    Attempt { ending: Ending::Failed(Failure::new(Outcome::HostError, &reason)), usage: Usage::default() }
}

/// Sets the limits before anything of the guest runs: its start functions run under them too.
fn arm(store: &mut Store<State>, limits: &Limits) -> wasmtime::Result<()> {
    store.limiter(|state| &mut state.memory);
    store.set_fuel(limits.fuel)?;
    store.fuel_async_yield_interval(Some(YIELD_INTERVAL))?;
    store.call_hook_async(Border);
    store.set_hostcall_fuel(usize::try_from(limits.host_call_bytes()).unwrap_or(usize::MAX));
    store.set_max_component_handles(usize::try_from(limits.resources).unwrap_or(usize::MAX));
    Ok(())
}

async fn call(store: &mut Store<State>, plugin: &Plugin, payload: &Bytes) -> Call {
    let instance = match plugin.pre.instantiate_async(&mut *store).await {
        Ok(instance) => instance,
        // A start function can do all that a handler can.
        Err(error) if store.data().guest_ran => return Call::Crashed(Crash::read(&error, Phase::Running)),
        Err(error) => return Call::Crashed(Crash::read(&error, Phase::Allocating)),
    };
    match instance.saggar_task_handler().call_handle(store, payload).await {
        Ok(Ok(output)) => {
            Call::Returned(Output { content_type: output.content_type, payload: output.payload.into() })
        }
        Ok(Err(error)) => Call::Refused(error.into()),
        Err(error) => Call::Crashed(Crash::read(&error, Phase::Running)),
    }
}

/// The output without secrets. What a failure says was redacted before it was escaped and cut.
fn redacted(ending: Ending, redactor: &Redactor) -> Ending {
    match ending {
        Ending::Succeeded(Output { content_type, payload }) => Ending::Succeeded(Output {
            content_type: redactor.text(&content_type).into_owned(),
            payload: redactor.bytes(payload),
        }),
        failed @ Ending::Failed(_) => failed,
    }
}

/// Passes on what the guest left half said; gives the bytes it logged and the end of its standard error.
fn close(store: &mut Store<State>) -> (u64, String) {
    let state = store.data_mut();
    let services = state.services.clone();
    state.progress.finish(&*services);
    let mut journal = state.journal.lock();
    journal.finish();
    (journal.written(), journal.stderr_tail())
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
