//! What the world outside gives to a running guest: one trait, plain data, no promise that it waits.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use saggar_model::{Capability, HttpDenial, HttpFailure, HttpHost, HttpTarget, HttpTimeouts, Missing};

use crate::children::Children;
use crate::storage::{Blobs, Checkpoint, KeyValue};

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Single steps.
    Trace,
    /// Facts that explain a decision.
    Debug,
    /// What the task did.
    Info,
    /// Something the task worked around.
    Warn,
    /// Something made part of the work fail.
    Error,
    /// The rest of the work is pointless.
    Critical,
}

impl LogLevel {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a log line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// A call of `wasi:logging`.
    Log(LogLevel),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a guest wrote, as it wrote it: hostile text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Where it comes from.
    pub source: LogSource,
    /// The part of the plugin that speaks; empty for standard output and error.
    pub context: &'a str,
    /// The text, without its line break.
    pub message: &'a str,
}

/// The body of a request or a response, on its way.
pub type HttpBody = UnsyncBoxBody<Bytes, HttpFailure>;

/// A request that a guest wants to be sent.
pub struct HttpCall {
    /// The request, with an absolute URL. What the guest wrote, hostile in all its parts.
    pub request: Request<HttpBody>,
    /// How long the guest is willing to wait.
    pub timeouts: HttpTimeouts,
    /// When the attempt is over, and everything about the request with it.
    pub deadline: Instant,
}

/// The host's side of a running guest. Calls come from the task that runs the guest, so that they must not block.
pub trait Services: Send + Sync + 'static {
    /// The guest says how far it is: `fraction` from 0 to 1 or nothing, `message` at most 1 KiB. At most once a
    /// second, and once more at the end.
    fn progress(&self, fraction: Option<f64>, message: &str);

    /// The guest wrote a line, within its log limit.
    fn log(&self, line: LogLine<'_>);

    /// Whether the host would like the attempt to end.
    fn cancelled(&self) -> bool;

    /// The guest tried what was not granted. `target` is what it wanted it for: hostile text of at most 256 bytes,
    /// without secrets.
    fn denied(&self, capability: Capability, target: &str);

    /// The keys and values of the task's tenant, for a guest that may have them; nothing where none are kept.
    fn kv(&self) -> Option<Arc<dyn KeyValue>> {
        None
    }

    /// The objects of the task's tenant, for a guest that may have them; nothing where none are kept.
    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        None
    }

    /// Where the task had come; nothing where that is not kept. What is to be kept is then dropped.
    fn checkpoint(&self) -> Option<Arc<dyn Checkpoint>> {
        None
    }

    /// Where the tasks go that the guest submits, for a guest that may; nothing where none can be submitted.
    fn children(&self) -> Option<Arc<dyn Children>> {
        None
    }

    /// Sends a request, if it is granted, and gives the response as soon as its head is there. What is dropped, the
    /// future or the body of the response, is over. Unless it is said otherwise, nothing is granted.
    fn http(&self, call: HttpCall) -> BoxFuture<'static, Result<Response<HttpBody>, HttpFailure>> {
        let denial = not_granted(&call.request);
        Box::pin(async move { Err(HttpFailure::Denied(Box::new(denial))) })
    }
}

fn not_granted(request: &Request<HttpBody>) -> HttpDenial {
    let uri = request.uri();
    let tls = uri.scheme_str() != Some("http");
    match uri.host().unwrap_or_default().parse::<HttpHost>() {
        Err(error) => HttpDenial::Host(error),
        Ok(host) => {
            let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let target = HttpTarget { tls, host, port, method: request.method().to_string() };
            HttpDenial::Target { target, missing: Missing::Host }
        }
    }
}

/// Nobody listens and nobody cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Services for Silent {
    fn progress(&self, _fraction: Option<f64>, _message: &str) {}

    fn log(&self, _line: LogLine<'_>) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _capability: Capability, _target: &str) {}
}
