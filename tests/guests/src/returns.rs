//! Returns as many bytes as the input says.

use saggar_plugin::handler;

#[handler]
fn returns(bytes: String) -> Vec<u8> {
    vec![b'x'; bytes.trim().parse().unwrap_or(0)]
}
