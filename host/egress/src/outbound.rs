//! The requests of one attempt, from the grant to the head of the response.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use saggar_model::{HttpFailure, HttpGrant, HttpTarget, HttpTimeouts, TenantName, permit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout_at};

use crate::Body;
use crate::connection::{Connection, failure_of};
use crate::egress::Shared;
use crate::pool::Key;
use crate::request::for_the_wire;
use crate::request_body::RequestBody;
use crate::response_body::{Pauses, ResponseBody};
use crate::target;

/// Sends the requests of one attempt. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    tenant: TenantName,
    grants: Arc<[HttpGrant]>,
    open: Arc<Semaphore>,
}

impl Outbound {
    pub(crate) fn new(shared: Arc<Shared>, tenant: TenantName, grants: Vec<HttpGrant>) -> Self {
        let open = Arc::new(Semaphore::new(shared.bounds.at_once));
        Self { shared, tenant, grants: grants.into(), open }
    }

    /// Sends a request with an absolute URL, and gives the response as soon as its head is there. All of it is over at
    /// `deadline`, or as soon as the future or the response is dropped.
    ///
    /// # Errors
    /// The request is not granted, or brought no response. A body that ends early carries its failure itself.
    pub fn send(
        &self,
        request: Request<Body>,
        timeouts: HttpTimeouts,
        deadline: Instant,
    ) -> impl Future<Output = Result<Response<Body>, HttpFailure>> + Send + 'static {
        let this = self.clone();
        async move {
            let sending = this.send_now(request, timeouts, deadline);
            timeout_at(deadline.into(), sending).await.unwrap_or(Err(HttpFailure::ResponseTimedOut))
        }
    }

    async fn send_now(
        self,
        request: Request<Body>,
        timeouts: HttpTimeouts,
        deadline: Instant,
    ) -> Result<Response<Body>, HttpFailure> {
        let (parts, body) = request.into_parts();
        let target = target::read(&parts)?;
        let grant = permit(&self.grants, &target).map_err(|denial| HttpFailure::Denied(Box::new(denial)))?;
        let open = self.open.clone().try_acquire_owned().map_err(|_| HttpFailure::TooManyAtOnce)?;
        let (request, is_sent) = for_the_wire(parts, body, &target)?;
        let bounds = &self.shared.bounds;
        let within =
            |guests: Option<Duration>, ours: Duration| guests.map_or(ours, |guests| guests.min(ours));

        let connect = within(timeouts.connect, bounds.connect);
        let exchange = self.exchange(request, grant, &target, connect);
        let first_byte = within(timeouts.first_byte, bounds.first_byte);
        let (connection, response) = tokio::select! {
            biased;
            exchanged = exchange => exchanged?,
            () = silence(is_sent, first_byte) => return Err(HttpFailure::ResponseTimedOut),
        };
        let pauses = Pauses::new(within(timeouts.between_bytes, bounds.between_bytes), deadline);
        self.respond(connection, response, grant, &target, pauses, open)
    }

    /// Over a connection that waits for it, or else a new one.
    async fn exchange(
        &self,
        mut request: Request<RequestBody>,
        grant: &HttpGrant,
        target: &HttpTarget,
        connect: Duration,
    ) -> Result<(Connection, Response<Incoming>), HttpFailure> {
        while let Some(mut waiting) = self.shared.pool.take(&self.key(grant, target)) {
            match waiting.sender.try_send_request(request).await {
                Ok(response) => return Ok((waiting, response)),
                Err(mut error) => match error.take_message() {
                    // The other end had closed it: nothing was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(failure_of(error.error())),
                },
            }
        }
        let mut connection = Connection::open(&self.shared, grant, target, connect).await?;
        let response = connection.sender.send_request(request).await.map_err(|error| failure_of(&error))?;
        Ok((connection, response))
    }

    fn key(&self, grant: &HttpGrant, target: &HttpTarget) -> Key {
        let HttpTarget { tls, ref host, port, .. } = *target;
        Key { tenant: self.tenant.clone(), grant: grant.clone(), tls, host: host.clone(), port }
    }

    fn respond(
        &self,
        connection: Connection,
        response: Response<Incoming>,
        grant: &HttpGrant,
        target: &HttpTarget,
        pauses: Pauses,
        open: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, HttpFailure> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked for that.
            return Err(HttpFailure::Protocol);
        }
        let most = grant.max_response;
        if target.method != Method::HEAD.as_str() && announced(&response).is_some_and(|bytes| bytes > most) {
            return Err(HttpFailure::ResponseBodyTooLarge(most));
        }
        let (pool, key) = (self.shared.pool.clone(), self.key(grant, target));
        let (parts, inner) = response.into_parts();
        let connection = Some(connection);
        let body = ResponseBody { inner, connection, pool, key, left: most, most, pauses, _open: open };
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }
}

/// Over when the other end has said nothing for so long after it was sent the whole request.
async fn silence(is_sent: oneshot::Receiver<()>, longest: Duration) {
    // The sender is dropped with the body.
    let _ = is_sent.await;
    sleep(longest).await;
}

fn announced(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
