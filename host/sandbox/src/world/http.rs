//! The world of servers, `wasi:http/proxy`: the task is a POST, and the response says how it ended.
//!
//! The response's body is taken while the guest still writes it, up to the output limit. An attempt is over when the
//! guest's function has returned: what it does after its response belongs to the task.

use std::pin::pin;
use std::time::SystemTime;

use ::http::header::{CONTENT_LENGTH, HOST};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use saggar_model::Task;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::answer::{Answer, judge};
use crate::attempt::{instantiate, misshapen};
use crate::crash::{Crash, Phase};
use crate::state::State;
use crate::verdict::Call;

type Response = ::http::Response<HyperOutgoingBody>;

/// A component of this world, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry {
    pre: InstancePre<State>,
    indices: ProxyIndices,
}

impl Entry {
    pub(crate) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(Self { indices: ProxyIndices::new(&pre)?, pre })
    }

    pub(crate) async fn call(&self, store: &mut Store<State>, limit: u64) -> Call {
        let instance = match instantiate(store, &self.pre).await {
            Ok(instance) => instance,
            Err(call) => return call,
        };
        let server = match self.indices.load(&mut *store, &instance) {
            Ok(server) => server,
            Err(error) => return misshapen(&error),
        };
        let (sender, receiver) = oneshot::channel();
        let (task, attempt) = (store.data().task.clone(), store.data().attempt);
        let request = match request(&task, attempt) {
            Ok(request) => request.map(|body| body.map_err(|never| -> Error { match never {} })),
            Err(error) => return Call::Crashed(Crash::read(&error.into(), Phase::Allocating)),
        };
        let mut view = store.data_mut().http();
        let resources = view
            .new_incoming_request(Scheme::Http, request)
            .and_then(|request| Ok((request, view.new_response_outparam(sender)?)));
        let (request, outparam) = match resources {
            Ok(resources) => resources,
            Err(error) => return Call::Crashed(Crash::read(&error, Phase::Allocating)),
        };

        let mut answering = pin!(answer(receiver, limit));
        let mut answered = None;
        let returned = {
            let mut running = pin!(server.wasi_http_incoming_handler().call_handle(store, request, outparam));
            loop {
                tokio::select! {
                    biased;
                    returned = &mut running => break returned,
                    answer = &mut answering, if answered.is_none() => match answer {
                        // Nothing that it could still do would make a result of it.
                        Answer::TooLarge => return judge(Answer::TooLarge, SystemTime::now()),
                        answer => answered = Some(answer),
                    },
                }
            }
        };
        if let Err(error) = returned {
            return Call::Crashed(Crash::read(&error, Phase::Running));
        }
        // Whatever is not there now will never come: the guest does not run any more. Without a budget, for otherwise
        // tokio has the last frame wait for another turn.
        let answered = answered
            .or_else(|| tokio::task::unconstrained(answering).now_or_never())
            .unwrap_or(Answer::Unfinished);
        judge(answered, SystemTime::now())
    }
}

/// Waits for the response and for the whole of its body.
async fn answer(response: oneshot::Receiver<Result<Response, ErrorCode>>, limit: u64) -> Answer {
    let response = match response.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => return Answer::Error(format!("{code:?}")),
        Err(_) => return Answer::Absent,
    };
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Answer::Unfinished };
        // A result has no trailers; whoever sent them did not need them to end well.
        let Ok(data) = frame.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > limit {
            return Answer::TooLarge;
        }
        bytes.extend_from_slice(&data);
    }
    Answer::Given { status: parts.status, headers: parts.headers, body: bytes.into() }
}

/// The task as a request.
fn request(task: &Task, attempt: u32) -> ::http::Result<Request<Full<Bytes>>> {
    let authority = format!("{}.{}", task.queue, task.tenant);
    let uri = Uri::builder().scheme("http").authority(authority.as_str()).path_and_query("/").build()?;
    let mut request =
        Request::builder().method(Method::POST).uri(uri).body(Full::new(task.payload.clone()))?;
    *request.headers_mut() = headers(task, attempt);
    Ok(request)
}

/// The headers that a guest may see, of those that HTTP can carry. What describes the connection and the length is
/// ours to say; what belongs to connections only is left out by the interface itself.
fn headers(task: &Task, attempt: u32) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &task.headers.visible {
        let pair = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::try_from(value.as_str()).ok());
        if let Some((name, value)) = pair.filter(|(name, _)| ![HOST, CONTENT_LENGTH].contains(name)) {
            headers.append(name, value);
        }
    }
    headers.insert(CONTENT_LENGTH, task.payload.len().into());
    headers.insert("saggar-attempt", attempt.into());
    if let Ok(id) = HeaderValue::try_from(task.id.to_string()) {
        headers.insert("saggar-task", id);
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn task(visible: &[(&str, &str)]) -> Task {
        let mut task = Arc::unwrap_or_clone(crate::Request::local("clay".into()).task);
        task.headers.visible =
            visible.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        task
    }

    #[test]
    fn a_task_is_a_post_to_its_queue_of_its_tenant() {
        let request = request(&task(&[]), 3).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::POST, "http://run.local/")
        );
        assert_eq!(
            (&request.headers()["saggar-task"], &request.headers()["saggar-attempt"]),
            (&HeaderValue::from_static("local"), &HeaderValue::from_static("3"))
        );
        assert_eq!(request.headers()["content-length"], "4");
    }

    #[test]
    fn headers_of_the_task_are_those_of_the_request_as_far_as_http_goes() {
        let headers = headers(
            &task(&[
                ("Content-Type", "text/plain"),
                ("X-Size", "1"),
                ("x-size", "2"),
                ("Content-Length", "7"),
                ("Host", "elsewhere"),
                ("no token", "1"),
                ("X-Line", "a\r\nb"),
                ("X-Text", "größe"),
            ]),
            1,
        );
        let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        assert_eq!(all("content-type"), [b"text/plain"]);
        assert_eq!(all("x-size"), [b"1", b"2"]);
        assert_eq!(all("content-length"), [b"4"]);
        assert_eq!(all("x-text"), ["größe".as_bytes()]);
        assert_eq!((all("host").len(), all("x-line").len(), headers.len()), (0, 0, 7));
    }
}
