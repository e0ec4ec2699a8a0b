//! What a tenant with an account of its own tries against its neighbours and the hosts, and what comes of it: nothing.
//!
//! Everything is tried on a server that has its accounts from a file, and on one that has them from an operator.

use async_nats::{ConnectOptions, HeaderMap};
use futures::{FutureExt as _, StreamExt as _};
use saggar_harness::{SaggarProcess, StartOptions};

use crate::house::{Guest, HOSTS, House, MODES, Mode, connect};

/// A house with two tenants that have a queue `echo` each, and a host.
async fn neighbours(mode: Mode) -> (House, SaggarProcess) {
    with_neighbours(House::new(mode, &["acme", "globex"]).await).await
}

async fn with_neighbours(house: House) -> (House, SaggarProcess) {
    let host = house.host().await;
    for tenant in ["acme", "globex"] {
        house.apply(tenant, "", &[("echo", "")]).await;
        house
            .run(tenant, &["task", "submit", "echo", "clay", "--id", "first", "--wait"])
            .await
            .expect_code(0);
    }
    (house, host)
}

/// What is not acme's, though acme may know what it is called.
const FORBIDDEN: [&str; 17] = [
    "saggar.globex.task.echo.forged",
    "saggar.globex.result.echo.first",
    "saggar.globex.result.echo.forged",
    "saggar.globex.dead.echo.forged",
    "saggar.globex.event.echo.first.log",
    "saggar.globex.reply.forged",
    "saggar.globex.control.cancel.echo.first",
    "saggar.state.globex.echo.1",
    "saggar-hosts.cancelled",
    "saggar-hosts.drain.host-1",
    "saggar-hosts.pulse",
    "$KV.saggar_tenants.globex",
    "$JS.API.STREAM.DELETE.SAGGAR_RESULTS_globex",
    "$JS.API.STREAM.PURGE.SAGGAR_TASKS_acme",
    "$JS.API.STREAM.MSG.DELETE.SAGGAR_TASKS_globex",
    "$JS.ACK.SAGGAR_TASKS_globex.echo.1.1.1.1.0",
    "$JS.API.CONSUMER.MSG.NEXT.SAGGAR_TASKS_globex.echo",
];

/// What must stay as it is while acme tries: the neighbour's streams and buckets, and the hosts' own.
async fn untouched(house: &House) -> Vec<(String, u64, u64)> {
    let mut streams = house.streams("globex").await;
    streams.extend(house.streams("KV_saggar_tenants").await);
    streams.extend(house.streams("OBJ_saggar_plugins").await);
    streams
}

/// Hears whatever arrives where only the neighbour and the hosts should be heard.
async fn listen(house: &House) -> (Guest, impl futures::Stream<Item = async_nats::Message> + Unpin) {
    let hosts = house.client(HOSTS).await;
    let mut heard = Vec::new();
    for subject in
        ["saggar.globex.>", "saggar-hosts.>", "$KV.saggar_tenants.>", "$JS.API.STREAM.>", "$JS.ACK.>"]
    {
        heard.push(hosts.client.subscribe(subject).await.unwrap());
    }
    // Its subscriptions have arrived when this is answered.
    hosts.ask("$JS.API.INFO", "").await.expect("the hosts have JetStream");
    (hosts, futures::stream::select_all(heard))
}

/// Nothing was heard that a tenant has sent.
fn nothing_of(marks: &[&str], heard: &mut (impl futures::Stream<Item = async_nats::Message> + Unpin)) {
    while let Some(Some(message)) = heard.next().now_or_never() {
        let text = String::from_utf8_lossy(&message.payload);
        let subject = message.subject.as_str();
        let forged = FORBIDDEN.contains(&subject) || marks.iter().any(|mark| text.contains(mark));
        assert!(!forged, "{subject}: {text}");
    }
}

#[tokio::test]
async fn attack_71_and_74_publishing_to_what_is_anothers_is_refused_at_once_and_arrives_nowhere() {
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let before = untouched(&house).await;
        let (_hosts, mut heard) = listen(&house).await;
        let mut acme = house.client("acme").await;
        for subject in FORBIDDEN {
            acme.client.publish(subject, "forged".into()).await.unwrap();
            acme.is_denied(subject).await;
        }
        acme.settled("acme", "echo").await;
        nothing_of(&["forged"], &mut heard);
        assert_eq!(untouched(&house).await, before, "{mode:?}");
    }
}

