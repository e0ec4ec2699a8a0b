//! Requests of tasks: from a tenant's file over a host to a server that misbehaves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use saggar_harness::{guests, run};
use saggar_model::Outcome;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{SOON, Stage, get, saggar};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What an endpoint says next.
#[derive(Clone, Copy)]
enum Says {
    /// This, and then no more.
    Text(&'static str),
    /// Nothing, for as long as anybody waits.
    Nothing,
}

/// A server that answers one request after another as it is told, the last way for ever.
struct Endpoint {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn saying(says: &[Says]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (requests, says) = (Arc::default(), Arc::new(Mutex::new(VecDeque::from(says.to_vec()))));
        let all = Arc::clone(&requests);
        // Ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut says = says.lock().expect("nobody panicked");
                let next = if says.len() > 1 { says.pop_front() } else { says.front().copied() };
                tokio::spawn(answer(stream, next.expect("it says something"), Arc::clone(&all)));
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panicked").clone()
    }
}

async fn answer(mut stream: TcpStream, says: Says, requests: Arc<Mutex<Vec<String>>>) {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length is a number")) {
                requests.lock().expect("nobody panicked").push(text);
                break;
            }
        }
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => request.extend(&part[..read]),
            _ => return,
        }
    }
    match says {
        Says::Text(text) => drop(stream.write_all(text.as_bytes()).await),
        Says::Nothing => while stream.read(&mut part).await.is_ok_and(|read| read > 0) {},
    }
}

/// A queue for the plugin `webhook` that delivers to an endpoint of this machine, on a host that has its secret.
async fn webhooks(
    tenant: &str,
    endpoint: &Endpoint,
    http: &str,
    more: &str,
) -> (Stage, saggar_harness::SaggarProcess) {
    let stage = Stage::new(tenant).await;
    let secret = stage.write("webhook-secret", SECRET).display().to_string();
    let host = stage.host("host-1", &format!("[secrets.{tenant}]\nWEBHOOK_SECRET_FILE = '{secret}'")).await;
    let settings = format!(
        "{more}\n[queue.grants]\nhttp = [{http}]\nconfig = {{ url = 'http://127.0.0.1:{}/in' }}\n\
         secrets = ['WEBHOOK_SECRET']",
        endpoint.port
    );
    stage.apply_queues(&[("webhook", "webhook", &settings)]).await;
    (stage, host)
}

fn to(endpoint: &Endpoint) -> String {
    format!("{{ host = '127.0.0.1', tls = false, ports = [{}], methods = ['POST'] }}", endpoint.port)
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let found = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("there is no {name} in {request}"))
}

