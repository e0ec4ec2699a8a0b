//! Keeps a panic of the host with the attempt it happened in, as an outcome like any other.
//!
//! A fault of ours that one guest comes upon must not take its neighbours' host away. Nothing of the attempt is
//! looked at again: its store and its instance are dropped.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use saggar_model::{Ending, Failure, Outcome, panic_message};

use crate::request::{Attempt, Usage};

/// Makes an attempt; if the host panics meanwhile, that is how it ends.
pub(crate) async fn contained(attempt: impl Future<Output = Attempt>) -> Attempt {
    let mut attempt = pin!(attempt);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context))).unwrap_or_else(|panic| {
            let reason = format!("the host panicked while it ran the task: {}", panic_message(&*panic));
            let ending = Ending::Failed(Failure::new(Outcome::HostError, &reason));
            Poll::Ready(Attempt { ending, usage: Usage::default() })
        })
    })
    .await
}
