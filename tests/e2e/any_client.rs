//! Any NATS client can take part: subjects and headers are all there is to know.

use futures::StreamExt as _;
use saggar_harness::now_or_panic;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_plain_client_publishes_a_task_and_reads_its_result() {
    let (stage, _host) = Stage::with_host("any-client", &["facts"]).await;
    let mut results = stage.client.subscribe("saggar.any-client.result.>").await.unwrap();
    let mut replies = stage.client.subscribe("saggar.any-client.reply.me").await.unwrap();
    let headers = [
        ("Content-Type", "text/plain"),
        ("X-Customer", "7"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("saggar-reply-to", "saggar.any-client.reply.me"),
        ("Nats-Msg-Id", "order-17"),
    ];
    stage.publish_with("facts", "order-17", "clay", &headers).await;

    let result = now_or_panic("the result", SOON, results.next()).await.unwrap();
    assert_eq!(&*result.subject, "saggar.any-client.result.facts.order-17");
    let found = result.headers.as_ref().expect("a result has headers");
    let header = |name: &str| found.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
    assert_eq!(header("Saggar-Status"), "succeeded");
    assert_eq!(header("Saggar-Task"), "facts/order-17");
    assert_eq!(header("Saggar-Attempt"), "1");
    assert_eq!(header("Saggar-Seq"), "1");
    assert_eq!(header("Saggar-Plugin"), "facts@1.0.0");
    assert_eq!(header("Saggar-Host"), "host-1");
    assert_eq!(header("Content-Type"), "application/json");
    assert_eq!(header("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(header("Saggar-Digest").starts_with("sha256:"));
    for number in ["Saggar-Fuel", "Saggar-Peak-Memory", "Saggar-Duration", "Saggar-Queued"] {
        assert!(
            header(number).parse::<f64>().is_ok_and(|number| number >= 0.0),
            "{number}: {}",
            header(number)
        );
    }
    let facts: serde_json::Value = serde_json::from_slice(&result.payload).unwrap();
    assert_eq!((&facts["task_id"], &facts["tenant"]), (&"order-17".into(), &"any-client".into()));
    assert_eq!(facts["shouted_header"], "7");
    assert!(
        !facts["headers"].to_string().contains("Nats-Msg-Id"),
        "the message system's headers are not shown"
    );

    let reply = now_or_panic("the reply", SOON, replies.next()).await.unwrap();
    assert_eq!(reply.payload, result.payload);
}

#[tokio::test]
async fn a_task_without_an_id_is_called_after_its_place() {
    let (stage, _host) = Stage::with_host("nameless", &["echo"]).await;
    let mut results = stage.client.subscribe("saggar.nameless.result.echo.*").await.unwrap();
    stage.publish("echo", "", "clay").await;
    let result = now_or_panic("the result", SOON, results.next()).await.unwrap();
    let id = result.subject.rsplit('.').next().unwrap();
    assert!(id.starts_with("seq-") && id.ends_with("-1"), "{id}");
    assert_eq!(result.payload, "clay");
}

#[tokio::test]
async fn a_task_for_an_unknown_queue_is_refused_to_its_publisher_at_once() {
    let (stage, _host) = Stage::with_host("unknown-queue", &["echo"]).await;
    let request = stage.client.request("saggar.unknown-queue.task.nope.a", "clay".into());
    let answer = now_or_panic("the refusal", SOON, request).await;
    assert!(answer.is_err_and(|error| error.to_string().contains("no responders")));
}

#[tokio::test]
async fn two_tasks_of_one_id_have_one_result() {
    let (stage, _host) = Stage::with_host("one-id", &["echo"]).await;
    stage.publish("echo", "a", "first").await;
    assert_eq!(stage.result("echo", "a").await.payload, "first");
    stage.publish("echo", "a", "second").await;
    stage.publish("echo", "b", "third").await;
    stage.result("echo", "b").await;
    let queued = || async { (stage.queued().await == 0).then_some(()) };
    saggar_harness::eventually("both are acknowledged", SOON, queued).await;
    assert_eq!(stage.result("echo", "a").await.payload, "first");
    assert_eq!(stage.results().await, 2);
}

#[tokio::test]
async fn events_of_a_running_task_can_be_watched() {
    let stage = Stage::new("watched").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["reports", "chats"], "events = true").await;
    let mut events = stage.client.subscribe("saggar.watched.event.>").await.unwrap();
    stage.publish("reports", "a", "3").await;
    stage.publish("chats", "b", "1").await;
    let (mut kinds, mut bodies) = (Vec::new(), Vec::new());
    now_or_panic("progress, log and start", SOON, async {
        while !["a.started", "a.progress", "b.log"].iter().all(|kind| kinds.iter().any(|seen| seen == kind)) {
            let event = events.next().await.unwrap();
            kinds.push(
                event
                    .subject
                    .rsplitn(3, '.')
                    .take(2)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect::<Vec<_>>()
                    .join("."),
            );
            bodies.push(serde_json::from_slice::<serde_json::Value>(&event.payload).unwrap());
        }
    })
    .await;
    assert!(bodies.iter().all(|body| body["attempt"] == 1), "{bodies:?}");
}
