//! The body of a response: bounded in size, in the pauses between its parts and in all. Whoever drops it has ended the
//! request; a connection that brought a whole body is kept for the next one.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use saggar_model::HttpFailure;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep_until};

use crate::connection::{Connection, failure_of};
use crate::pool::{Key, Pool};

/// The rest of a response.
pub(crate) struct ResponseBody {
    pub(crate) inner: Incoming,
    /// What it comes over, until it has come.
    pub(crate) connection: Option<Connection>,
    pub(crate) pool: Pool,
    pub(crate) key: Key,
    /// Bytes that may still come.
    pub(crate) left: u64,
    /// Bytes that may come in all.
    pub(crate) most: u64,
    pub(crate) pauses: Pauses,
    /// The request counts as open until the body is gone.
    pub(crate) _open: OwnedSemaphorePermit,
}

/// How long is waited for the next part of a body. The clock runs only while somebody waits: a guest that computes for
/// a minute between two parts has not lost the second.
pub(crate) struct Pauses {
    longest: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pauses {
    pub(crate) fn new(longest: Duration, deadline: Instant) -> Self {
        Self { longest, deadline, timer: None }
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<HttpFailure> {
        let until = |longest: Duration| {
            Instant::now().checked_add(longest).map_or(self.deadline, |end| end.min(self.deadline))
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until(self.longest).into())));
        timer.as_mut().poll(context).map(|()| {
            let total = Instant::now() >= self.deadline;
            if total { HttpFailure::ResponseTimedOut } else { HttpFailure::BodyTimedOut }
        })
    }

    fn moved(&mut self) {
        self.timer = None;
    }
}

impl ResponseBody {
    /// Nothing more comes: the connection goes back, or is closed.
    fn settle(&mut self, whole: bool) {
        if let Some(connection) = self.connection.take()
            && whole
        {
            self.pool.give_back(self.key.clone(), connection);
        }
    }

    fn fail(&mut self, failure: HttpFailure) -> Poll<Option<Result<Frame<Bytes>, HttpFailure>>> {
        self.settle(false);
        Poll::Ready(Some(Err(failure)))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpFailure>>> {
        if self.connection.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending => match self.pauses.poll_over(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(failure) => self.fail(failure),
            },
            Poll::Ready(None) => {
                self.settle(true);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let failure = failure_of(&error);
                self.fail(failure)
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.pauses.moved();
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.checked_sub(bytes) {
                    None => {
                        let most = self.most;
                        self.fail(HttpFailure::ResponseBodyTooLarge(most))
                    }
                    Some(left) => {
                        self.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Who knows the length stops reading at the end, without asking for more.
        let whole = self.inner.is_end_stream();
        self.settle(whole);
    }
}
