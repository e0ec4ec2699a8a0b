//! Stands in for the host in a native build: answers from the thread's current [`Context`], or from the default one.

mod stores;
mod tasks;

use std::cell::RefCell;
use std::time::Duration;

pub(crate) use stores::{Bucket, Container, Reader, Stores, Writer};
pub(crate) use tasks::{ended, fetch_result, submit};

use crate::config::ConfigError;
#[cfg(feature = "http")]
use crate::http::{Failure, Request, Response};
use crate::logging::Level;
use crate::progress::CheckpointError;
use crate::testing::{Context, Log, Report};

/// As much as a host keeps.
const CHECKPOINT_MAX_BYTES: usize = 1 << 20;

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// In a native build nothing is exported, so that the handler can be linked into a test. Its types are checked.
#[doc(hidden)]
#[macro_export]
macro_rules! export_handler {
    ($handle:ident) => {
        const _: fn(::std::vec::Vec<u8>) -> ::std::result::Result<$crate::Output, $crate::Error> = $handle;
    };
}

/// Calls `body` while `context` is the current one. The one before it returns afterwards, also from a panic.
pub(crate) fn within<R>(context: Context, body: impl FnOnce() -> R) -> R {
    struct Previous(Option<Context>);

    impl Drop for Previous {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }

    let _previous = Previous(CURRENT.replace(Some(context)));
    body()
}

fn ask<R>(question: impl FnOnce(&Context) -> R) -> R {
    CURRENT.with_borrow(|current| match current {
        Some(context) => question(context),
        None => question(&Context::new()),
    })
}

pub(crate) fn task_id() -> String {
    ask(|context| context.task_id.clone())
}

pub(crate) fn tenant() -> String {
    ask(|context| context.tenant.clone())
}

pub(crate) fn queue() -> String {
    ask(|context| context.queue.clone())
}

pub(crate) fn attempt() -> u32 {
    ask(|context| context.attempt)
}

pub(crate) fn content_type() -> Option<String> {
    header("Content-Type")
}

pub(crate) fn header(name: &str) -> Option<String> {
    ask(|context| {
        let found = context.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    })
}

pub(crate) fn headers() -> Vec<(String, String)> {
    ask(|context| context.headers.clone())
}

pub(crate) fn deadline() -> Duration {
    ask(|context| context.deadline)
}

pub(crate) fn checkpoint() -> Option<Vec<u8>> {
    ask(|context| context.checkpoint.clone())
}

pub(crate) fn save_checkpoint(state: &[u8]) -> Result<(), CheckpointError> {
    if state.len() > CHECKPOINT_MAX_BYTES {
        return Err(CheckpointError::TooLarge(CHECKPOINT_MAX_BYTES as u64));
    }
    ask(|context| context.checkpoints.borrow_mut().push(state.to_vec()));
    Ok(())
}

pub(crate) fn config(key: &str) -> Result<Option<String>, ConfigError> {
    let all = all_config()?;
    Ok(all.into_iter().find(|(known, _)| known == key).map(|(_, value)| value))
}

pub(crate) fn all_config() -> Result<Vec<(String, String)>, ConfigError> {
    let config = ask(|context| context.config.clone());
    if config.is_empty() {
        return Err(ConfigError("denied: the test's context has no `config`".to_owned()));
    }
    Ok(config.into_iter().collect())
}

pub(crate) fn report(fraction: f64, message: &str) {
    ask(|context| context.reports.borrow_mut().push(Report { fraction, message: message.to_owned() }));
}

pub(crate) fn cancelled() -> bool {
    ask(|context| context.cancelled)
}

/// Without a context nobody would see the message, so it goes where a program's messages go.
pub(crate) fn log(level: Level, context: &str, message: &str) {
    CURRENT.with_borrow(|current| match current {
        Some(current) => current.logs.borrow_mut().push(Log::new(level, context, message)),
        None => eprintln!("{level:?} {context}: {message}"),
    });
}

/// A test that says nothing about requests grants none.
#[cfg(feature = "http")]
pub(crate) fn send(request: &Request) -> Result<Response, Failure> {
    let answer = CURRENT.with_borrow(|current| current.as_ref().and_then(|context| context.answer.clone()));
    answer.map_or(Err(Failure::Denied), |answer| (answer.0)(request))
}
