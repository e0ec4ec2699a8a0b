//! Panics with what it was given.

use saggar_plugin::handler;

#[handler]
fn panics(message: String) {
    fire(&message);
}

#[inline(never)]
fn fire(message: &str) {
    panic!("the glaze cracked: {message}");
}
