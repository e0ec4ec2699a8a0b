//! `wasi:random`: as much as the guest pays for, and never much at once.
//!
//! Both interfaces give secure bytes: there is nothing to gain from worse ones.

use rand::{Rng, RngCore};
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::random::{insecure, random};

use crate::settings::RANDOM_MAX_BYTES;
use crate::state::State;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    insecure::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// A request was for more than is given at once.
#[derive(Debug, thiserror::Error)]
#[error("{0} random bytes at once are too many; there are at most {RANDOM_MAX_BYTES}")]
struct TooMany(u64);

impl State {
    fn random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.charges.call();
        let fitting = usize::try_from(length).ok().filter(|_| length <= RANDOM_MAX_BYTES);
        let Some(fitting) = fitting else { return Err(TooMany(length).into()) };
        self.charges.bytes(fitting);
        let mut bytes = vec![0; fitting];
        rand::rng().fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn random_number(&mut self) -> u64 {
        self.charges.call();
        rand::rng().random()
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_number())
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_number())
    }
}
