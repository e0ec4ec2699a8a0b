//! `wasi:http`: requests of a guest, handed to the host's services, which send what is granted.
//!
//! The interface is wasmtime's own; here are its edges. Every call is charged, every byte of a body too; what the guest
//! drops is dropped at the other end; a body that the guest did not end does not end well; and whatever is denied is
//! written to the task's log with the grant to ask for. No connection is opened here.

mod calls;
mod failure;
mod hidden;
mod streams;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use saggar_model::{Capability, HttpDenial, HttpFailure, HttpTimeouts};
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

use crate::granted::Granted;
use crate::journal::SharedJournal;
use crate::services::{HttpCall, LogLevel, Services};
use crate::state::{State, TARGET_MAX_BYTES};

/// Bytes of the names and values of one set of fields, with what it takes to keep them: what servers commonly accept.
const FIELDS_MAX_BYTES: usize = 16 << 10;

/// Bytes of a body that one write may carry. Two of these wait for the network, for each body that is being written.
const CHUNK_MAX_BYTES: usize = 16 << 10;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    outgoing_handler::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    types::add_to_linker::<_, HasSelf<State>>(linker, &types::LinkOptions::default(), |state| state)
}

/// What an attempt has of HTTP once it has asked for any. Dropped before the table of its resources.
pub(crate) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

impl Http {
    fn new(witness: Witness, traceparent: Option<&str>, deadline: Instant) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS_MAX_BYTES);
        let traceparent = traceparent.and_then(|text| HeaderValue::from_str(text).ok());
        let (meter, over) = (Meter::default(), Arc::default());
        Self { context, hooks: Hooks { witness, traceparent, deadline, meter, over } }
    }

    /// Bytes of bodies that the guest was not charged for yet.
    pub(crate) fn take_unpaid(&self) -> usize {
        self.hooks.meter.take()
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.hooks.over.store(true, Ordering::Release);
    }
}

impl State {
    /// wasmtime's own implementation, for one call, which is charged.
    pub(crate) fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.charges.call();
        let Self { http, table, services, journal, granted, task, deadline, .. } = self;
        let http = http.get_or_insert_with(|| {
            let (services, journal, granted) = (services.clone(), journal.clone(), granted.clone());
            let traceparent = task.headers.traceparent.as_deref();
            Box::new(Http::new(Witness { services, journal, granted }, traceparent, *deadline))
        });
        WasiHttpCtxView { hooks: &mut http.hooks, table, ctx: &mut http.context }
    }

    fn http_meter(&self) -> Meter {
        self.http.as_ref().map(|http| http.hooks.meter.clone()).unwrap_or_default()
    }
}

/// Counts bytes of bodies until they are charged.
#[derive(Debug, Clone, Default)]
struct Meter(Arc<AtomicUsize>);

impl Meter {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Who hears what becomes of a request, from whichever task finds out.
#[derive(Clone)]
struct Witness {
    services: Arc<dyn Services>,
    journal: SharedJournal,
    granted: Arc<Granted>,
}

impl Witness {
    /// The operator is told what was denied; whoever reads the task's log, what to ask for.
    fn denied(&self, denial: &HttpDenial) {
        let target = denial.for_the_operator();
        let target = self.granted.redactor.text(&target);
        self.services.denied(Capability::Http, &target[..target.floor_char_boundary(TARGET_MAX_BYTES)]);
        self.journal.lock().log(LogLevel::Warn, "saggar", &denial.to_string());
    }
}

struct Hooks {
    witness: Witness,
    traceparent: Option<HeaderValue>,
    deadline: Instant,
    meter: Meter,
    /// The attempt is over.
    over: Arc<AtomicBool>,
}

type Sending<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn set_host_header(&mut self) -> bool {
        // Whoever sends the request knows the host in the spelling that was checked.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Sending<()>,
    ) -> Sending<(Response<WasiBody>, Sending<()>)> {
        let over = self.over.clone();
        let mut request = request.map(|inner| {
            UnendedBody { inner, over }.map_err(|error| failure::of_the_guest(&error)).boxed_unsync()
        });
        if let Some(traceparent) = &self.traceparent {
            request.headers_mut().entry(TRACEPARENT).or_insert_with(|| traceparent.clone());
        }
        hidden::reveal(&mut request, &self.witness.granted.hidden);
        let timeouts = options.map_or_else(HttpTimeouts::default, |options| HttpTimeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        });
        let witness = self.witness.clone();
        let sending = witness.services.http(HttpCall { request, timeouts, deadline: self.deadline });
        Box::new(async move {
            match sending.await {
                Ok(response) => {
                    let response = response.map(|body| body.map_err(failure::for_the_guest).boxed_unsync());
                    Ok((response, Box::new(std::future::ready(Ok(()))) as Sending<()>))
                }
                Err(failure) => {
                    if let HttpFailure::Denied(denial) = &failure {
                        witness.denied(denial);
                    }
                    Err(failure::for_the_guest(failure))
                }
            }
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_MAX_BYTES
    }
}

/// The body of a request. When an attempt is over, so are its bodies; one that the guest was still writing must not
/// look whole to whoever reads it.
struct UnendedBody {
    inner: WasiBody,
    over: Arc<AtomicBool>,
}

impl Body for UnendedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match polled {
            Poll::Ready(None) if self.over.load(Ordering::Acquire) => {
                Poll::Ready(Some(Err(Error::ConnectionTerminated)))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