#[tokio::test]
async fn attack_71_a_command_about_another_tenant_is_denied_and_says_what_is_not_allowed() {
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let denied = async |args: &[&str], part: &str| {
            let done = house.run("acme", args).await.expect_code(77);
            assert!(
                done.stderr.contains("may not") && done.stderr.contains(part),
                "{args:?}: {}",
                done.stderr
            );
        };
        denied(&["task", "submit", "echo", "x", "--tenant", "globex"], "saggar.globex.task.echo").await;
        denied(&["task", "get", "echo/first", "--tenant", "globex"], "SAGGAR_RESULTS_globex").await;
        denied(&["task", "wait", "echo/first", "--tenant", "globex"], "SAGGAR_RESULTS_globex").await;
        denied(&["task", "logs", "echo/first", "--follow", "--tenant", "globex"], "globex").await;
        denied(&["task", "cancel", "echo/first", "--tenant", "globex"], "saggar.globex.control.cancel").await;
        denied(&["dead", "ls", "--tenant", "globex"], "SAGGAR_DEAD_globex").await;
        // And what of its own it may not do.
        denied(&["queue", "pause", "echo"], "$JS.API").await;
        denied(&["task", "submit", "echo", "x", "--in", "1h"], "$JS.API").await;
        denied(&["tenant", "ls"], "$JS.API").await;
        denied(&["host", "ls"], "$JS.API").await;
    }
}

#[tokio::test]
async fn attack_72_one_message_id_in_two_tenants_is_two_tasks() {
    let (house, _host) = neighbours(Mode::File).await;
    for tenant in ["acme", "globex"] {
        let args = ["task", "submit", "echo", tenant, "--message-id", "order-1", "--wait"];
        assert_eq!(house.run(tenant, &args).await.expect_code(0).text().trim(), tenant);
    }
}

#[tokio::test]
async fn attack_73_headers_that_command_the_server_have_no_effect_on_a_neighbour() {
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let before = untouched(&house).await;
        let (_hosts, mut heard) = listen(&house).await;
        let acme = house.client("acme").await;
        for (name, value) in [
            ("Nats-Rollup", "all"),
            ("Nats-TTL", "1s"),
            ("Nats-Schedule", "@every 1s"),
            ("Nats-Schedule-Target", "saggar.globex.task.echo.forged"),
            ("Nats-Trace-Dest", "saggar.globex.task.echo.forged"),
            ("Nats-Expected-Stream", "SAGGAR_TASKS_globex"),
            ("Nats-Batch-Id", "forged"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            headers.insert("X-Large", "x".repeat(4096));
            let subject = "saggar.acme.task.echo.trick";
            acme.client.publish_with_headers(subject, headers, "forged".into()).await.unwrap();
        }
        acme.settled("acme", "echo").await;
        nothing_of(&["forged"], &mut heard);
        assert_eq!(untouched(&house).await, before, "{mode:?}");
    }
}

#[tokio::test]
async fn attack_75_what_others_hear_and_keep_is_neither_heard_nor_read() {
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let mut acme = house.client("acme").await;
        let mut heard = Vec::new();
        for subject in [
            ">",
            "saggar.>",
            "saggar.*.result.>",
            "saggar.globex.result.>",
            "saggar.globex.event.>",
            "saggar.globex.reply.>",
            "saggar.globex.task.>",
            "_INBOX_saggar_0.>",
            "_R_.>",
            "$KV.>",
        ] {
            heard.push(acme.client.subscribe(subject).await.unwrap());
            acme.is_denied(subject).await;
        }
        // Nor can it take the requests that hosts answer, its own included.
        for subject in ["saggar.acme.control.>", "saggar.acme.task.>", "saggar.globex.control.>"] {
            heard.push(acme.client.queue_subscribe(subject, "saggar-hosts".to_owned()).await.unwrap());
            acme.is_denied(subject).await;
        }
        // An inbox of another account is a word and no more.
        heard.push(acme.client.subscribe("_INBOX.>").await.unwrap());
        for stream in
            ["SAGGAR_RESULTS_globex", "SAGGAR_DEAD_globex", "SAGGAR_TASKS_acme", "KV_saggar_tenants"]
        {
            let subject = format!("$JS.API.DIRECT.GET.{stream}");
            acme.client.publish(subject.clone(), "{\"seq\":1}".into()).await.unwrap();
            acme.is_denied(&subject).await;
        }
        house.run("globex", &["task", "submit", "echo", "secret", "--wait"]).await.expect_code(0);
        acme.settled("acme", "echo").await;
        while let Some(Some(message)) = futures::stream::select_all(&mut heard).next().now_or_never() {
            let ours = message.subject.starts_with("_INBOX.");
            assert!(ours && !message.payload.windows(6).any(|part| part == b"secret"), "{message:?}");
        }
    }
}

