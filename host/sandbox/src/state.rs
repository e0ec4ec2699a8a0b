//! What belongs to one attempt on the host's side of the wall. It dies with the store.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use saggar_model::{Capability, Incarnation, Offspring, Task, escape_and_cut};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::Request;
use crate::charge::Charges;
use crate::clock::{MonotonicClock, Tick, WallClock};
use crate::granted::Granted;
use crate::interfaces::{Bodies, Http, Progress};
use crate::journal::{SharedJournal, Stream};
use crate::memory::MemoryAccount;
use crate::services::{LogLevel, Services};
use crate::stdio::{Collector, Input, JournalStream};
use crate::world::World;

/// The data of a store.
pub(crate) struct State {
    /// Dropped before the table, whose bodies end with it.
    pub(crate) http: Option<Box<Http>>,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryAccount,
    pub(crate) journal: SharedJournal,
    pub(crate) services: Arc<dyn Services>,
    pub(crate) progress: Progress,
    /// The checkpoint that the attempt was given, once it has asked.
    pub(crate) resumes_from: OnceLock<Option<Bytes>>,
    pub(crate) task: Arc<Task>,
    pub(crate) attempt: u32,
    pub(crate) incarnation: Incarnation,
    /// The tasks that it has submitted. Most submit none.
    pub(crate) offspring: Option<Box<Offspring>>,
    pub(crate) deadline: Instant,
    pub(crate) charges: Charges,
    pub(crate) granted: Arc<Granted>,
    /// What one call may hand over.
    pub(crate) call_bytes_max: usize,
    pub(crate) bodies: Bodies,
    /// Some code of the guest's was run, if only a start function.
    pub(crate) guest_ran: bool,
    /// What a program writes to standard output, where that is the result.
    pub(crate) output: Option<Collector>,
}

impl State {
    pub(crate) fn new(
        request: Request,
        world: World,
        services: Arc<dyn Services>,
        start: Instant,
        deadline: Instant,
    ) -> Self {
        let granted = request.granted;
        let journal = SharedJournal::new(request.limits.log, services.clone(), granted.redactor.clone());
        let tick = if granted.grants.clock { Tick::Nanosecond } else { Tick::Millisecond };
        let stream = |stream| JournalStream { journal: journal.clone(), stream };
        // No argument, no directory, no socket: a builder starts with nothing. What the operator configured is all that
        // is added, so that programs that know of nothing but their environment can be configured, too.
        let mut wasi = WasiCtx::builder();
        for (key, setting) in granted.settings() {
            if let Some(value) = setting.text() {
                wasi.env(key, value);
            }
        }
        let output = match world {
            World::Plugin | World::Http => {
                wasi.stdout(stream(Stream::Stdout));
                None
            }
            World::Command => {
                let output = Collector::new(request.limits.output, journal.clone());
                wasi.stdin(Input::new(request.task.payload.clone(), journal.clone())).stdout(output.clone());
                Some(output)
            }
        };
        let wasi = wasi
            .stderr(stream(Stream::Stderr))
            .wall_clock(WallClock(tick))
            .monotonic_clock(MonotonicClock { start, tick })
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .allow_blocking_current_thread(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(request.limits.resources).unwrap_or(usize::MAX));
        Self {
            http: None,
            wasi,
            table,
            memory: MemoryAccount::new(request.limits.memory),
            journal,
            services,
            progress: Progress::default(),
            resumes_from: OnceLock::new(),
            task: request.task,
            attempt: request.attempt,
            incarnation: request.incarnation,
            offspring: None,
            deadline,
            charges: Charges::new(request.limits.fuel),
            granted,
            call_bytes_max: usize::try_from(request.limits.host_call_bytes()).unwrap_or(usize::MAX),
            bodies: Bodies::default(),
            guest_ran: false,
            output,
        }
    }
}

/// What a denial was about is shown to this length.
pub(crate) const TARGET_MAX_BYTES: usize = 256;

impl State {
    /// Notes that the guest tried what was not granted, for the operator and for the reader of the task's log; gives
    /// what the guest is told.
    pub(crate) fn deny(&mut self, capability: Capability, target: &str) -> String {
        let denial = capability.denial();
        let target = self.granted.redactor.text(target);
        self.services.denied(capability, &target[..target.floor_char_boundary(TARGET_MAX_BYTES)]);
        let about = escape_and_cut(&target, TARGET_MAX_BYTES);
        let line = if about.is_empty() { denial.clone() } else { format!("{about}: {denial}") };
        self.journal.lock().log(LogLevel::Warn, "saggar", &line);
        denial
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every call into a standard interface passes here.
        self.charges.call();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
