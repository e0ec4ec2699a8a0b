//! One attempt: a fresh store, a fresh instance, one call, and then nothing is left.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_model::{Ending, Failure, Limits, Outcome, Output, panic_message};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};

use crate::charge::Border;
use crate::component::{Entry, Plugin};
use crate::computing::measured;
use crate::crash::{Crash, Phase};
use crate::redact::Redactor;
use crate::request::{Attempt, Request, StopReason, Usage};
use crate::services::Services;
use crate::settings::YIELD_INTERVAL;
use crate::state::State;
use crate::verdict::{Call, Observed, verdict};

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
    let mut store = Store::new(engine, State::new(request, plugin.world(), services, start, deadline));
    let mut computed = Duration::ZERO;
    let call = match arm(&mut store, &limits) {
        Ok(()) => tokio::select! {
            biased;
            call = measured(&mut computed, call(&mut store, plugin, &payload, &limits)) => call,
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
        cpu: computed,
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

async fn call(store: &mut Store<State>, plugin: &Plugin, payload: &Bytes, limits: &Limits) -> Call {
    match &plugin.entry {
        Entry::Plugin(entry) => entry.call(store, payload).await,
        // Apart, so that an attempt of Saggar's own world takes no more memory for them while it waits.
        Entry::Http(entry) => Box::pin(entry.call(store, limits.output)).await,
        Entry::Command(entry) => Box::pin(entry.call(store)).await,
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

/// Makes the instance that an attempt is run in, whatever world it is for.
pub(crate) async fn instantiate(
    store: &mut Store<State>,
    pre: &InstancePre<State>,
) -> Result<Instance, Call> {
    pre.instantiate_async(&mut *store).await.map_err(|error| {
        // A start function can do all that a handler can.
        let phase = if store.data().guest_ran { Phase::Running } else { Phase::Allocating };
        Call::Crashed(Crash::read(&error, phase))
    })
}

/// How a call ended whose function is not of the world's shape, which shows only now.
pub(crate) fn misshapen(error: &wasmtime::Error) -> Call {
    Call::Misshapen(error.root_cause().to_string())
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
