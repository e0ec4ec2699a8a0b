//! What a tenant does with an account of its own: all that a publisher needs.

use saggar_harness::eventually;

use crate::house::{HOSTS, House, MODES, Mode};
use crate::stage::SOON;

#[tokio::test]
async fn a_tenant_submits_waits_reads_follows_and_cancels_with_its_own_credentials() {
    for mode in MODES {
        let house = House::new(mode, &["acme", "globex"]).await;
        let _host = house.host().await;
        let once = "retry = { attempts = 1 }";
        let large = "limits = { output = '4MiB' }";
        house.apply("acme", "", &[("echo", large), ("sleeps", once), ("fails", once)]).await;
        let acme = async |args: &[&str], code| house.run("acme", args).await.expect_code(code);

        assert_eq!(acme(&["task", "submit", "echo", "clay", "--wait"], 0).await.text().trim(), "clay");
        let named = acme(&["task", "submit", "echo", "clay", "--message-id", "m"], 0).await.text();
        let again = acme(&["task", "submit", "echo", "clay", "--message-id", "m"], 0).await.text();
        assert!(named.starts_with("echo/msg-") && named == again, "{named} {again}");
        acme(&["task", "wait", named.trim()], 0).await;
        acme(&["task", "get", "echo/nobody"], 66).await;
        let unknown = acme(&["task", "submit", "no-such-queue", "clay"], 66).await;
        assert!(unknown.stderr.contains("no queue no-such-queue"), "{}", unknown.stderr);

        // Part by part, both ways.
        let file = house.dir.path().join("large");
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(&file, &content).unwrap();
        let file = file.display().to_string();
        let whole = acme(&["task", "submit", "echo", "--file", &file, "--wait"], 0).await;
        assert!(whole.stdout == content, "{} bytes of {}", whole.stdout.len(), content.len());

        acme(&["task", "submit", "sleeps", "60000", "--id", "long", "--unique"], 0).await;
        acme(&["task", "submit", "sleeps", "60000", "--id", "long", "--unique"], 64).await;
        eventually("a host has it", SOON, || async {
            let found = house.json("acme", &["task", "get", "sleeps/long"]).await;
            (found["state"] == "running").then_some(())
        })
        .await;
        acme(&["task", "cancel", "sleeps/long"], 0).await;
        let ended = acme(&["task", "logs", "sleeps/long", "--follow"], 1).await;
        assert!(ended.stderr.contains("cancelled"), "{}", ended.stderr);

        acme(&["task", "submit", "fails", "reject", "--id", "sand", "--wait"], 1).await;
        let dead = house.json("acme", &["dead", "ls"]).await;
        assert_eq!(
            (&dead["rows"][0]["task"], &dead["rows"][1]),
            (&"fails/sand".into(), &serde_json::Value::Null)
        );
        assert!(acme(&["dead", "show", "fails/sand"], 0).await.text().contains("this clay is sand"));
        let results = house.json("acme", &["task", "ls", "--results"]).await;
        assert_eq!(results["rows"].as_array().map(Vec::len), Some(5), "{results}");
    }
}

#[tokio::test]
async fn attack_76b_a_result_goes_to_the_tenants_own_reply_subject_and_to_no_other() {
    use futures::StreamExt as _;
    let house = House::new(Mode::File, &["acme", "globex"]).await;
    let _host = house.host().await;
    house.apply("acme", "", &[("echo", "")]).await;
    let acme = house.client("acme").await;
    let mut replies = acme.client.subscribe("saggar.acme.reply.>").await.unwrap();
    let submit = async |id: &str, reply: &str, code| {
        let header = format!("Saggar-Reply-To: {reply}");
        let args = ["task", "submit", "echo", "clay", "--id", id, "-H", &header, "--wait"];
        house.run("acme", &args).await.expect_code(code)
    };
    submit("good", "saggar.acme.reply.7", 0).await;
    let reply = saggar_harness::now_or_panic("the reply", SOON, replies.next()).await.unwrap();
    assert_eq!((reply.subject.as_str(), &reply.payload[..]), ("saggar.acme.reply.7", &b"clay"[..]));
    for (n, elsewhere) in
        ["saggar.globex.reply.7", "saggar.acme.result.echo.x", "_INBOX.x", "$JS.API.STREAM.DELETE.X"]
            .iter()
            .enumerate()
    {
        let refused = submit(&format!("bad-{n}"), elsewhere, 1).await;
        assert!(refused.stderr.contains("invalid"), "{elsewhere}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn attack_76c_names_that_are_none_do_not_cost_the_hosts_their_connection() {
    let house = House::new(Mode::File, &["acme", "globex"]).await;
    let _host = house.host().await;
    house.apply("acme", "", &[("echo", "")]).await;
    let acme = house.client("acme").await;
    for id in ["x".repeat(3500), "größe".to_owned(), "seq-1-1".to_owned()] {
        let stored = acme.ask(&format!("saggar.acme.task.echo.{id}"), "clay").await.expect("it is stored");
        assert!(stored.payload.starts_with(b"{\"stream\""), "{stored:?}");
    }
    house.run("acme", &["task", "submit", "echo", "clay", "--wait"]).await.expect_code(0);
    eventually("all three are dead letters", SOON, || async {
        let dead = house.json("acme", &["dead", "ls"]).await;
        let rows = dead["rows"].as_array()?.clone();
        (rows.len() == 3).then_some(())
    })
    .await;
    assert_eq!(house.streams("TASKS_acme").await[0].1, 0);
    house.run(HOSTS, &["host", "ls"]).await.expect_code(0);
}

#[tokio::test]
async fn attack_86_a_directory_of_credentials_is_made_once_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display().to_string();
    let creds = async |args: &[&str]| {
        let args: Vec<&str> =
            ["tenant", "creds", "--out", &out].into_iter().chain(args.iter().copied()).collect();
        saggar_harness::run(crate::stage::saggar(), &args, b"", &[]).await
    };
    creds(&[]).await.expect_code(2);
    let first = creds(&["acme"]).await.expect_code(0);
    let seed = std::fs::read_to_string(dir.path().join("tenants/acme.nk")).unwrap();
    assert!(!first.text().contains(seed.trim()) && !first.stderr.contains(seed.trim()));
    let second = creds(&["globex", "--jwt"]).await.expect_code(0);
    assert!(second.text().contains("acme.creds"), "who has a key stays: {}", second.text());
    assert_eq!(std::fs::read_to_string(dir.path().join("tenants/acme.nk")).unwrap(), seed);
    creds(&["Acme"]).await.expect_code(2);
    creds(&["../acme"]).await.expect_code(2);
}

#[tokio::test]
async fn a_tenant_is_added_while_the_server_runs() {
    for mode in MODES {
        let house = House::new(mode, &["acme"]).await;
        let _host = house.host().await;
        house.apply("acme", "", &[("echo", "")]).await;
        house.add("globex").await;
        house.apply("globex", "", &[("echo", "")]).await;
        for tenant in ["acme", "globex"] {
            let done = house.run(tenant, &["task", "submit", "echo", tenant, "--wait"]).await.expect_code(0);
            assert_eq!(done.text().trim(), tenant, "{mode:?}");
        }
    }
}
