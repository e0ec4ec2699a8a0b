//! Running a handler in a native test, with a task around it.
//!
//! A test may simply call the handler, which is an ordinary function. What [`context`](crate::context) then answers
//! are the defaults of [`Context`]. To set them, to see log and progress, or to begin with bytes, use a context:
//!
//! ```
//! use saggar_plugin::testing::Context;
//! use saggar_plugin::{Json, Kind, context, handler, progress};
//!
//! #[handler]
//! fn scale(Json(size): Json<f64>) -> Json<f64> {
//!     progress::report(0.5, "half way");
//!     let factor = context::header("Scale-Factor").and_then(|factor| factor.parse().ok()).unwrap_or(1.0);
//!     Json(size * factor)
//! }
//!
//! let context = Context::new().header("Scale-Factor", "3");
//! assert_eq!(context.run(|| scale(Json(2.0))), Json(6.0));
//! assert_eq!(context.reports()[0].message, "half way");
//!
//! assert_eq!(context.call(scale, "0.5").unwrap().payload, b"1.5");
//! assert_eq!(context.call(scale, "half").unwrap_err().kind, Kind::Reject);
//! ```
//!
//! Limits are not tested here: for fuel, memory and time there are the plugin's `cases/*.toml` and `saggar test`.

mod children;

use std::cell::RefCell;
use std::collections::BTreeMap;
#[cfg(feature = "http")]
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "http")]
use crate::http::{Failure, Request, Response};
use crate::logging::Level;
use crate::tasks::ChildResult;
use crate::{Error, Handler, Output, host};

pub use children::Submitted;

/// The wall limit of a queue that sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A task for a native test: what the handler may know about it, and what the handler said.
///
/// It holds for the thread that is inside [`run`](Self::run) or [`call`](Self::call). Clones share what is collected.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) task_id: String,
    pub(crate) tenant: String,
    pub(crate) queue: String,
    pub(crate) attempt: u32,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) deadline: Duration,
    pub(crate) cancelled: bool,
    pub(crate) checkpoint: Option<Vec<u8>>,
    pub(crate) checkpoints: Rc<RefCell<Vec<Vec<u8>>>>,
    pub(crate) reports: Rc<RefCell<Vec<Report>>>,
    pub(crate) logs: Rc<RefCell<Vec<Log>>>,
    pub(crate) kv: bool,
    pub(crate) blobs: bool,
    pub(crate) stores: Rc<RefCell<host::Stores>>,
    /// Nothing without the grant.
    pub(crate) submitted: Option<Rc<RefCell<Vec<Submitted>>>>,
    pub(crate) ended: BTreeMap<String, ChildResult>,
    #[cfg(feature = "http")]
    pub(crate) answer: Option<Answer>,
}

/// Who answers the requests of a handler in a test.
#[cfg(feature = "http")]
#[derive(Clone)]
pub(crate) struct Answer(pub(crate) Rc<Answering>);

#[cfg(feature = "http")]
type Answering = dyn Fn(&Request) -> Result<Response, Failure>;

#[cfg(feature = "http")]
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Context {
    /// The first attempt of task `test` in queue `test` of tenant `test`: no headers, 30 s left, not cancelled, with
    /// empty stores.
    #[must_use]
    pub fn new() -> Self {
        Self {
            task_id: "test".to_owned(),
            tenant: "test".to_owned(),
            queue: "test".to_owned(),
            attempt: 1,
            headers: Vec::new(),
            config: BTreeMap::new(),
            deadline: DEFAULT_TIMEOUT,
            cancelled: false,
            checkpoint: None,
            checkpoints: Rc::default(),
            reports: Rc::default(),
            logs: Rc::default(),
            kv: true,
            blobs: true,
            stores: Rc::default(),
            submitted: Some(Rc::default()),
            ended: BTreeMap::new(),
            #[cfg(feature = "http")]
            answer: None,
        }
    }

    /// Sets what answers requests over HTTP. Without it every request is denied, as in a queue without a grant.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn answer(mut self, answer: impl Fn(&Request) -> Result<Response, Failure> + 'static) -> Self {
        self.answer = Some(Answer(Rc::new(answer)));
        self
    }

    /// Sets the task's id.
    #[must_use]
    pub fn task_id(mut self, id: impl Into<String>) -> Self {
        self.task_id = id.into();
        self
    }

    /// Sets the tenant.
    #[must_use]
    pub fn tenant(mut self, name: impl Into<String>) -> Self {
        self.tenant = name.into();
        self
    }

    /// Sets the queue.
    #[must_use]
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = name.into();
        self
    }

    /// Sets which attempt this is, from 1.
    #[must_use]
    pub fn attempt(mut self, number: u32) -> Self {
        self.attempt = number;
        self
    }

    /// Adds a task header after those already there.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds the header `Content-Type`.
    #[must_use]
    pub fn content_type(self, media_type: impl Into<String>) -> Self {
        self.header("Content-Type", media_type)
    }

    /// Sets a value of the queue's configuration, or a secret. Without any, reading the configuration is denied, as it
    /// is where nothing is granted.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Sets the time that is left. It stands still during the test.
    #[must_use]
    pub fn deadline(mut self, left: Duration) -> Self {
        self.deadline = left;
        self
    }

    /// Sets whether the host wants the attempt to end.
    #[must_use]
    pub fn cancelled(mut self, cancelled: bool) -> Self {
        self.cancelled = cancelled;
        self
    }

    /// Sets what an earlier attempt kept last. Without it this is the first attempt, or none kept anything.
    #[must_use]
    pub fn checkpoint(mut self, kept: impl Into<Vec<u8>>) -> Self {
        self.checkpoint = Some(kept.into());
        self
    }

    /// Takes the grant `kv` away, without which no bucket can be opened.
    #[must_use]
    pub fn without_kv(mut self) -> Self {
        self.kv = false;
        self
    }

    /// Takes the grant `blobs` away, without which no container can be opened.
    #[must_use]
    pub fn without_blobs(mut self) -> Self {
        self.blobs = false;
        self
    }

    /// Gives the handler a payload it were running this task, and hands on what it returns. Contexts may be nested.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        host::within(self.clone(), body)
    }

    /// Gives the handler a payload the way the host does: reads its argument from the bytes and writes what it
    /// returns.
    ///
    /// # Errors
    /// The [`Error`] that the host would be given. A panic of the handler stays one and fails the test.
    pub fn call<Arguments>(
        &self,
        handler: impl Handler<Arguments>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Output, Error> {
        self.run(|| handler.run(payload.into()))
    }

    /// The progress reported so far, oldest first: all of it, where a host passes on one report a second.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.reports.borrow().clone()
    }

    /// The checkpoints kept so far, oldest first: all of them, where a host has the last. Keeping one takes no time.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<Vec<u8>> {
        self.checkpoints.borrow().clone()
    }

    /// The messages logged so far, oldest first: those of the level that [`set_level`](crate::logging::set_level)
    /// asks for and above. The `log` and `tracing` crates are connected by [`call`](Self::call).
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.logs.borrow().clone()
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// One call of [`progress::report`](crate::progress::report).
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The fraction as it was given, not clamped.
    pub fraction: f64,
    /// The message as it was given, not cut.
    pub message: String,
}

