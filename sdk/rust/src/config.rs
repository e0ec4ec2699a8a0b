//! What the operator configured for the queue: values, and secrets under their names.
//!
//! ```
//! use saggar_plugin::{Error, config, handler};
//!
//! #[handler]
//! fn greet(name: String) -> Result<String, Error> {
//!     let greeting = config::get("greeting")?.unwrap_or_else(|| "Hello".to_owned());
//!     Ok(format!("{greeting}, {name}!"))
//! }
//!
//! # use saggar_plugin::testing::Context;
//! let context = Context::new().config("greeting", "Servus");
//! assert_eq!(context.run(|| greet("Ada".to_owned())).unwrap(), "Servus, Ada!");
//! ```
//!
//! A secret may be one that the plugin never sees: then its name reads as a placeholder, and the host puts the value in
//! its place in the headers of requests to the hosts that the operator named. The plugin is the same either way.

use std::fmt;

use crate::host;

/// The configuration cannot be read: nothing is granted, or a granted secret has no value on this host. The text says
/// which, and what to ask the operator for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(crate) String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The value under this key, or nothing if the queue has none.
///
/// # Errors
/// Neither `config` nor `secrets` is granted to the queue, or this host has no value for the secret.
pub fn get(key: &str) -> Result<Option<String>, ConfigError> {
    host::config(key)
}

/// All keys with their values, in the order of the keys.
///
/// # Errors
/// Neither `config` nor `secrets` is granted to the queue.
pub fn all() -> Result<Vec<(String, String)>, ConfigError> {
    host::all_config()
}
