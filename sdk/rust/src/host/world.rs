//! The world `saggar:task/plugin`, bound for a guest: the imports in our words, and the export that `#[handler]` makes.

mod blobs;
mod kv;
mod tasks;

use std::time::Duration;

pub(crate) use blobs::{Container, Reader, Writer};
pub(crate) use kv::Bucket;
pub(crate) use tasks::{ended, fetch_result, submit};

use bindings::exports::saggar::task::handler;
use bindings::saggar::task::{context, progress};
use bindings::wasi::config::store;
use bindings::wasi::logging::logging;

use crate::config::ConfigError;
use crate::logging::Level;
use crate::progress::CheckpointError;
use crate::{Error, Kind, Output};

/// Written by `wit-bindgen` from the files in `wit/`.
#[expect(missing_docs, reason = "the documentation is that of the WIT files")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "saggar:task/plugin",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "saggar_plugin::expansion::bindings",
    });
}

/// Exports a `fn(Vec<u8>) -> Result<Output, Error>` as the world's handler.
#[doc(hidden)]
#[macro_export]
macro_rules! export_handler {
    ($handle:ident) => {
        struct SaggarExport;

        impl $crate::expansion::bindings::exports::saggar::task::handler::Guest for SaggarExport {
            fn handle(
                payload: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<
                $crate::expansion::bindings::exports::saggar::task::handler::Output,
                $crate::expansion::bindings::exports::saggar::task::handler::Error,
            > {
                $crate::expansion::for_the_host($handle(payload))
            }
        }

        $crate::expansion::bindings::export_world!(SaggarExport);
    };
}

/// What the handler returned, in the words of the world.
pub fn for_the_host(returned: Result<Output, Error>) -> Result<handler::Output, handler::Error> {
    match returned {
        Ok(Output { content_type, payload }) => Ok(handler::Output { content_type, payload }),
        Err(Error { kind, reason, after, code }) => Err(handler::Error {
            kind: match kind {
                Kind::Reject => handler::Kind::Reject,
                Kind::Retry => handler::Kind::Retry,
            },
            reason,
            after_ms: after.map(whole_milliseconds),
            code,
        }),
    }
}

/// Rounded up, so that the next attempt never comes before the wait is over.
fn whole_milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

pub(crate) fn task_id() -> String {
    context::task_id()
}

pub(crate) fn tenant() -> String {
    context::tenant()
}

pub(crate) fn queue() -> String {
    context::queue()
}

pub(crate) fn attempt() -> u32 {
    context::attempt()
}

pub(crate) fn content_type() -> Option<String> {
    context::content_type()
}

pub(crate) fn header(name: &str) -> Option<String> {
    context::header(name)
}

pub(crate) fn headers() -> Vec<(String, String)> {
    context::headers()
}

pub(crate) fn deadline() -> Duration {
    Duration::from_millis(context::deadline_ms())
}

pub(crate) fn checkpoint() -> Option<Vec<u8>> {
    context::checkpoint()
}

pub(crate) fn save_checkpoint(state: &[u8]) -> Result<(), CheckpointError> {
    progress::save_checkpoint(state).map_err(|error| match error {
        progress::CheckpointError::TooLarge(most) => CheckpointError::TooLarge(most),
        progress::CheckpointError::Full => CheckpointError::Full,
        progress::CheckpointError::Unavailable => CheckpointError::Unavailable,
    })
}

pub(crate) fn config(key: &str) -> Result<Option<String>, ConfigError> {
    store::get(key).map_err(config_error)
}

pub(crate) fn all_config() -> Result<Vec<(String, String)>, ConfigError> {
    store::get_all().map_err(config_error)
}

fn config_error(error: store::Error) -> ConfigError {
    match error {
        store::Error::Upstream(text) | store::Error::Io(text) => ConfigError(text),
    }
}

pub(crate) fn report(fraction: f64, message: &str) {
    progress::report(fraction, message);
}

pub(crate) fn cancelled() -> bool {
    progress::cancelled()
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
        Level::Critical => logging::Level::Critical,
    };
    logging::log(level, context, message);
}