/// One message in the task's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How much it matters.
    pub level: Level,
    /// The part of the plugin that spoke: the target, with the `log` and `tracing` crates.
    pub context: String,
    /// What it said.
    pub message: String,
}

impl Log {
    /// A message, to compare with.
    pub fn new(level: Level, context: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level, context: context.into(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, context, progress};

    #[test]
    fn a_handler_sees_the_context_it_runs_in() {
        let task = Context::new()
            .task_id("7")
            .tenant("acme")
            .queue("mail")
            .attempt(3)
            .content_type("text/csv")
            .header("Csv-Header", "false")
            .deadline(Duration::from_secs(2))
            .cancelled(true);
        task.run(|| {
            assert_eq!(
                (context::task_id(), context::tenant(), context::queue()),
                ("7".into(), "acme".into(), "mail".into())
            );
            assert_eq!(context::attempt(), 3);
            assert_eq!(context::content_type().as_deref(), Some("text/csv"));
            assert_eq!(context::header("CSV-HEADER").as_deref(), Some("false"));
            assert_eq!(context::header("Csv-Columns"), None);
            assert_eq!(context::headers().len(), 2);
            assert_eq!(context::deadline(), Duration::from_secs(2));
            assert!(progress::cancelled());
        });
    }

    #[test]
    fn configuration_is_denied_unless_the_context_has_some() {
        let denied = Context::new().run(|| config::get("size")).unwrap_err();
        assert!(denied.to_string().starts_with("denied: "), "{denied}");
        Context::new().config("size", "10").config("a", "b").run(|| {
            assert_eq!(config::get("size"), Ok(Some("10".to_owned())));
            assert_eq!(config::get("weight"), Ok(None));
            assert_eq!(config::all().unwrap().len(), 2);
        });
    }

    #[test]
    fn checkpoints_are_kept_in_order_and_one_that_is_too_large_is_refused() {
        let task = Context::new().checkpoint("3");
        task.run(|| {
            assert_eq!(context::checkpoint().as_deref(), Some(&b"3"[..]));
            progress::save_checkpoint(b"4").unwrap();
            let refused = progress::save_checkpoint(&vec![0; (1 << 20) + 1]).unwrap_err();
            assert_eq!(refused, progress::CheckpointError::TooLarge(1 << 20));
        });
        assert_eq!(task.checkpoints(), [b"4"]);
        assert_eq!(Context::new().run(context::checkpoint), None);
    }

    #[test]
    fn without_a_context_the_answers_are_the_defaults() {
        assert_eq!((context::task_id(), context::attempt()), ("test".into(), 1));
        assert_eq!(context::content_type(), None);
        assert!(!progress::cancelled());
        progress::report(0.5, "nobody listens, nothing fails");
    }

    #[test]
    fn a_nested_context_gives_way_to_the_outer_one_even_after_a_panic() {
        Context::new().queue("outer").run(|| {
            let inner = || Context::new().queue("inner").run(|| panic!("expected"));
            assert!(std::panic::catch_unwind(inner).is_err());
            assert_eq!(context::queue(), "outer");
        });
    }

    #[test]
    fn a_call_goes_from_bytes_to_output() {
        let double = |text: String| text.repeat(2);
        let output = Context::new().call(double, "ab").unwrap();
        assert_eq!(output, Output::new("text/plain; charset=utf-8", "abab"));
    }

    #[test]
    fn a_handler_without_an_argument_does_not_look_at_the_payload() {
        assert_eq!(Context::new().call(|| "done", [0xff]).unwrap().payload, b"done");
    }
}
