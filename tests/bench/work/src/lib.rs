//! What the benchmark computes: one source, compiled for the machine and for WebAssembly, so that the two differ in
//! nothing but what they are compiled for.
//!
//! The inputs are made here too, from nothing but numbers, so that every machine computes the same.

mod json;
mod picture;
mod sieve;

pub use json::{document, transform};
pub use picture::{picture, resize};
pub use sieve::primes;
