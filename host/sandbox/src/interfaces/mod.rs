//! Saggar's own interfaces, each in a file of its own and of the same shape: what it may see of the state, the
//! functions of the WIT, and nothing else. `wit/` is the contract they serve.

mod blobs;
mod config;
mod context;
mod http;
mod kv;
mod logging;
mod lookup;
mod poll;
mod progress;
mod random;
mod tasks;

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::WasiView;

use crate::state::State;

pub(crate) use blobs::Bodies;
pub(crate) use http::Http;
pub(crate) use progress::Progress;

/// Generated from `wit/`: the traits of the interfaces and the types of the handler.
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "plugin",
        imports: {
            "saggar:task/context.checkpoint": async | trappable,
            "saggar:task/progress.save-checkpoint": async,
            "saggar:task/tasks": async,
        },
        exports: { default: async },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:keyvalue": super::kv::bindings::wasi::keyvalue,
            "wasi:blobstore": super::blobs::bindings::wasi::blobstore,
        },
    });
}

/// Adds all of them to a linker, as guests of the sandbox see them.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    add_to_linker(linker)?;
    kv::add_to_linker(linker)?;
    blobs::add_to_linker(linker)?;
    bindings::wasi::config::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    http::add_to_linker(linker)?;
    bindings::saggar::task::tasks::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    // In place of the standard ones: these charge for what they are asked to do.
    linker.allow_shadowing(true);
    lookup::add_to_linker(linker)?;
    poll::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Adds what every plugin has: Saggar's own, and the standard ones that toolchains pull in as wasmtime has them.
pub(crate) fn add_to_linker<S>(linker: &mut Linker<S>) -> wasmtime::Result<()>
where
    S: WasiView
        + bindings::saggar::task::context::Host
        + bindings::saggar::task::progress::Host
        + bindings::wasi::logging::logging::Host,
{
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::saggar::task::context::add_to_linker::<_, HasSelf<S>>(linker, |state| state)?;
    bindings::saggar::task::progress::add_to_linker::<_, HasSelf<S>>(linker, |state| state)?;
    bindings::wasi::logging::logging::add_to_linker::<_, HasSelf<S>>(linker, |state| state)
}
