//! What a call into the host costs, and that a guest which only calls gives way to others all the same.
//!
//! The guest's own instructions are counted by the engine, and at those it stops now and then to let others run. A
//! call into the host is a few instructions to it, whatever the host does meanwhile. So each call is charged, for
//! itself and for the bytes that the host handles for it; and when a guest has spent as much fuel as between two
//! yields, the host yields for it at the end of a call. A charge restarts the engine's own count to the next yield, which is why that
//! one is not enough.
//!
//! The charge follows the call: what the guest cannot pay for has happened as a whole, and is the last thing it did.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::{CallHook, CallHookHandler, StoreContextMut, Trap};

use crate::computing::give_way;
use crate::settings::YIELD_INTERVAL;
use crate::state::State;

/// Fuel for a call: about what going over the wall and back takes.
const CALL: u64 = 200;

/// Fuel for a byte that the host copies, checks or makes for the guest. To make a random one takes about as long as a
/// few instructions; most others cost less.
const BYTE: u64 = 1;

/// Fuel for one of the pollables that a guest waits for at once: each is looked up, sorted and asked.
const POLLABLE: u64 = 100;

/// Fuel for a request to one of the tenant's stores: what host and server do for it takes as long as so many of a
/// guest's own instructions.
const STORE_REQUEST: u64 = 20_000;

/// Fuel for a request to another machine: about what it takes to look up a name, connect and encrypt.
const HTTP_REQUEST: u64 = 500_000;

/// The charges of one attempt.
#[derive(Debug)]
pub(crate) struct Charges {
    /// The guest has called a function of the host's that is not paid for yet. The engine goes through the host for
    /// work of its own, too, which is counted elsewhere.
    called: bool,
    /// What the call cost on top of itself.
    extra: u64,
    /// Calls so far.
    count: u64,
    /// Fuel that was left when the guest last gave way at the end of a call.
    left_at_yield: u64,
}

impl Charges {
    pub(crate) fn new(fuel: u64) -> Self {
        Self { called: false, extra: 0, count: 0, left_at_yield: fuel }
    }

    /// The guest calls a function of the host's.
    pub(crate) fn call(&mut self) {
        self.called = true;
    }

    /// The host handles so many bytes for the call.
    pub(crate) fn bytes(&mut self, bytes: usize) {
        self.add(bytes as u64, BYTE);
    }

    /// The host handles so many pollables for the call.
    pub(crate) fn pollables(&mut self, pollables: usize) {
        self.add(pollables as u64, POLLABLE);
    }

    /// The host sends so many requests to a store for the call.
    pub(crate) fn requests(&mut self, requests: usize) {
        self.add(requests as u64, STORE_REQUEST);
    }

    /// The host handles so many bytes for the call, which can be more than memory holds.
    pub(crate) fn many_bytes(&mut self, bytes: u64) {
        self.add(bytes, BYTE);
    }

    /// Whether the guest could still have the fuel for so many bytes. It has less than is known here.
    pub(crate) fn may_afford(&self, bytes: u64) -> bool {
        bytes.saturating_mul(BYTE) <= self.left_at_yield
    }

    /// The host sends a request for the call.
    pub(crate) fn request(&mut self) {
        self.add(1, HTTP_REQUEST);
    }

    /// Calls that were paid for, the last one perhaps not.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn add(&mut self, number: u64, fuel: u64) {
        self.extra = self.extra.saturating_add(number.saturating_mul(fuel));
    }

    fn take(&mut self) -> Option<u64> {
        if !std::mem::take(&mut self.called) {
            return None;
        }
        self.count = self.count.saturating_add(1);
        Some(std::mem::take(&mut self.extra).saturating_add(CALL))
    }
}

/// Charges at the border between guest and host.
#[derive(Debug)]
pub(crate) struct Border;

type Crossed<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'a>>;

impl CallHookHandler<State> for Border {
    // Written without the macro that would allocate a future for every event: nearly all are over at once.
    fn handle_call_event<'a, 'b, 'c>(
        &'a self,
        mut store: StoreContextMut<'b, State>,
        event: CallHook,
    ) -> Crossed<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        match event {
            CallHook::ReturningFromHost => match charge(&mut store) {
                Ok(Turn::GoesOn) => Box::pin(Over),
                Ok(Turn::Ends) => Box::pin(async {
                    give_way().await;
                    Ok(())
                }),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            },
            CallHook::CallingWasm => {
                store.data_mut().guest_ran = true;
                Box::pin(Over)
            }
            CallHook::CallingHost | CallHook::ReturningFromWasm => Box::pin(Over),
        }
    }
}

/// Whether a guest may go on.
enum Turn {
    GoesOn,
    Ends,
}

/// Takes what a call cost from the guest's fuel.
fn charge(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Turn> {
    let state = store.data_mut();
    // The streams that write to the journal know nothing of the guest's state.
    let written = state.journal.lock().take_unpaid();
    let moved = state.http.as_ref().map_or(0, |http| http.take_unpaid());
    state.charges.bytes(written + moved);
    let Some(cost) = state.charges.take() else { return Ok(Turn::GoesOn) };
    let Some(left) = store.get_fuel()?.checked_sub(cost) else {
        store.set_fuel(0)?;
        return Err(Trap::OutOfFuel.into());
    };
    store.set_fuel(left)?;
    let charges = &mut store.data_mut().charges;
    if charges.left_at_yield.saturating_sub(left) < YIELD_INTERVAL {
        return Ok(Turn::GoesOn);
    }
    charges.left_at_yield = left;
    Ok(Turn::Ends)
}

/// A future that is over, and takes no memory.
struct Over;

impl Future for Over {
    type Output = wasmtime::Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}