#[tokio::test]
async fn an_event_is_delivered_after_an_endpoint_failed_broke_off_and_asked_for_patience() {
    let endpoint = Endpoint::saying(&[
        Says::Text("HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
        Says::Text("HTTP/1.1 200 OK\r\ncontent-le"),
        Says::Text("HTTP/1.1 429 Later\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
        Says::Text("HTTP/1.1 204 Thanks\r\n\r\n"),
    ])
    .await;
    let retry = "retry = { attempts = 5, base = '100ms', cap = '1s' }";
    let (stage, _host) = webhooks("deliver", &endpoint, &to(&endpoint), retry).await;
    stage.publish_with("webhook", "evt_7", "{\"order\":7}", &[("Content-Type", "application/json")]).await;

    let result = stage.result("webhook", "evt_7").await;
    assert_eq!(result.outcome, Outcome::Succeeded);
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 4, "{requests:?}");
    for request in &requests {
        assert!(
            request.starts_with("POST /in HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"order\":7}"),
            "{request}"
        );
        assert_eq!(header(request, "host"), format!("127.0.0.1:{}", endpoint.port));
        assert_eq!(header(request, "webhook-id"), "evt_7");
        assert_eq!(header(request, "content-type"), "application/json");
        assert!(header(request, "webhook-signature").starts_with("v1,"));
    }
    let time = |request: &str| header(request, "webhook-timestamp").parse::<u64>().expect("seconds");
    assert!(time(&requests[3]) >= time(&requests[0]) + 2, "it waited as long as it was asked to");
}

#[tokio::test]
async fn a_request_that_is_not_granted_reaches_nobody_and_is_counted() {
    let endpoint = Endpoint::saying(&[Says::Nothing]).await;
    let (stage, host) =
        webhooks("denied", &endpoint, "{ host = 'hooks.example.com', methods = ['POST'] }", "").await;
    stage.publish("webhook", "evt_1", "{}").await;
    let result = stage.result("webhook", "evt_1").await;
    assert_eq!(result.outcome, Outcome::Rejected);
    assert!(endpoint.requests().is_empty());
    let (_, metrics) =
        get(&format!("{}/metrics", host.wait_for_url(SOON).await)).await.expect("the host answers");
    let counted =
        metrics.lines().find(|line| line.starts_with("saggar_denials_total{") && line.contains("http"));
    assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_costs_its_own_task_alone() {
    let endpoint = Endpoint::saying(&[Says::Nothing]).await;
    let limits = "limits = { timeout = '2s' }\nretry = { attempts = 1 }";
    let (stage, _host) = webhooks("silent", &endpoint, &to(&endpoint), limits).await;
    for id in 0..8 {
        stage.publish("webhook", &format!("evt_{id}"), "{}").await;
    }
    for id in 0..8 {
        let result = stage.result("webhook", &format!("evt_{id}")).await;
        assert_eq!(result.outcome, Outcome::Retried, "the plugin is told in time to say what happened");
    }
    assert_eq!(endpoint.requests().len(), 8);
}

async fn fetch(asks: Value, grants: &[&str]) -> Value {
    let path = guests::path("fetch").display().to_string();
    let mut args = vec!["run", path.as_str(), "--input", "-"];
    args.extend(grants.iter().flat_map(|grant| ["--grant", grant]));
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").display().to_string();
    let (input, variables) = (asks.to_string(), [("XDG_CACHE_HOME", cache.as_str())]);
    let finished = run(saggar(), &args, input.as_bytes(), &variables).await.expect_code(0);
    json!([serde_json::from_str::<Value>(&finished.text()).expect("it tells in JSON"), finished.stderr])
}

#[tokio::test]
async fn a_task_that_runs_here_is_granted_the_same() {
    let endpoint = Endpoint::saying(&[Says::Text("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nclay")]).await;
    let asks = json!([
        { "method": "GET", "url": format!("http://127.0.0.1:{}/", endpoint.port) },
        { "method": "GET", "url": format!("http://localhost:{}/", endpoint.port) },
    ]);
    let grant = format!("http=[{{ host = '127.0.0.1', tls = false, ports = [{}] }}]", endpoint.port);
    let told = fetch(asks.clone(), &[&grant]).await;
    assert_eq!((&told[0][0]["response"]["body"], &told[0][1]["failure"]), (&json!("clay"), &json!("Denied")));

    let told = fetch(asks, &[]).await;
    assert_eq!(told[0], json!([{ "failure": "Denied" }, { "failure": "Denied" }]));
    assert!(told[1].as_str().unwrap().contains("the queue has no grant `http` for 127.0.0.1"), "{told}");
    assert_eq!(endpoint.requests().len(), 1);
}

#[tokio::test]
async fn attack_56_from_inside_a_task_no_port_of_this_machine_is_reached() {
    let stage = Stage::new("inside").await;
    let nats = stage.server.url().replace("nats://", "http://");
    let port = nats.rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "localhost.",
    ];
    let asks: Vec<_> = hosts
        .iter()
        .map(|host| json!({ "method": "GET", "url": format!("http://{host}:{port}/") }))
        .collect();
    let grant = format!("http=[{{ host = '*', tls = false, ports = [{port}] }}]");
    let told = fetch(json!(asks), &[&grant]).await;
    for (host, told) in hosts.iter().zip(told[0].as_array().unwrap()) {
        assert_eq!(told, &json!({ "failure": "Denied" }), "{host}");
    }
}
