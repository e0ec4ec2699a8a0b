//! Requests of real guests, up to the wall: what reaches the host's services, and what becomes of the rest.

use std::future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use saggar_model::{Capability, Ending, HttpFailure, Limits, Outcome};
use saggar_sandbox::{
    Attempt, HttpBody, HttpCall, LogLine, Options, Plugin, Request, Sandbox, Services, StopReason,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    Sandbox::new(&Options { slots: 8, ..Options::default() }).expect("this machine runs sandboxes")
});

fn guest(name: &str) -> Plugin {
    let path = format!(
        "{}/../../plugins/target/wasm32-wasip2/release/examples/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let wasm = std::fs::read(path).expect("guests are built: run `make guests`");
    SANDBOX.load(&SANDBOX.compile(&wasm).expect("the guest compiles")).expect("the guest links")
}

/// What a service does with a request.
type Answer =
    Box<dyn Fn(HttpCall) -> BoxFuture<'static, Result<Response<HttpBody>, HttpFailure>> + Send + Sync>;

/// A host that answers, and writes down what the guest logs.
struct Answering {
    answer: Answer,
    lines: Mutex<Vec<String>>,
}

impl Answering {
    fn new<F, Doing>(answer: F) -> Arc<Self>
    where
        F: Fn(HttpCall) -> Doing + Send + Sync + 'static,
        Doing: Future<Output = Result<Response<HttpBody>, HttpFailure>> + Send + 'static,
    {
        Arc::new(Self { answer: Box::new(move |call| answer(call).boxed()), lines: Mutex::default() })
    }
}

impl Services for Answering {
    fn progress(&self, _: Option<f64>, _: &str) {}

    fn log(&self, line: LogLine<'_>) {
        self.lines.lock().unwrap().push(line.message.to_owned());
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _: Capability, _: &str) {}

    fn http(&self, call: HttpCall) -> BoxFuture<'static, Result<Response<HttpBody>, HttpFailure>> {
        (self.answer)(call)
    }
}

/// A host where nothing is granted.
#[derive(Default)]
struct Refusing(Mutex<Vec<String>>, Mutex<Vec<(Capability, String)>>);

impl Services for Refusing {
    fn progress(&self, _: Option<f64>, _: &str) {}

    fn log(&self, line: LogLine<'_>) {
        self.0.lock().unwrap().push(line.message.to_owned());
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, capability: Capability, target: &str) {
        self.1.lock().unwrap().push((capability, target.to_owned()));
    }
}

fn body(text: impl Into<Bytes>) -> HttpBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

async fn run(guest_name: &str, input: String, services: Arc<dyn Services>, limits: Limits) -> Attempt {
    let request = Request { limits, ..Request::local(input.into()) };
    SANDBOX.run(&guest(guest_name), request, services, future::pending()).await
}

fn output(attempt: &Attempt) -> String {
    match &attempt.ending {
        Ending::Succeeded(output) => String::from_utf8_lossy(&output.payload).into_owned(),
        Ending::Failed(failure) => panic!("{failure:?}"),
    }
}

async fn fetch(asks: Value, services: Arc<dyn Services>) -> (Value, Attempt) {
    let attempt = run("fetch", asks.to_string(), services, Limits::default()).await;
    (serde_json::from_str(&output(&attempt)).unwrap(), attempt)
}

#[tokio::test]
async fn without_a_grant_a_request_is_denied_and_the_log_says_what_to_ask_for() {
    let refusing = Arc::new(Refusing::default());
    let asks = json!([{ "method": "POST", "url": "https://API.example.com/x" }, { "method": "GET", "url": "http://127.1/" }]);
    let (told, _) = fetch(asks, refusing.clone()).await;
    assert_eq!(told, json!([{ "failure": "Denied" }, { "failure": "Denied" }]));
    let lines = refusing.0.lock().unwrap();
    assert!(
        lines[0].contains("`http = [{ host = \"api.example.com\", methods = [\"POST\"], ports = [443] }]`"),
        "{lines:?}"
    );
    assert!(lines[1].contains("`127.1` is no host"), "{lines:?}");
    let counted = refusing.1.lock().unwrap();
    assert_eq!(counted[0], (Capability::Http, "POST https://api.example.com".to_owned()));
    assert_eq!((counted.len(), counted[1].0), (2, Capability::Http));
}

