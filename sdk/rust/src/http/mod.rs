//! Requests over HTTP, to the hosts that the queue's grant `http` names.
//!
//! ```
//! use std::time::Duration;
//!
//! use saggar_plugin::http::{Failure, Request};
//! use saggar_plugin::{Error, handler};
//!
//! #[handler]
//! fn rate(currency: String) -> Result<String, Error> {
//!     let response = Request::get(format!("https://api.example.com/rates/{currency}"))
//!         .header("accept", "text/plain")
//!         .timeout(Duration::from_secs(5))
//!         .send()?;
//!     match response.status() {
//!         200 => Ok(response.text()?),
//!         404 => Err(Error::reject("there is no such currency").code("unknown-currency")),
//!         429 | 500.. => Err(response.ask_again()),
//!         status => Err(Error::reject(format!("the service answered {status}"))),
//!     }
//! }
//!
//! # use saggar_plugin::http::Response;
//! # use saggar_plugin::testing::Context;
//! // In a native test, the test answers.
//! let context = Context::new().answer(|request| {
//!     assert_eq!(request.url(), "https://api.example.com/rates/EUR");
//!     Ok(Response::new(200).body("1.07"))
//! });
//! assert_eq!(context.call(rate, "EUR").unwrap().payload, b"1.07");
//!
//! let denied = Context::new().call(rate, "EUR").unwrap_err();
//! assert_eq!(denied.reason, Failure::Denied.to_string());
//! ```
//!
//! A status is no failure: a 404 is a [`Response`] like any other. Redirects are not followed; a request to where one
//! leads is checked like every other. What the operator has not granted fails as [`Failure::Denied`], and the task's
//! log names the grant to ask for.
//!
//! The whole response is read into memory, 8 MiB of it at the most unless the request says otherwise.

mod failure;
mod request;
mod response;
#[cfg(any(target_arch = "wasm32", test))]
pub(crate) mod url;

pub use failure::Failure;
pub use request::Request;
pub use response::Response;
