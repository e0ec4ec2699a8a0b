//! Stands between the NATS client and its server, in the client's own process, so that the client hears only what it
//! can read.
//!
//! nats-server stores and delivers whatever bytes a publisher sends as headers; the client library ends its connection
//! over some of them and panics over others. Here they are put right on their way: everything goes through byte for
//! byte, but for messages that the library could not read.

mod connect;
mod control_line;
mod filter;
mod flaw;
mod header_block;
mod info;
mod pump;
mod relay;
mod roster;
mod server;
mod session;
mod tls;

pub use header_block::MALFORMED;
pub use relay::{Relay, Settings};
pub use server::AddressError;
pub use tls::TlsFiles;
