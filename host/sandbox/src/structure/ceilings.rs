//! The most a component may have of everything, and why not less or more.
//!
//! The largest honest components are language runtimes: CPython with its library is 13,000 functions in 14 modules.
//! Everything here is above what those need, and far below what the parser would let pass.

use std::fmt;

use super::flow::Flow;
use crate::component::Refused;
use crate::settings::TABLE_ELEMENTS;

/// Functions in all modules together: three times CPython.
pub(super) const FUNCTIONS: u64 = 50_000;

/// Parameters of one function, and results: twice what the component model passes flat. A compiler's work per call
/// grows with them, and a thousand calls of a thousand parameters take it a minute.
pub(super) const PARAMETERS: u64 = 32;
pub(super) const RESULTS: u64 = 32;

/// Bytes of one function's body: twice the longest of CPython. A compiler needs a second or two for as many.
pub(super) const BODY_BYTES: u64 = 1 << 20;

/// Locals of one function, its parameters included: generated parsers have some thousand.
pub(super) const LOCALS: u64 = 10_000;

/// Blocks within blocks. A `match` of so many arms is compiled to so many of them; CPython has 781.
pub(super) const NESTING: u64 = 4096;

/// Loops within loops: a person writes five, and an optimiser makes of them what nests ten or twenty deep.
pub(super) const LOOP_NESTING: u64 = 128;

/// Locals of a function times its branches: what a compiler keeps of them, more than once. At this many it takes five
/// seconds and 700 MiB; the largest functions of CPython and of image codecs have 200,000.
pub(super) const BRANCHED_LOCALS: u64 = 4_000_000;

/// Types of modules and components together, with everything declared in them. A component that imports all of
/// WASI has two thousand.
pub(super) const TYPES: u64 = 20_000;

/// Types within types: an interface is one in a world is two.
pub(super) const TYPE_DEPTH: u64 = 16;

/// Components within components: each time that components are composed adds one.
pub(super) const COMPONENT_DEPTH: u64 = 16;

/// Imports of modules and components together, and exports, and aliases: a CPython of shared libraries names each
/// of its symbols once in each.
pub(super) const IMPORTS: u64 = 100_000;
pub(super) const EXPORTS: u64 = 100_000;
pub(super) const ALIASES: u64 = 100_000;

/// Functions that cross the wall, once for each instance that has them. All of WASI is some hundreds.
pub(super) const CANONICALS: u64 = 10_000;

/// Instances, aliases, imports and exports of components, once for each instance of the component they are in: the
/// engine follows each of them. Without a ceiling, components that instantiate each other twice double it.
pub(super) const PARTS: u64 = 400_000;

/// Globals of all modules together: a stack pointer each, and one per symbol of shared libraries.
pub(super) const GLOBALS: u64 = 50_000;

/// Segments of data in all modules together. Go writes one for every stretch between zeros, tens of thousands.
pub(super) const DATA_SEGMENTS: u64 = 100_000;

/// Segments of tables, and their entries in all modules together: most functions once, some twice. They are written
/// when an instance is made, which no fuel pays for.
pub(super) const ELEMENT_SEGMENTS: u64 = 10_000;
pub(super) const ELEMENTS: u64 = 2 * FUNCTIONS;

/// What a component has too much of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// What there is too much of, in the plural.
    pub what: &'static str,
    /// How much of it was found; counting ends there.
    pub found: u64,
    /// The most there may be.
    pub most: u64,
    /// The module it was found in, counted from 0 in the order of the bytes.
    pub module: Option<u32>,
    /// The function it was found in, by its index in the module.
    pub function: Option<u32>,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, most, module, function } = self;
        write!(f, "{found} {what}")?;
        match (module, function) {
            (Some(module), Some(function)) => write!(f, " in function {function} of module {module}")?,
            (Some(module), None) => write!(f, " by module {module}")?,
            (None, _) => {}
        }
        write!(f, ", and at most {most} are allowed")
    }
}

