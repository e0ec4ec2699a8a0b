//! Every knob of wasmtime that matters, set on purpose.
//!
//! A default that is not written down here is a default that an update may change. The reasons are beside the
//! numbers; what the kernel offers is looked up once, at start.

use std::num::NonZeroUsize;

use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Inlining, InstanceAllocationStrategy, ModuleVersionStrategy, OperatorCost, OptLevel,
    PoolingAllocationConfig, RegallocAlgorithm, Strategy, WasmBacktraceDetails,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// How large the pool is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Attempts at once.
    pub slots: u32,
    /// The largest linear memory of any guest, in bytes.
    pub max_memory: u64,
    /// How memory is cleared between two attempts.
    pub page_scan: PageScan,
}

impl Default for Options {
    fn default() -> Self {
        Self { slots: 64, max_memory: 4 << 30, page_scan: PageScan::Auto }
    }
}

/// Whether the kernel is asked which pages an attempt wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageScan {
    /// Where the kernel can say so, and can be believed.
    Auto,
    /// Never: what a machine with swap or an older kernel does.
    Never,
}

/// What a guest may be made of: what it is validated with and what it is compiled with. What is not needed is not
/// there to be attacked, so that threads, garbage collection, exceptions and 64-bit memories are left out.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES);

/// The guest gives way after so much fuel, 30 µs of work or more: less than a turn, so that its length is known, and
/// enough to cost a hundredth at most (at 10,000 the same work takes 2.6 times as long).
pub(crate) const YIELD_INTERVAL: u64 = 200_000;

/// Random bytes per call. More would let a guest make the host allocate at will.
pub(crate) const RANDOM_MAX_BYTES: u64 = 64 << 10;

/// Core instances in one component: Python needs 14 and more, an attack has a thousand.
pub(crate) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Memories of one component: one for the program, a few for adapters and for plugins made of several languages.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 8;

/// Tables of one component: each core instance may have one.
pub(crate) const TABLES_PER_COMPONENT: u32 = CORE_INSTANCES_PER_COMPONENT;

/// Entries of one table: the functions of the largest language runtimes number some ten thousand.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// Address space that the pool may reserve: half of what a process has.
const POOL_ADDRESS_SPACE: u64 = 64 << 40;

/// Address space for each memory: all that a 32-bit address can reach.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// Address space before and behind it that is never mapped: what an instruction's own offset adds to an address.
const MEMORY_GUARD: u64 = 32 << 20;

/// Initial contents up to this size are kept as one image even where they have holes.
const DENSE_IMAGE: u64 = 16 << 20;

/// Slots that stay prepared for a plugin although it has none running: what comes back soon starts sooner.
const UNUSED_WARM_SLOTS: u32 = 100;

/// Wasm stack of one guest; deeper recursion traps.
const WASM_STACK: usize = MIB;

/// Host stack below the wasm stack, on the same fiber.
const FIBER_STACK: usize = 2 * MIB;

/// Pages of a memory that stay mapped between two attempts, cleared by writing zeros. With the kernel's page scan
/// only pages that were written are cleared; without it all of them are, so that the number must not be large.
const KEEP_RESIDENT_WITH_SCAN: usize = MIB;
const KEEP_RESIDENT_WITHOUT_SCAN: usize = 2 * MIB;

/// The top of a fiber's stack that is cleared by writing zeros; what lies below is given back to the kernel. A small
/// guest and the host calls it makes stay within it; more would be more to clear after each of them.
const STACK_KEEP_RESIDENT: usize = 32 * KIB;

/// So many pieces of memory are given back to the kernel at once: one call for all of them, and none is used again
/// before it.
const DECOMMIT_BATCH: usize = 32;

/// On a machine with more threads than anybody knows not all of them give something back at once.
const ON_THEIR_WAY_BACK_MAX: u32 = 512;

/// Frames of a backtrace: the ones that tell where, not the whole recursion.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// Fuel per page that `memory.grow` asks for, granted or not: the host's work for a page is far more than one
/// instruction, and a storm of failing growths must not be free.
const FUEL_PER_PAGE: u8 = 255;

