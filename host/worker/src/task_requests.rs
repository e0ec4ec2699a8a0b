//! Answering those who ask about one task: to cancel it, or where it is.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use saggar_jetstream::{Asked, Control, Fault, Refusal};
use saggar_model::StateRequest;

use crate::cancel;
use crate::contained::contained;
use crate::hands::Hands;
use crate::host::Shared;

/// How long until listening is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Cancels tasks for those who ask, for ever.
pub(crate) async fn cancel(shared: Arc<Shared>) {
    let (control, hands) = (Control::new(&shared.nats), Hands::default());
    loop {
        match control.cancel_requests().await {
            Ok(asked) => each(&shared, &hands, "cancelling a task", asked, cancel::answer).await,
            Err(error) => tracing::warn!(%error, "this host cancels nothing at the moment"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Says where tasks are to those who ask, for ever.
pub(crate) async fn locate(shared: Arc<Shared>) {
    let (control, hands) = (Control::new(&shared.nats), Hands::default());
    loop {
        match control.state_requests().await {
            Ok(asked) => each(&shared, &hands, "saying where a task is", asked, answer).await,
            Err(error) => tracing::warn!(%error, "this host says of no task where it is at the moment"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Has each request answered for which there is a place, and refuses the others at once.
async fn each<R, F>(
    shared: &Arc<Shared>,
    hands: &Hands,
    what: &'static str,
    asked: impl Stream<Item = Asked<R>>,
    answer: impl Fn(Arc<Shared>, Asked<R>) -> F,
) where
    R: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let control = Control::new(&shared.nats);
    let mut requests = pin!(asked);
    while let Some(asked) = requests.next().await {
        // A name that is none has no places, and costs an answer only.
        let taken = asked.tenant.as_ref().map(|tenant| hands.take(tenant));
        if let Some(None) = taken {
            control.answer::<R>(asked, Err::<(), _>(Refusal::busy())).await;
            continue;
        }
        let answering = answer(shared.clone(), asked);
        tokio::spawn(async move {
            contained(what, answering).await;
            drop(taken);
        });
    }
}

async fn answer(shared: Arc<Shared>, asked: Asked<StateRequest>) {
    let control = Control::new(&shared.nats);
    let found = match &asked.request {
        Ok(request) => match control.look_up(request).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let StateRequest { tenant, task } = request;
                let text = format!("tenant {tenant} has no task {task} in its queue, and none delayed");
                Err(Refusal::new(Fault::NotFound, text))
            }
            Err(error) => Err(Refusal::new(error.fault(), error)),
        },
        Err(error) => Err(Refusal::new(Fault::Invalid, error)),
    };
    control.answer(asked, found).await;
}
