//! Sends the HTTP requests that guests are granted: the only crate that opens connections on their behalf.
//!
//! A request is read, compared with the grants, its host looked up by this crate itself, and every address checked;
//! then one of those very addresses is connected to, and its certificate verified for the name. No redirect is
//! followed and no variable about proxies is read. Sizes, times and the number of requests are bounded, and a connection
//! is used again only for the same tenant and grant. Nothing here knows of WebAssembly or NATS.
//!
//! [`Egress`] is a host's, [`Outbound`] an attempt's.

mod bounds;
mod connection;
mod egress;
mod outbound;
mod pool;
mod request;
mod request_body;
mod resolver;
mod response_body;
mod target;
mod tls;

pub use bounds::Bounds;
pub use egress::{Egress, EgressOptions};
pub use outbound::Outbound;
pub use tls::Roots;

/// A body on its way, in either direction.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, saggar_model::HttpFailure>;
