//! Answering those who put and read large payloads, part by part.
//!
//! Every request brings up to a message of bytes, so that no more are taken in hands than this host bears; the others
//! are told at once to ask again. No tenant takes all places.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::Control;

use crate::contained::contained;
use crate::hands::Hands;
use crate::host::Shared;

/// How long until listening is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Answers for ever.
pub(crate) async fn answer(shared: Arc<Shared>) {
    let (control, hands) = (Control::new(&shared.nats), Hands::default());
    loop {
        match control.payload_requests().await {
            Ok(requests) => {
                let mut requests = pin!(requests);
                while let Some(asked) = requests.next().await {
                    let Some(place) = hands.take(&asked.tenant) else {
                        control.refuse_payload(asked).await;
                        continue;
                    };
                    let (control, shared) = (control.clone(), shared.clone());
                    tokio::spawn(async move {
                        contained("a request about a payload", control.serve_payload(&shared.stores, asked))
                            .await;
                        drop(place);
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "this host takes no large payloads at the moment"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
