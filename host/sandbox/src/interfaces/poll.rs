//! `wasi:io/poll`: wasmtime's own, with a charge for each pollable of a list, which may name the same one for ever.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll::{self, Host, HostPollable};

use crate::state::State;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    poll::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl Host for State {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.charges.call();
        self.charges.pollables(pollables.len());
        Host::poll(&mut self.table, pollables).await
    }
}

impl HostPollable for State {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.charges.call();
        HostPollable::ready(&mut self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.charges.call();
        HostPollable::block(&mut self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.charges.call();
        HostPollable::drop(&mut self.table, pollable)
    }
}
