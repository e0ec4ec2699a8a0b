//! Headers and subjects that no client library would write, by a tenant that wants every host to fall over them.

use std::time::Instant;

use async_nats::Client;
use saggar_harness::{SaggarProcess, eventually};
use saggar_model::Outcome;

use crate::house::{HOSTS, House, MODES};
use crate::stage::{SOON, Stage};
use crate::wire::{BESIDE_A_FLOOD, Wire};

/// What is wrong, and a part of the reason that must be given for it.
const HEADERS: [(&[u8], &str); 10] = [
    (b"NATS/1.0\r\nX-Bad: a\rb\r\n\r\n", "header X-Bad holds a carriage return"),
    (b"NATS/1.0\r\nX-Bad: a\r\n \rb\r\n\r\n", "header X-Bad holds a carriage return"),
    (b"NATS/1.0\r\nX-Bad: \xff\xfe\r\n\r\n", "header X-Bad is not UTF-8"),
    (b"NATS/1.0\r\nX-A: 1\r\nno colon\r\n\r\n", "`no colon` holds no colon"),
    (b"NATS/1.0\r\nX Bad: a\r\n\r\n", "`X Bad` cannot be the name"),
    (b"NATS/1.0\r\nX-B\xc3\xa4d: a\r\n\r\n", "`X-B\\xc3\\xa4d` cannot be the name"),
    (b"NATS/1.0\r\n: a\r\n\r\n", "cannot be the name"),
    (b"NATS/1.0\r\n folded: a\r\n\r\n", "cannot be the name"),
    (b"NATS/2.0\r\nX-A: 1\r\n\r\n", "do not begin with NATS/1.0"),
    (b"\x00\x01\x02\xff", "do not begin with NATS/1.0"),
];

/// What the server says of itself. It takes it away from what it stores, and passes on what it does not.
const STATUSES: [&[u8]; 5] = [
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
    b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 0\r\n\r\n",
    b"NATS/1.0 404 No Messages\r\n\r\n",
    b"NATS/1.0 999999 ?\r\n\r\n",
];

/// Last tokens of subjects. With headers the library takes a line apart at all of Unicode's white space.
const TOKENS: [&[u8]; 4] = [b"\xff\xfe", "a\u{a0}b".as_bytes(), "\u{2028}".as_bytes(), b"a\x0bb"];

const FINE: &[u8] = b"NATS/1.0\r\nX-Fine: 1\r\n\r\n";

/// Headers for requests and events, which are not stored.
fn all_headers() -> impl Iterator<Item = &'static [u8]> {
    HEADERS.iter().map(|(headers, _)| *headers).chain(STATUSES)
}

/// Publishes a task of each kind, and how many of them are none. Those with a status end as if they had none.
async fn publish_all(wire: &mut Wire, tenant: &str) -> u64 {
    for (n, (headers, _)) in HEADERS.iter().enumerate() {
        wire.publish(format!("saggar.{tenant}.task.echo.k{n}").as_bytes(), headers, b"clay").await;
    }
    for (n, headers) in STATUSES.iter().enumerate() {
        wire.publish(format!("saggar.{tenant}.task.echo.s{n}").as_bytes(), headers, b"clay").await;
    }
    for token in TOKENS {
        wire.publish(&[format!("saggar.{tenant}.task.echo.").as_bytes(), token].concat(), FINE, b"clay")
            .await;
    }
    wire.say(format!("PUB saggar.{tenant}.task.echo.").as_bytes()).await;
    wire.say(b"\xff\xff\xff 4\r\nclay\r\n").await;
    wire.heard_of().await.expect("the server takes them all");
    (HEADERS.len() + TOKENS.len() + 1) as u64
}

/// The reason that a dead letter was given. What the hosts write any library can read.
async fn reason(client: &Client, tenant: &str, id: &str) -> Option<String> {
    let request = format!("$JS.API.DIRECT.GET.SAGGAR_DEAD_{tenant}.saggar.{tenant}.dead.echo.{id}");
    let answer = client.request(request, "".into()).await.ok()?;
    let headers = answer.headers?;
    assert_eq!(headers.get("Saggar-Status")?.as_str(), "invalid", "{id}");
    Some(headers.get("Saggar-Reason")?.as_str().to_owned())
}

/// Each task became a dead letter that says what is wrong with it, and the host has noticed nothing.
async fn judge(client: &Client, host: &SaggarProcess, tenant: &str) {
    for (n, (_, what)) in HEADERS.iter().enumerate() {
        let id = format!("k{n}");
        let said = eventually(&format!("{id} is a dead letter"), SOON, || reason(client, tenant, &id)).await;
        assert!(said.contains(what), "{id}: {said}");
    }
    for n in 0..STATUSES.len() {
        let request = format!("$JS.API.DIRECT.GET.SAGGAR_RESULTS_{tenant}.saggar.{tenant}.result.echo.s{n}");
        eventually(&format!("s{n} has ended"), SOON, || async {
            let answer = client.request(request.clone(), "".into()).await.ok()?;
            (answer.payload == "clay").then_some(())
        })
        .await;
    }
    let stderr = host.stderr().join("\n");
    for mishap in ["lost the connection", "panicked", "complains", "not usable"] {
        assert!(!stderr.contains(mishap), "{stderr}");
    }
    assert!(host.pid().is_some(), "it runs");
}

