//! A component on its way to run: refused, compiled, or loaded and linked.

use wasmtime::component::InstancePre;

use saggar_model::{Digest, format_bytes};

use crate::inspect::shown;
use crate::state::State;
use crate::structure::Excess;
use crate::world::{World, command, handler, http};

/// Why a component cannot be run. Always the component's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are something else.
    #[error(
        "this is not WebAssembly; build the plugin for a component target, in Rust `--target wasm32-wasip2`"
    )]
    NotWasm,
    /// A module without a component around it.
    #[error(
        "this is a core WebAssembly module, not a component; build it for `wasm32-wasip2` or componentise it"
    )]
    CoreModule,
    /// A module that no adapter makes a component of.
    #[error("this is a core WebAssembly module, and no component can be made of it: {0}")]
    NotAdaptable(String),
    /// A module that nobody can start.
    #[error(
        "this is a core WebAssembly module without `_start`, a library that no task can enter; build it as a program, or \
         as a component"
    )]
    NoStart,
    /// Larger than anything that is compiled.
    #[error("the component is {} and may be at most {}", format_bytes(*size as u64), format_bytes(*most as u64))]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The most there may be.
        most: usize,
    },
    /// The component model's own rules are broken.
    #[error("the component is broken: {0}")]
    Broken(String),
    /// Its structure alone would cost the host too much.
    #[error("the component is too expensive: it has {0}")]
    TooMuch(Excess),
    /// To compile it takes more than one component may take.
    #[error("to compile the component takes {0}; a plugin may not be that expensive")]
    TooExpensive(String),
    /// The compiler broke down over it.
    #[error("the compiler broke down over the component: {0}")]
    CompilerFailed(String),
    /// It was compiled before, and refused.
    #[error("{0}")]
    Known(String),
    /// It is for another world.
    #[error("the component exports {}, and a plugin exports {}", listed(exports), World::wanted())]
    NotAPlugin {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It wants something that no host has.
    #[error("the component cannot be linked: {0}")]
    Unlinkable(String),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A compiled component: machine code that only this build with these settings may load.
///
/// A value of this type was compiled by this process or its child, or read from its authenticated cache; there is no
/// other way to make one, because loading runs what it is given.
pub struct Compiled {
    pub(crate) digest: Digest,
    pub(crate) code: Vec<u8>,
}

impl Compiled {
    /// Digest of the component it was compiled from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// A component that is loaded and linked, ready to be instantiated once per attempt. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) entry: Entry,
}

/// How an attempt enters a component, by its world; what is exported was looked up once.
#[derive(Clone)]
pub(crate) enum Entry {
    Plugin(handler::Entry),
    Http(http::Entry),
    Command(command::Entry),
}

impl Plugin {
    pub(crate) fn new(digest: Digest, pre: InstancePre<State>) -> Result<Self, Refused> {
        let component = pre.component();
        let ty = component.component_type();
        let exports: Vec<_> = ty.exports(component.engine()).map(|(name, _)| name).collect();
        let entry = match World::of_exports(exports.iter().copied()) {
            Some(World::Plugin) => handler::Entry::new(pre).map(Entry::Plugin),
            Some(World::Http) => http::Entry::new(pre).map(Entry::Http),
            Some(World::Command) => command::Entry::new(pre).map(Entry::Command),
            None => {
                return Err(Refused::NotAPlugin { exports: exports.into_iter().map(shown).collect() });
            }
        };
        let entry = entry.map_err(|error| Refused::Unlinkable(format!("{error:#}")))?;
        Ok(Self { digest, entry })
    }

    /// The world that the component is for.
    #[must_use]
    pub fn world(&self) -> World {
        match self.entry {
            Entry::Plugin(_) => World::Plugin,
            Entry::Http(_) => World::Http,
            Entry::Command(_) => World::Command,
        }
    }

    /// Digest of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
