//! What reply subjects do where tenants share an account: whatever their owners like. This is why tenants that are not
//! trusted have accounts of their own; see `isolation.rs` for the same with them.

use async_nats::ConnectOptions;
use saggar_harness::{LocalServer, StartOptions, eventually, now_or_panic};

use crate::house::connect;
use crate::stage::SOON;

/// One account; a user `hosts` who may do everything, and a user `acme` who may publish tasks of acme's, read its
/// results, and nothing else.
const SHARED: &str = r#"
accounts {
  SHARED {
    jetstream: enabled
    users: [
      { user: hosts, password: h }
      { user: acme, password: a, permissions: {
        publish: { allow: [ "saggar.acme.task.>", "$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme.>" ] }
        subscribe: { allow: [ "_INBOX.>" ] }
      } }
    ]
  }
}
"#;

#[tokio::test]
async fn attack_75b_in_a_shared_account_an_answer_goes_wherever_its_asker_says() {
    let options = StartOptions { config: Some(SHARED.to_owned()), ..StartOptions::default() };
    let server = LocalServer::start(options).await.unwrap();
    let url = server.url();
    let user = |name: &str, password: &str| {
        connect(ConnectOptions::with_user_and_password(name.into(), password.into()), &url)
    };
    let sites = [
        ("SAGGAR_TASKS_acme", "saggar.acme.task.>"),
        ("SAGGAR_RESULTS_acme", "saggar.acme.result.>"),
        ("SAGGAR_TASKS_globex", "saggar.globex.task.>"),
        ("SAGGAR_RESULTS_globex", "saggar.globex.result.>"),
        ("KV_saggar_tenants", "$KV.saggar_tenants.>"),
    ];
    let (hosts, mut acme) = (user("hosts", "h").await, user("acme", "a").await);
    let context = async_nats::jetstream::new(hosts.client.clone());
    for (name, subject) in sites {
        let config = async_nats::jetstream::stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            allow_direct: true,
            ..Default::default()
        };
        context.create_stream(config).await.unwrap();
    }
    for (id, output) in [("a", "acme's output"), ("empty", "")] {
        let stored = context.publish(format!("saggar.acme.result.echo.{id}"), output.into()).await.unwrap();
        now_or_panic("the result is stored", SOON, async { stored.await.unwrap() }).await;
    }

    // What it may not publish, it has the server publish.
    let forged = "saggar.globex.task.echo.forged";
    acme.client.publish(forged, "".into()).await.unwrap();
    acme.is_denied(forged).await;
    let task = "saggar.acme.task.echo.a";
    let last = "$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme.saggar.acme.result.echo.a";
    for (subject, reply) in
        [(task, forged), (last, "saggar.globex.result.echo.forged"), (task, "$KV.saggar_tenants.globex")]
    {
        acme.client.publish_with_reply(subject, reply, "".into()).await.unwrap();
    }
    eventually("a task, a result and a record are forged", SOON, || async {
        for (stream, wanted) in
            [("SAGGAR_TASKS_globex", 1), ("SAGGAR_RESULTS_globex", 1), ("KV_saggar_tenants", 1)]
        {
            let mut stream = context.get_stream(stream).await.ok()?;
            if stream.info().await.ok()?.state.messages < wanted {
                return None;
            }
        }
        Some(())
    })
    .await;
    // And a stream is gone: what orders it is an empty message, such as a task's empty output.
    let empty = "$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme.saggar.acme.result.echo.empty";
    let reply = "$JS.API.STREAM.DELETE.SAGGAR_RESULTS_globex";
    acme.client.publish_with_reply(empty, reply, "".into()).await.unwrap();
    eventually("a neighbour's results are deleted", SOON, || async {
        context.get_stream("SAGGAR_RESULTS_globex").await.is_err().then_some(())
    })
    .await;
}
