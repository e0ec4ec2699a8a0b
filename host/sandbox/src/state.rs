//! What belongs to one attempt on the host's side of the wall. It dies with the store.

use std::sync::Arc;
use std::time::Instant;

use saggar_model::Task;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::Request;
use crate::charge::Charges;
use crate::clock::{CoarseMonotonicClock, CoarseWallClock};
use crate::interfaces::Progress;
use crate::journal::{SharedJournal, Stream};
use crate::memory::MemoryAccount;
use crate::services::Services;
use crate::stdio::JournalStream;

/// The data of a store.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryAccount,
    pub(crate) journal: SharedJournal,
    pub(crate) services: Arc<dyn Services>,
    pub(crate) progress: Progress,
    pub(crate) task: Arc<Task>,
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
    pub(crate) charges: Charges,
    /// Some code of the guest's was run, if only a start function.
    pub(crate) guest_ran: bool,
}

impl State {
    pub(crate) fn new(
        request: Request,
        services: Arc<dyn Services>,
        start: Instant,
        deadline: Instant,
    ) -> Self {
        let journal = SharedJournal::new(request.limits.log, services.clone());
        let stream = |stream| JournalStream { journal: journal.clone(), stream };
        // No argument, no variable, no directory, no socket: a builder starts with nothing, and nothing is added.
        let wasi = WasiCtx::builder()
            .stdout(stream(Stream::Stdout))
            .stderr(stream(Stream::Stderr))
            .wall_clock(CoarseWallClock)
            .monotonic_clock(CoarseMonotonicClock { start })
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .allow_blocking_current_thread(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(request.limits.resources).unwrap_or(usize::MAX));
        Self {
            wasi,
            table,
            memory: MemoryAccount::new(request.limits.memory),
            journal,
            services,
            progress: Progress::default(),
            task: request.task,
            attempt: request.attempt,
            deadline,
            charges: Charges::new(request.limits.fuel),
            guest_ran: false,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every call into a standard interface passes here.
        self.charges.call();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