/// Fuel for `memory.grow` and `table.grow` themselves, by whatever they grow: each asks the host, which takes it as
/// long as a hundred instructions. Ten million growths by nothing took five seconds when they were one instruction.
const FUEL_PER_GROWTH: u8 = 100;

/// What a component was compiled with: the exact release of wasmtime and of this crate's settings. Code compiled
/// before a security patch must not be loaded after it, so a change of either makes all compiled code stale.
pub(crate) const COMPILED_BY: &str =
    concat!("wasmtime-48.0.8 saggar-", env!("CARGO_PKG_VERSION"), " settings-3");

/// The configuration of an engine that runs guests.
pub(crate) fn config(options: &Options) -> wasmtime::Result<Config> {
    let mut config = compiling()?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
    Ok(config)
}

/// The configuration of an engine that compiles for those, and needs no pool itself.
pub(crate) fn compiling() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // Winch has had escapes.
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    config.cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking);
    config.cranelift_debug_verifier(false);
    config.compiler_inlining(Inlining::No);
    config.parallel_compilation(true);
    config.module_version(ModuleVersionStrategy::Custom(COMPILED_BY.to_owned()))?;

    config.consume_fuel(true);
    let mut cost = OperatorCost::new();
    cost.MemoryGrow = FUEL_PER_GROWTH;
    cost.TableGrow = FUEL_PER_GROWTH;
    cost.variable.memory_grow_per_page = FUEL_PER_PAGE;
    config.operator_cost(cost);
    // Fuel yields already give the executor its turns; epochs on top of fuel cost another tenth of the speed.
    config.epoch_interruption(false);

    config.wasm_features(FEATURES, true);
    config.wasm_features(FEATURES.complement(), false);
    config.shared_memory(false);
    config.gc_support(false);
    config.concurrency_support(false);
    config.relaxed_simd_deterministic(true);
    // The bits of a number that is none may differ between processors; nothing here depends on them.
    config.cranelift_nan_canonicalization(false);

    // Backtraces name functions; whoever wants more than that debugs at home.
    config.debug_info(false);
    config.debug_symbols(false);
    config.generate_address_map(true);
    config.native_unwind_info(true);
    config.wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);

    config.max_wasm_stack(WASM_STACK);
    config.async_stack_size(FIBER_STACK);
    config.async_stack_zeroing(true);
    // A 32-bit address and its offset never lead out of what is reserved, so that the processor checks bounds.
    config.signals_based_traps(true);
    config.memory_reservation(MEMORY_RESERVATION);
    config.memory_reservation_for_growth(0);
    config.memory_guard_size(MEMORY_GUARD);
    config.guard_before_linear_memory(true);
    config.memory_may_move(false);
    config.memory_init_cow(true);
    config.memory_guaranteed_dense_image_size(DENSE_IMAGE);
    config.table_lazy_init(true);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Ok(config)
}

fn pool(options: &Options) -> PoolingAllocationConfig {
    let slots = options.slots;
    let max_memory = usize::try_from(options.max_memory).unwrap_or(usize::MAX).clamp(MIB, 4 * GIB);
    // As many of everything as all slots together can ask for: a guest that takes what it may must not leave another
    // without.
    let memories_per_slot = memories_per_slot(slots);

    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots);
    pool.total_core_instances(slots.saturating_mul(CORE_INSTANCES_PER_COMPONENT));
    let spare = on_their_way_back();
    let memories = slots.saturating_mul(memories_per_slot);
    // What others have had; address space is not without end.
    let of_others = memories.saturating_sub(memories_per_slot);
    pool.total_memories(memories.saturating_add(spare.min(of_others)));
    pool.total_tables(slots.saturating_mul(TABLES_PER_COMPONENT).saturating_add(spare));
    pool.total_stacks(slots.saturating_add(spare));
    pool.max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT);
    pool.max_memories_per_component(memories_per_slot);
    pool.max_tables_per_component(TABLES_PER_COMPONENT);
    pool.max_memories_per_module(1);
    pool.max_tables_per_module(4);
    pool.max_component_instance_size(MIB);
    pool.max_core_instance_size(MIB);
    pool.max_memory_size(max_memory);
    pool.table_elements(TABLE_ELEMENTS);
    let scan = match options.page_scan {
        PageScan::Auto => page_scan_is_safe(),
        PageScan::Never => false,
    };
    pool.pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool.linear_memory_keep_resident(if scan { KEEP_RESIDENT_WITH_SCAN } else { KEEP_RESIDENT_WITHOUT_SCAN });
    pool.table_keep_resident(64 * KIB);
    pool.async_stack_keep_resident(STACK_KEEP_RESIDENT);
    pool.decommit_batch_size(DECOMMIT_BATCH);
    pool.max_unused_warm_slots(UNUSED_WARM_SLOTS);
    pool
}