/// What was counted so far, and where the reader is.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sums: [u64; SUMS],
    modules: u32,
    module: Option<u32>,
    function: Option<u32>,
}

/// What is summed over the whole component.
#[derive(Debug, Clone, Copy)]
enum Sum {
    Functions,
    Types,
    Imports,
    Exports,
    Aliases,
    Globals,
    DataSegments,
    ElementSegments,
    Elements,
}

const SUMS: usize = Sum::Elements as usize + 1;

impl Tally {
    pub(super) fn open_module(&mut self) {
        self.module = Some(self.modules);
        self.modules += 1;
    }

    pub(super) fn close_module(&mut self) {
        self.module = None;
    }

    pub(super) fn open_function(&mut self, index: u32) {
        self.function = Some(index);
    }

    pub(super) fn close_function(&mut self) {
        self.function = None;
    }

    pub(super) fn functions(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Functions, more, "functions", FUNCTIONS)
    }

    pub(super) fn types(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Types, more, "types", TYPES)
    }

    pub(super) fn imports(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Imports, more, "imports", IMPORTS)
    }

    pub(super) fn exports(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Exports, more, "exports", EXPORTS)
    }

    pub(super) fn aliases(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Aliases, more, "aliases", ALIASES)
    }

    pub(super) fn globals(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Globals, more, "globals", GLOBALS)
    }

    pub(super) fn data_segments(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::DataSegments, more, "data segments", DATA_SEGMENTS)
    }

    pub(super) fn element_segments(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::ElementSegments, more, "element segments", ELEMENT_SEGMENTS)
    }

    pub(super) fn elements(&mut self, more: u32) -> Result<(), Refused> {
        self.add(Sum::Elements, more, "elements of tables", ELEMENTS)
    }

    pub(super) fn signature(&self, parameters: usize, results: usize) -> Result<(), Refused> {
        self.within(parameters as u64, "parameters of one function", PARAMETERS)?;
        self.within(results as u64, "results of one function", RESULTS)
    }

    pub(super) fn type_depth(&self, depth: usize) -> Result<(), Refused> {
        self.within(depth as u64, "types within types", TYPE_DEPTH)
    }

    pub(super) fn component_depth(&self, depth: usize) -> Result<(), Refused> {
        self.within(depth as u64, "components within components", COMPONENT_DEPTH)
    }

    pub(super) fn table(&self, elements: u64) -> Result<(), Refused> {
        self.within(elements, "elements of one table", TABLE_ELEMENTS as u64)
    }

    pub(super) fn memory(&self, pages: u64, most: u64) -> Result<(), Refused> {
        self.within(pages, "pages of memory from the start", most)
    }

    pub(super) fn body(&self, bytes: usize) -> Result<(), Refused> {
        self.within(bytes as u64, "bytes of code", BODY_BYTES)
    }

    pub(super) fn locals(&self, locals: u32) -> Result<(), Refused> {
        self.within(u64::from(locals), "locals", LOCALS)
    }

    pub(super) fn flow(&self, flow: &Flow, locals: u32) -> Result<(), Refused> {
        self.within(flow.depth(), "blocks within blocks", NESTING)?;
        self.within(flow.loops(), "loops within loops", LOOP_NESTING)?;
        self.within(flow.branches() * u64::from(locals), "locals times branches", BRANCHED_LOCALS)
    }

    /// One of the sums that only a whole component has.
    pub(super) fn within(&self, found: u64, what: &'static str, most: u64) -> Result<(), Refused> {
        if found <= most {
            return Ok(());
        }
        let Self { module, function, .. } = *self;
        Err(Refused::TooMuch(Excess { what, found, most, module, function }))
    }

    fn add(&mut self, sum: Sum, more: u32, what: &'static str, most: u64) -> Result<(), Refused> {
        let total = &mut self.sums[sum as usize];
        *total += u64::from(more);
        let found = *total;
        self.within(found, what, most)
    }
}
