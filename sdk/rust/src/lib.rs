//! Write a Saggar plugin: one attribute on one function.
//!
//! ```
//! use saggar_plugin::{Error, Json, handler, log};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Order { item: String, pieces: u32 }
//!
//! #[derive(Serialize)]
//! struct Invoice { text: String }
//!
//! #[handler]
//! fn bill(Json(order): Json<Order>) -> Result<Json<Invoice>, Error> {
//!     if order.pieces == 0 {
//!         return Err(Error::reject("an order needs at least one piece").code("empty-order"));
//!     }
//!     log::info!("billing {} × {}", order.pieces, order.item);
//!     Ok(Json(Invoice { text: format!("{} × {}", order.pieces, order.item) }))
//! }
//!
//! # use saggar_plugin::testing::Context;
//! // The function stays an ordinary one; `testing` runs it natively the way a host would.
//! let output = Context::new().call(bill, r#"{"item":"kiln","pieces":2}"#).unwrap();
//! assert_eq!(output.payload, r#"{"text":"2 × kiln"}"#.as_bytes());
//! ```
//!
//! # The function
//!
//! It takes nothing or one value that can be read from the task's payload ([`FromInput`]): `Vec<u8>`, `String`,
//! [`Json<T>`](Json), or an `Option` of these for payloads that may be empty. It returns what can be written as the
//! task's result ([`IntoOutput`]): [`Json<T>`](Json), `String`, `Vec<u8>`, [`Output`] or `()`, alone or in a
//! `Result` whose error becomes an [`Error`].
//!
//! # Failures
//!
//! | in the function | the attempt ends as | and then |
//! |---|---|---|
//! | `Err(Error::reject(…))` | `rejected` | dead letter |
//! | `Err(Error::retry(…))`, or `?` on any error of the standard kind | `retried` | another attempt, by the queue's policy |
//! | a payload that the argument's type cannot be read from | `rejected`, code `bad-input` | dead letter |
//! | a panic | `trapped`, with the panic's message and a backtrace | another attempt, by the queue's policy |
//!
//! A panic needs nothing from the plugin: Rust writes its message to standard error, which the host keeps.
//!
//! # The crate
//!
//! One handler per crate, which is a `cdylib`, built with `cargo build --release --target wasm32-wasip2`. In a native
//! build, as for `cargo test`, nothing is exported. Tasks are delivered at least once: a handler must bear being run
//! twice with one input.
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `http` | yes | requests over HTTP, in the module of that name |
//! | `json` | yes | [`Json`] |
//! | `log` | yes | messages of the `log` crate reach the task's log |
//! | `tracing` | no | events of the `tracing` crate reach the task's log |

#![warn(missing_docs)]

mod handler;

mod input;
mod output;

#[cfg(feature = "json")]
mod json;

mod error;
mod reason;
mod store_error;

pub mod blobs;
pub mod config;
pub mod context;
#[cfg(feature = "http")]
pub mod http;
pub mod kv;
pub mod logging;
pub mod progress;
pub mod tasks;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

mod host;

pub use error::{Error, Kind};
pub use handler::Handler;
pub use input::FromInput;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "log")]
pub use log;
pub use output::{IntoOutput, Output};
pub use reason::OrFail;
/// Makes a function the plugin's handler.
///
/// The function takes nothing or one value that implements [`FromInput`], and returns a value that implements
/// [`IntoOutput`]. It stays an ordinary function, which tests can call.
///
/// ```
/// use saggar_plugin::handler;
///
/// #[handler]
/// fn shout(text: String) -> String {
///     text.to_uppercase()
/// }
///
/// assert_eq!(shout("kiln".to_owned()), "KILN");
/// ```
///
/// It may not be `async`, `unsafe` or generic, take `self`, a reference or a second argument; each of these is an
/// error at compile time that says what to do instead. A second handler in a crate is one, too:
///
/// ```compile_fail
/// # use saggar_plugin::handler;
/// #[handler]
/// async fn shout(text: String) -> String {
///     text.to_uppercase()
/// }
/// ```
pub use saggar_plugin_macros::handler;
pub use store_error::{StoreError, StoreErrorKind};
#[cfg(feature = "tracing")]
pub use tracing;

/// What the expansion of [`handler`](macro@handler) refers to. No part of the public interface.
#[doc(hidden)]
pub mod expansion {
    pub use crate::handler::{run_with_argument, run_without_argument};
    #[cfg(target_arch = "wasm32")]
    pub use crate::host::{bindings, for_the_host};
}

/// Compiles the README's plugin.
#[cfg(all(doctest, feature = "json", feature = "log"))]
#[doc = include_str!("../README.md")]
mod readme {}
