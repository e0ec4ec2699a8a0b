//! The body of a request: exactly as long as was said, so that nothing of it can be read as a second request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use saggar_model::HttpFailure;
use tokio::sync::oneshot;

use crate::Body;

/// A body that keeps to its length, or goes in chunks if none was said.
pub(crate) struct RequestBody {
    inner: Body,
    /// Bytes to come, if it was said how many there are.
    left: Option<u64>,
    /// Dropped with the body, so that who waits for it always hears.
    sent: Option<oneshot::Sender<()>>,
}

impl RequestBody {
    pub(crate) fn new(inner: Body, length: Option<u64>, sent: oneshot::Sender<()>) -> Self {
        Self { inner, left: length, sent: Some(sent) }
    }

    fn fits(&mut self, bytes: usize) -> bool {
        match &mut self.left {
            None => true,
            Some(left) => match left.checked_sub(bytes as u64) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
        }
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, HttpFailure>> {
        self.sent = None;
        self.left.is_some_and(|left| left > 0).then_some(Err(HttpFailure::RequestBodySize))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = HttpFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpFailure>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => return Poll::Ready(self.end()),
            };
            // Trailers come last. They were not announced, so that they would not be sent anyway.
            let Ok(bytes) = frame.into_data() else { return Poll::Ready(self.end()) };
            if !self.fits(bytes.len()) {
                return Poll::Ready(Some(Err(HttpFailure::RequestBodySize)));
            }
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.left.is_none_or(|left| left == 0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(|| self.inner.size_hint(), SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    async fn sent(text: &'static str, length: Option<u64>) -> Result<Bytes, HttpFailure> {
        let inner =
            Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
        let (sent, is_sent) = oneshot::channel();
        let collected = RequestBody::new(inner, length, sent).collect().await;
        assert!(is_sent.await.is_err(), "whoever waits hears that it is over");
        collected.map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_was_said_or_fails() {
        assert_eq!(sent("clay", Some(4)).await.unwrap(), "clay");
        assert_eq!(sent("clay", None).await.unwrap(), "clay");
        assert_eq!(sent("clay", Some(3)).await, Err(HttpFailure::RequestBodySize));
        assert_eq!(sent("clay", Some(5)).await, Err(HttpFailure::RequestBodySize));
        assert_eq!(sent("", Some(1)).await, Err(HttpFailure::RequestBodySize));
    }
}
