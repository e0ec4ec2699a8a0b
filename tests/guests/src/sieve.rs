//! Computes, and calls nobody: counts the primes below the number it is given.

use saggar_plugin::{Error, handler};

#[handler]
fn sieve(end: String) -> Result<String, Error> {
    let end = end.trim().parse().map_err(|_| Error::reject("send a number"))?;
    Ok(saggar_bench_work::primes(end).to_string())
}
