//! What the server does not let this connection do.
//!
//! It says so beside the request, in a message of its own, and never answers the request itself: whoever asks listens
//! here as well, so as not to wait for an answer that will not come.

use async_nats::ServerError;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::RequestError;

/// Denials that may be unread: more than requests of one process are under way to forbidden subjects at once.
const UNREAD_MAX: usize = 256;

/// What is denied to who publishes.
pub(crate) const DENIED_PUBLISH: &str = "publish to";

/// Something that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Denial {
    /// To publish to this subject.
    Publish(String),
    /// To subscribe to this subject.
    Subscribe(String),
}

/// Tells those who ask of what is denied.
#[derive(Debug, Clone)]
pub(crate) struct Denials(broadcast::Sender<Denial>);

impl Default for Denials {
    fn default() -> Self {
        Self(broadcast::Sender::new(UNREAD_MAX))
    }
}

impl Denials {
    /// Takes note of what the server complains about; the answer says whether somebody has asked and hears it.
    pub(crate) fn note(&self, error: &ServerError) -> bool {
        match error {
            ServerError::Other(text) => Denial::read(text).is_some_and(|denial| self.0.send(denial).is_ok()),
            ServerError::AuthorizationViolation | ServerError::SlowConsumer(_) => false,
        }
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Listening {
        Listening(self.0.subscribe())
    }
}

/// Hears what is denied.
pub(crate) struct Listening(broadcast::Receiver<Denial>);

impl Listening {
    /// Waits until a request to `subject`, answered to an inbox that begins with `inbox`, is denied; for ever, if it
    /// never is.
    pub(crate) async fn denied(mut self, doing: &'static str, subject: &str, inbox: &str) -> RequestError {
        loop {
            match self.0.recv().await {
                Ok(Denial::Publish(denied)) if denied == subject => {
                    return RequestError::Denied { doing, what: DENIED_PUBLISH, subject: denied };
                }
                Ok(Denial::Subscribe(denied)) if denied == subject || denied.starts_with(inbox) => {
                    return RequestError::Denied { doing, what: "subscribe to", subject: denied };
                }
                // What was missed was another's, or the request times out.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Denial {
    /// Reads the server's words.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("Permissions Violation for ")?;
        let quoted = |rest: &str| Some(rest.split('"').nth(1)?.to_owned());
        if let Some(rest) = rest.strip_prefix("Publish to ") {
            return quoted(rest).map(Self::Publish);
        }
        rest.strip_prefix("Subscription to ").and_then(quoted).map(Self::Subscribe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(text: &str) -> ServerError {
        ServerError::Other(text.to_owned())
    }

    #[test]
    fn the_servers_words_are_understood_and_others_are_not() {
        let publish = "Permissions Violation for Publish to \"saggar.other.task.q.a\"";
        assert_eq!(Denial::read(publish), Some(Denial::Publish("saggar.other.task.q.a".to_owned())));
        let subscribe =
            "Permissions Violation for Subscription to \"saggar.acme.control.>\" using queue \"x\"";
        assert_eq!(Denial::read(subscribe), Some(Denial::Subscribe("saggar.acme.control.>".to_owned())));
        for text in
            ["", "maximum connections exceeded", "Permissions Violation for Publish with Reply of \"_R_.x\""]
        {
            assert_eq!(Denial::read(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_denial_reaches_the_request_that_it_is_about() {
        let denials = Denials::default();
        let (ours, others) = (denials.listen(), denials.listen());
        for subject in ["saggar.b.task.q", "saggar.a.task.q"] {
            assert!(denials.note(&other(&format!("Permissions Violation for Publish to \"{subject}\""))));
        }
        let error = ours.denied("publishing", "saggar.a.task.q", "_INBOX.x").await;
        assert!(error.to_string().contains("saggar.a.task.q"), "{error}");
        assert_eq!(error.fault(), crate::Fault::Denied);
        assert!(denials.note(&other("Permissions Violation for Subscription to \"_INBOX.x.*\"")));
        let error = others.denied("reading", "saggar.c.task.q", "_INBOX.x").await;
        assert!(error.to_string().contains("subscribe to `_INBOX.x.*`"), "{error}");
        assert!(!denials.note(&other("Permissions Violation for Publish to \"x\"")), "nobody asks any more");
    }
}
