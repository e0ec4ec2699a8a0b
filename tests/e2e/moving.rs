//! Tenants that shared the server's one account get accounts of their own, and keep what they have.

use saggar_harness::LocalServer;
use saggar_harness::StartOptions;

use crate::house::{HOSTS, House, Mode};
use crate::stage::Stage;

#[tokio::test]
async fn a_tenant_that_gets_an_account_of_its_own_keeps_its_tasks_results_and_dead_letters() {
    let store = tempfile::tempdir().unwrap();
    let options = || StartOptions { store_dir: Some(store.path().to_owned()), ..StartOptions::default() };
    let server = LocalServer::start(options()).await.unwrap();
    let mut stage = Stage::on("acme", server).await;
    let mut host = stage.host("host-1", "").await;
    stage.apply(&["echo", "fails"], "retry = { attempts = 1 }").await;
    stage.run(&["task", "submit", "echo", "clay", "--id", "before", "--wait"]).await.expect_code(0);
    stage.run(&["task", "submit", "fails", "reject", "--id", "sand", "--wait"]).await.expect_code(1);
    host.terminate();
    assert!(host.wait(crate::stage::SOON).await.success());
    stage.run(&["task", "submit", "echo", "loam", "--id", "queued"]).await.expect_code(0);
    stage.server.stop().await;

    // What the default account has becomes the hosts' account's.
    let accounts = store.path().join("jetstream");
    std::fs::rename(accounts.join("$G"), accounts.join("SAGGAR")).unwrap();
    let house = House::with(Mode::File, &["acme"], options(), |configuration| configuration).await;
    let kept = house.json("acme", &["task", "get", "echo/before"]).await;
    assert_eq!((&kept["outcome"], &kept["output"]), (&"succeeded".into(), &"clay".into()));
    let dead = house.json("acme", &["dead", "ls"]).await;
    assert_eq!(dead["rows"][0]["task"], "fails/sand");
    let _host = house.host().await;
    let ran = house.run("acme", &["task", "wait", "echo/queued"]).await.expect_code(0);
    assert_eq!(ran.text().trim(), "loam");
    house.run("acme", &["task", "submit", "echo", "clay", "--id", "after", "--wait"]).await.expect_code(0);
    house.run(HOSTS, &["dead", "redrive", "fails/sand", "--tenant", "acme"]).await.expect_code(0);
}