/// Asks for everything that a tenant may ask for, and has it answered to where it may not publish.
async fn trick(guest: &Guest) {
    let cancel = "saggar.acme.control.cancel.echo.nobody";
    let last = "$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme.saggar.acme.result.echo.first";
    for (n, reply) in FORBIDDEN.into_iter().enumerate() {
        let task = format!("saggar.acme.task.echo.trick-{n}");
        for (subject, payload) in [
            (task.as_str(), "forged"),
            ("saggar.acme.task.no-such-queue", "forged"),
            (cancel, ""),
            ("saggar.acme.control.state.echo.nobody", ""),
            ("saggar.acme.control.blob", "forged"),
            (last, ""),
            ("$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme", "{\"seq\":1,\"next_by_subj\":\">\",\"batch\":8}"),
            ("$JS.API.DIRECT.GET.SAGGAR_DEAD_acme", "{\"seq\":1}"),
        ] {
            let sent = guest.client.publish_with_reply(subject.to_owned(), reply, payload.into());
            sent.await.expect("it is connected");
        }
    }
    guest.settled("acme", "echo").await;
}

#[tokio::test]
async fn attack_75b_answers_to_subjects_of_others_arrive_nowhere() {
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let before = untouched(&house).await;
        let (_hosts, mut heard) = listen(&house).await;
        trick(&house.client("acme").await).await;
        // The hosts are there, and the neighbour is served as before.
        house.run("globex", &["task", "get", "echo/first"]).await.expect_code(0);
        nothing_of(&["forged", "SAGGAR_TASKS_acme", "clay"], &mut heard);
        assert_eq!(untouched(&house).await, before, "{mode:?}");
    }
}

#[tokio::test]
async fn attack_75b_it_is_the_account_that_holds_and_not_the_permissions() {
    // A user of the tenant's account who may do everything in it.
    let change = |configuration: String| {
        let user = "users: [ { user: root, password: r, permissions: { publish: \">\", subscribe: \">\" } }";
        let (before, acme) = configuration.split_once("\"SAGGAR_acme\" {").expect("there is an account");
        format!("{before}\"SAGGAR_acme\" {{{}", acme.replacen("users: [", &format!("{user},"), 1))
    };
    let house = House::with(Mode::File, &["acme", "globex"], StartOptions::default(), change).await;
    let (house, _host) = with_neighbours(house).await;
    let before = untouched(&house).await;
    let (_hosts, mut heard) = listen(&house).await;
    let options = ConnectOptions::with_user_and_password("root".into(), "r".into());
    let root = connect(options, &house.server.url()).await;
    for subject in FORBIDDEN {
        root.client.publish(subject, "forged".into()).await.unwrap();
    }
    for subject in
        ["$SYS.REQ.ACCOUNT.SAGGAR.CONNZ", "$SYS.REQ.SERVER.PING", "$JS.API.STREAM.INFO.SAGGAR_TASKS_acme"]
    {
        let answer = root.ask(subject, "").await;
        let text = answer.map(|answer| String::from_utf8_lossy(&answer.payload).into_owned());
        assert!(
            text.as_deref().is_none_or(|text| text.contains("not enabled for account")),
            "{subject}: {text:?}"
        );
    }
    // In its own account it hears its own, and answers nobody's requests but its own.
    let mut all = root.client.subscribe(">").await.unwrap();
    let mut control =
        root.client.queue_subscribe("saggar.*.control.>", "saggar-hosts".to_owned()).await.unwrap();
    trick(&root).await;
    assert_eq!(untouched(&house).await, before);
    house.run("globex", &["task", "submit", "echo", "secret", "--wait"]).await.expect_code(0);
    // A host says so, and not whoever listens as if it were one.
    house.run("globex", &["task", "cancel", "echo/nobody"]).await.expect_code(66);
    root.settled("acme", "echo").await;
    while let Some(Some(message)) = futures::stream::select(&mut all, &mut control).next().now_or_never() {
        let text = String::from_utf8_lossy(&message.payload);
        assert!(!text.contains("secret"), "{message:?}");
    }
    nothing_of(&["forged", "SAGGAR_TASKS_acme", "clay"], &mut heard);
}

#[tokio::test]
async fn attack_79_a_full_tenant_is_refused_and_its_neighbour_is_not() {
    let house = House::new(Mode::File, &["acme", "globex"]).await;
    let _host = house.host().await;
    house.apply("acme", "quota = { tasks = 2 }", &[("sleeps", "concurrency = 1")]).await;
    house.apply("globex", "", &[("echo", "")]).await;
    for id in ["a", "b"] {
        house.run("acme", &["task", "submit", "sleeps", "60000", "--id", id]).await.expect_code(0);
    }
    let full = house.run("acme", &["task", "submit", "sleeps", "60000"]).await.expect_code(77);
    assert!(full.stderr.contains("as its quota allows"), "{}", full.stderr);
    house.run("globex", &["task", "submit", "echo", "clay", "--wait"]).await.expect_code(0);
}