#[tokio::test]
async fn a_request_reaches_the_host_as_the_guest_made_it_and_the_response_the_guest() {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let services = Answering::new(move |call: HttpCall| {
        let sender = sender.clone();
        async move {
            let (parts, sent) = call.request.into_parts();
            let sent = sent.collect().await?.to_bytes();
            sender.send((parts, sent)).unwrap();
            let response = Response::builder().status(418).header("x-kiln", "hot").body(body("tea"));
            Ok(response.unwrap())
        }
    });
    let asks = json!([{ "method": "PUT", "url": "https://a.example:8443/b?c=d#e", "headers": [["x-mine", "1"], ["host", "evil"]], "body": "clay" }]);
    let (told, attempt) = fetch(asks, services).await;
    assert_eq!(
        told,
        json!([{ "response": { "status": 418, "headers": [["x-kiln", "hot"]], "body": "tea" } }])
    );
    let (parts, sent) = inbox.recv().await.unwrap();
    assert_eq!(
        (parts.method.as_str(), parts.uri.to_string().as_str()),
        ("PUT", "https://a.example:8443/b?c=d")
    );
    assert_eq!(
        (&parts.headers["x-mine"], &parts.headers["content-length"]),
        (&"1".parse().unwrap(), &"4".parse().unwrap())
    );
    assert!(!parts.headers.contains_key("host") && !parts.headers.contains_key("traceparent"));
    assert_eq!(sent, "clay");
    assert!(attempt.usage.fuel > 500_000, "a request costs more than a call: {}", attempt.usage.fuel);
}

#[tokio::test]
async fn every_failure_reaches_the_guest_as_what_it_is() {
    for (failure, told) in [
        (HttpFailure::UriInvalid, "Invalid(\"the URL is not valid\")"),
        (HttpFailure::LookupFailed, "NoSuchHost"),
        (HttpFailure::LookupTimedOut, "TimedOut"),
        (HttpFailure::ConnectionRefused, "Unreachable"),
        (HttpFailure::Unreachable, "Unreachable"),
        (HttpFailure::ConnectTimedOut, "TimedOut"),
        (HttpFailure::Certificate, "Insecure"),
        (HttpFailure::Tls, "Insecure"),
        (HttpFailure::Terminated, "Broken"),
        (HttpFailure::ResponseTimedOut, "TimedOut"),
        (HttpFailure::BodyTimedOut, "TimedOut"),
        (HttpFailure::ResponseHeadersTooLarge, "TooLarge"),
        (HttpFailure::ResponseBodyTooLarge(7), "TooLarge"),
        (HttpFailure::TooManyAtOnce, "TooManyAtOnce"),
        (HttpFailure::Protocol, "Broken"),
    ] {
        let at_the_head = failure.clone();
        let services = Answering::new(move |_| future::ready(Err(at_the_head.clone())));
        let asks = json!([{ "method": "GET", "url": "https://a.example/" }]);
        assert_eq!(fetch(asks.clone(), services).await.0, json!([{ "failure": told }]), "{failure:?}");
    }
    for (failure, told) in [
        (HttpFailure::Terminated, "Broken"),
        (HttpFailure::BodyTimedOut, "TimedOut"),
        (HttpFailure::ResponseTimedOut, "TimedOut"),
        (HttpFailure::ResponseBodyTooLarge(7), "TooLarge"),
        (HttpFailure::Protocol, "Broken"),
    ] {
        let services = Answering::new(move |_| {
            let frames = [Ok(http_body::Frame::data(Bytes::from_static(b"half"))), Err(failure.clone())];
            let broken = http_body_util::StreamBody::new(futures::stream::iter(frames));
            future::ready(Ok(Response::new(broken.boxed_unsync())))
        });
        let asks = json!([{ "method": "GET", "url": "https://a.example/" }]);
        assert_eq!(fetch(asks, services).await.0, json!([{ "failure": told }]));
    }
}

#[tokio::test]
async fn the_trace_goes_on_unless_the_guest_has_one_of_its_own() {
    let services = || {
        Answering::new(|call: HttpCall| {
            let trace = call.request.headers().get("traceparent").cloned();
            let trace = trace.map_or_else(String::new, |trace| trace.to_str().unwrap().to_owned());
            future::ready(Ok(Response::new(body(trace))))
        })
    };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let told = |headers: Value| async move {
        let asks = json!([{ "method": "GET", "url": "https://a.example/", "headers": headers }]);
        let mut request = Request::local(asks.to_string().into());
        Arc::make_mut(&mut request.task).headers.traceparent = Some(trace.to_owned());
        let attempt = SANDBOX.run(&guest("fetch"), request, services(), future::pending()).await;
        let told: Value = serde_json::from_str(&output(&attempt)).unwrap();
        told[0]["response"]["body"].as_str().unwrap().to_owned()
    };
    assert_eq!(told(json!([])).await, trace);
    assert_eq!(told(json!([["traceparent", "mine"]])).await, "mine");
}

