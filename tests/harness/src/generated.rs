//! Core modules that nobody wrote.

use arbitrary::Unstructured;
use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use wasm_smith::{Config, Module};

/// A module whose instructions are chosen at random, most of the time one that is valid. Its exports and what it may
/// import are those of two modules in text.
///
/// # Panics
/// The text is not well-formed.
pub fn module(random: &mut StdRng, exports: &str, imports: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; random.random_range(256..4096)];
    random.fill_bytes(&mut bytes);
    let parse = |text| Some(wat::parse_str(text).expect("it is well-formed"));
    let mut seldom = || random.random_ratio(1, 50);
    let config = Config {
        exports: parse(exports),
        available_imports: parse(imports),
        max_imports: 6,
        max_memories: 1,
        max_tables: 3,
        max_funcs: 20,
        memory64_enabled: false,
        // Nothing that a plugin has may refer to objects of the host, and few of those that do are accepted.
        reference_types_enabled: seldom(),
        threads_enabled: seldom(),
        gc_enabled: seldom(),
        exceptions_enabled: seldom(),
        ..Config::default()
    };
    Some(Module::new(config, &mut Unstructured::new(&bytes)).ok()?.to_bytes())
}