/// What ended guests had is given back to the kernel in batches, one on each thread at most, and can serve nobody until
/// that is done. So a host that is full all the time needs room for so many more of each.
fn on_their_way_back() -> u32 {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(DECOMMIT_BATCH.saturating_mul(threads)).unwrap_or(u32::MAX).min(ON_THEIR_WAY_BACK_MAX)
}

/// Memories of one component on a host with so many slots: with thousands of slots the address space has room for
/// fewer.
fn memories_per_slot(slots: u32) -> u32 {
    let room = POOL_ADDRESS_SPACE / (MEMORY_RESERVATION + MEMORY_GUARD) / u64::from(slots.max(1));
    u32::try_from(room).unwrap_or(u32::MAX).clamp(1, MEMORIES_PER_COMPONENT)
}

/// Whether the kernel can say which pages were written since the last attempt, and can be believed.
///
/// A written page that was swapped out is not reported, and the next guest would read it, so that any swap at all
/// rules the scan out.
fn page_scan_is_safe() -> bool {
    /// The first line is the heading, each further one a swap area.
    const LINES_WITHOUT_SWAP: usize = 1;
    PoolingAllocationConfig::is_pagemap_scan_available()
        && std::fs::read_to_string("/proc/swaps")
            .is_ok_and(|swaps| swaps.lines().count() <= LINES_WITHOUT_SWAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(options: &Options) -> wasmtime::Engine {
        wasmtime::Engine::new(&config(options).unwrap()).unwrap()
    }

    #[test]
    fn what_a_guest_may_be_made_of_reads_back() {
        let engine = engine(&Options::default());
        assert_eq!(engine.get_wasm_features(), FEATURES, "what is validated is what is compiled");
        let left_out = WasmFeatures::THREADS
            | WasmFeatures::SHARED_EVERYTHING_THREADS
            | WasmFeatures::MEMORY64
            | WasmFeatures::GC
            | WasmFeatures::GC_TYPES
            | WasmFeatures::FUNCTION_REFERENCES
            | WasmFeatures::EXCEPTIONS
            | WasmFeatures::LEGACY_EXCEPTIONS
            | WasmFeatures::STACK_SWITCHING
            | WasmFeatures::CUSTOM_PAGE_SIZES
            | WasmFeatures::CM_ASYNC;
        assert_eq!(FEATURES & left_out, WasmFeatures::empty());
        assert!(!engine.get_concurrency_support());
        assert!(!engine.get_shared_memory());
        assert_eq!(engine.get_collector(), None);
        assert!(engine.get_relaxed_simd_deterministic());
        assert_eq!(engine.get_cranelift_nan_canonicalization(), Some(false));
    }

    #[test]
    fn what_compiles_reads_back() {
        let engine = engine(&Options::default());
        assert_eq!(engine.get_strategy(), Some(Strategy::Cranelift));
        assert_eq!(engine.get_cranelift_opt_level(), Some(OptLevel::Speed));
        assert_eq!(engine.get_cranelift_regalloc_algorithm(), Some(RegallocAlgorithm::Backtracking));
        assert_eq!(engine.get_cranelift_debug_verifier(), Some(false));
        assert_eq!(engine.get_compiler_inlining(), Inlining::No);
        assert!(engine.get_parallel_compilation());
        assert_eq!(engine.get_native_unwind_info(), Some(true));
        assert!(engine.get_generate_address_map());
        assert!(!engine.get_debug_info() && !engine.get_debug_symbols() && !engine.get_guest_debug());
        assert_eq!(engine.get_wasm_backtrace_max_frames(), BACKTRACE_FRAMES.get());
    }

    #[test]
    fn what_keeps_guests_apart_reads_back() {
        let engine = engine(&Options::default());
        assert!(engine.get_consume_fuel());
        assert!(!engine.get_epoch_interruption());
        assert_eq!(engine.get_max_wasm_stack(), WASM_STACK);
        assert_eq!(engine.get_async_stack_size(), FIBER_STACK);
        assert!(engine.get_async_stack_zeroing());
        assert!(engine.get_signals_based_traps());
        assert_eq!(engine.get_memory_reservation(), MEMORY_RESERVATION);
        assert_eq!(engine.get_memory_reservation_for_growth(), 0);
        assert_eq!(engine.get_memory_guard_size(), MEMORY_GUARD);
        assert!(engine.get_guard_before_linear_memory());
        assert!(!engine.get_memory_may_move());
        assert!(engine.get_memory_init_cow());
        assert_eq!(engine.get_memory_guaranteed_dense_image_size(), DENSE_IMAGE);
        assert!(engine.get_table_lazy_init());
    }

    #[test]
    fn the_pool_reads_back_and_has_room_for_whatever_all_slots_may_take() {
        for (slots, memories) in [(1, 8), (256, 8), (10_000, 1)] {
            let options = Options { slots, ..Options::default() };
            let pool = pool(&options);
            let spare = on_their_way_back();
            assert_eq!(pool.get_total_component_instances(), slots);
            assert_eq!(pool.get_total_stacks(), slots + spare);
            assert_eq!(pool.get_max_core_instances_per_component(), CORE_INSTANCES_PER_COMPONENT);
            assert_eq!(pool.get_total_core_instances(), slots * CORE_INSTANCES_PER_COMPONENT);
            assert_eq!(pool.get_max_memories_per_component(), memories);
            assert_eq!(pool.get_total_memories(), slots * memories + spare.min((slots - 1) * memories));
            assert_eq!(pool.get_max_tables_per_component(), TABLES_PER_COMPONENT);
            assert_eq!(pool.get_total_tables(), slots * TABLES_PER_COMPONENT + spare);
            assert_eq!(pool.get_max_memories_per_module(), 1);
            assert_eq!(pool.get_max_tables_per_module(), 4);
            assert_eq!(pool.get_max_memory_size() as u64, options.max_memory);
            assert_eq!(pool.get_table_elements(), TABLE_ELEMENTS);
            assert_eq!(pool.get_max_component_instance_size(), MIB);
            assert_eq!(pool.get_max_core_instance_size(), MIB);
            assert_eq!(pool.get_table_keep_resident(), 64 * KIB);
            assert_eq!(pool.get_async_stack_keep_resident(), STACK_KEEP_RESIDENT);
            assert_eq!(pool.get_decommit_batch_size(), DECOMMIT_BATCH);
            assert_eq!(pool.get_max_unused_warm_slots(), UNUSED_WARM_SLOTS);
            assert_eq!(pool.get_memory_protection_keys(), Enabled::No);
        }
    }

    #[test]
    fn memory_is_cleared_with_the_page_scan_or_without() {
        let without = pool(&Options { page_scan: PageScan::Never, ..Options::default() });
        assert_eq!(without.get_pagemap_scan(), Enabled::No);
        assert_eq!(without.get_memory_keep_resident(), KEEP_RESIDENT_WITHOUT_SCAN);
        let auto = pool(&Options::default());
        let scans = page_scan_is_safe();
        assert_eq!(auto.get_pagemap_scan(), if scans { Enabled::Yes } else { Enabled::No });
    }

    #[test]
    fn what_the_compile_process_makes_is_what_a_host_loads() {
        let compiling = wasmtime::Engine::new(&compiling().unwrap()).unwrap();
        let running = engine(&Options::default());
        let hash = |engine: &wasmtime::Engine| {
            use std::hash::{DefaultHasher, Hash as _, Hasher as _};
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&compiling), hash(&running));
    }

    #[test]
    fn compiled_code_names_the_release_of_wasmtime_that_made_it() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        let after = lock.split_once("name = \"wasmtime\"\nversion = \"").expect("it is there").1;
        let version = after.split('"').next().unwrap();
        assert!(COMPILED_BY.starts_with(&format!("wasmtime-{version} ")), "{COMPILED_BY} and {version}");
    }
}