#[tokio::test]
async fn bytes_of_a_response_cost_fuel() {
    let fuel = |bytes: usize| async move {
        let services = Answering::new(move |_| future::ready(Ok(Response::new(body(vec![b'a'; bytes])))));
        let asks = json!([{ "method": "GET", "url": "https://a.example/" }]);
        fetch(asks, services).await.1.usage.fuel
    };
    let (little, much) = (fuel(1).await, fuel(700_000).await);
    assert!(much - little >= 700_000, "{little} and {much}");
}

#[tokio::test]
async fn attack_26_headers_without_end_are_refused_with_an_error() {
    for trick in ["fields", "list"] {
        let attempt =
            run("requests", trick.to_owned(), Arc::new(Refusing::default()), Limits::default()).await;
        assert_eq!(output(&attempt), "forbidden", "{trick}");
        assert!(attempt.usage.fuel > 16 << 10, "{}", attempt.usage.fuel);
    }
    let attempt =
        run("requests", "copies".to_owned(), Arc::new(Refusing::default()), Limits::default()).await;
    assert_eq!(attempt.ending.outcome(), Outcome::Trapped, "there are so many handles and no more");
}

#[tokio::test]
async fn attack_24_writes_of_nothing_cost_the_host_nothing() {
    let services = Answering::new(|call: HttpCall| async move {
        let sent = call.request.into_body().collect().await?.to_bytes();
        assert_eq!(sent, "clay");
        Ok(Response::new(body("")))
    });
    let attempt = run("requests", "nothing a.example".to_owned(), services, Limits::default()).await;
    assert_eq!(output(&attempt), "Ok(200)");
    assert!(attempt.usage.fuel > 100_000 * 200);
}

#[tokio::test]
async fn a_body_that_the_guest_leaves_unfinished_does_not_end_well() {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let services = Answering::new(move |call: HttpCall| {
        let sender = sender.clone();
        // As a connection does, it reads on for whoever asked.
        let reading = tokio::spawn(async move {
            let ended = call.request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            sender.send(ended).unwrap();
        });
        async move {
            reading.await.unwrap();
            Err(HttpFailure::Terminated)
        }
    });
    let attempt = run("requests", "unfinished a.example".to_owned(), services, Limits::default()).await;
    assert_eq!(output(&attempt), "done");
    assert_eq!(inbox.recv().await.unwrap(), Err(HttpFailure::Terminated));
}

/// Says when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn what_a_guest_drops_is_over_and_so_is_everything_with_the_attempt() {
    for (trick, least) in [("dropped", 1), ("many", 20)] {
        let (sender, mut inbox) = mpsc::unbounded_channel();
        let services = Answering::new(move |_| {
            let dropped = Dropped(sender.clone());
            async move {
                let _dropped = dropped;
                future::pending().await
            }
        });
        let limits = Limits { timeout: Duration::from_millis(500), ..Limits::default() };
        let attempt = run("requests", format!("{trick} a.example"), services, limits).await;
        assert!(attempt.usage.duration < Duration::from_secs(20));
        // Every future that was begun is dropped: the senders are gone, so that the inbox ends.
        let mut dropped = 0;
        while let Ok(Some(())) = tokio::time::timeout(Duration::from_secs(20), inbox.recv()).await {
            dropped += 1;
        }
        assert!(inbox.is_closed() && dropped >= least, "{trick}: {dropped}");
    }
}

#[tokio::test]
async fn a_request_ends_with_the_wall_limit_and_with_a_cancellation() {
    let services = || Answering::new(|_| future::pending());
    let asks = json!([{ "method": "GET", "url": "https://a.example/" }]).to_string();
    let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let attempt = run("fetch", asks.clone(), services(), limits).await;
    assert_eq!(attempt.ending.outcome(), Outcome::TimedOut);
    let stopped = SANDBOX
        .run(&guest("fetch"), Request::local(asks.into()), services(), future::ready(StopReason::Cancelled))
        .await;
    assert_eq!(stopped.ending.outcome(), Outcome::Cancelled);
}