#[tokio::test]
async fn attack_87_headers_that_no_client_can_read_harm_nobody_but_their_tenant() {
    for mode in MODES {
        let house = House::new(mode, &["acme", "globex"]).await;
        let host = house.host().await;
        for tenant in ["acme", "globex"] {
            house.apply(tenant, "", &[("echo", "")]).await;
        }
        let mut wire = house.wire("acme").await.expect("the credentials are good");
        let all = publish_all(&mut wire, "acme").await;
        // Requests to hosts, and answers that go nowhere.
        for headers in all_headers() {
            for request in ["state.echo.k0", "cancel.echo.nobody", "blob"] {
                let subject = format!("saggar.acme.control.{request} _INBOX.wire.\u{a0}");
                wire.publish(subject.as_bytes(), headers, b"").await;
            }
        }
        wire.heard_of().await.expect("the server takes them all");
        let began = Instant::now();
        for n in 0..5 {
            let args = ["task", "submit", "echo", "clay", "--id", &format!("beside-{n}"), "--wait"];
            house.run("globex", &args).await.expect_code(0);
        }
        assert!(began.elapsed() < BESIDE_A_FLOOD, "{:?}", began.elapsed());
        let hosts = house.client(HOSTS).await;
        judge(&hosts.client, &host, "acme").await;
        eventually("all of them are dead letters, once", SOON, || async {
            let streams = Box::pin(house.streams("acme")).await;
            let count = |name: &str| {
                streams.iter().find(|(found, ..)| found == name).map(|(_, count, last)| (*count, *last))
            };
            let (tasks, dead) = (count("SAGGAR_TASKS_acme")?, count("SAGGAR_DEAD_acme")?);
            (tasks.0 == 0 && dead == (all, all)).then_some(())
        })
        .await;
        // What only hosts write stays closed to it, whatever the headers.
        let forged = b"saggar.acme.event.echo.k0.log";
        wire.publish(forged, HEADERS[0].0, b"").await;
        let refused = wire.heard_of().await.unwrap_err();
        assert!(refused.contains("Permissions Violation"), "{refused}");
        house.run("acme", &["task", "submit", "echo", "clay", "--wait"]).await.expect_code(0);
        judge(&hosts.client, &host, "acme").await;
    }
}

#[tokio::test]
async fn attack_87_nor_do_they_in_a_shared_account_where_records_can_be_forged() {
    let (stage, host) = Stage::with_host("shared", &["echo"]).await;
    let mut wire = Wire::connect(&stage.server.url(), None, None).await.unwrap();
    let all = publish_all(&mut wire, "shared").await;
    judge(&stage.client, &host, "shared").await;
    eventually("all of them are settled", SOON, || async {
        (stage.queued().await == 0 && stage.dead().await == all).then_some(())
    })
    .await;
    for (n, headers) in all_headers().enumerate() {
        for place in [
            "result.echo.forged",
            "dead.echo.forged",
            "event.echo.forged.log",
            "control.state.echo.x",
            "control.blob",
        ] {
            wire.publish(format!("saggar.shared.{place}-{n}").as_bytes(), headers, b"clay").await;
        }
        wire.publish(b"saggar-hosts.cancelled", headers, b"clay").await;
        wire.publish(b"saggar.shared.reply.x", headers, b"clay").await;
    }
    wire.heard_of().await.unwrap();
    stage.publish("echo", "after", "clay").await;
    assert_eq!(stage.result("echo", "after").await.outcome, Outcome::Succeeded);
    // Whoever reads them as an operator does is told, and not thrown out.
    for args in
        [&["task", "ls"][..], &["task", "ls", "--results"], &["dead", "ls"], &["task", "get", "echo/k0"]]
    {
        let done = stage.run(args).await;
        assert!(done.code.is_some_and(|code| code < 70), "{args:?}: {:?} {}", done.code, done.stderr);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    }
    judge(&stage.client, &host, "shared").await;
}

#[tokio::test]
async fn attack_87_tasks_that_nobody_takes_yet_are_listed_and_cancelled_in_spite_of_their_headers() {
    let stage = Stage::new("early").await;
    let host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    stage.run(&["queue", "pause", "echo"]).await.expect_code(0);
    let mut wire = Wire::connect(&stage.server.url(), None, None).await.unwrap();
    publish_all(&mut wire, "early").await;
    let listed = stage.run(&["task", "ls"]).await.expect_code(0).text();
    for n in 0..HEADERS.len() {
        assert!(listed.contains(&format!("k{n}")), "{listed}");
    }
    stage.run(&["task", "cancel", "echo/k9"]).await.expect_code(0);
    stage.run(&["queue", "resume", "echo"]).await.expect_code(0);
    stage.drained().await;
    assert!(!host.stderr().join("\n").contains("lost the connection"));
}
