//! `saggar dev`: everything on this machine, and nothing left of it afterwards.

use saggar_harness::{SaggarProcess, SpawnOptions, guests, run};

use crate::stage::{SOON, saggar};

#[tokio::test]
async fn dev_serves_a_tenant_and_leaves_nothing_behind() {
    let (work, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").display().to_string();
    // The server itself is found where it was found before; only what `dev` makes goes elsewhere.
    let env = vec![("TMPDIR".to_owned(), temporary.path().display().to_string())];
    let options = SpawnOptions { args: vec!["dev".to_owned()], env, dir: Some(work.path().to_owned()) };
    let mut dev = SaggarProcess::spawn(saggar(), options);
    let nats =
        |line: &str| line.split_once("nats://").map(|(_, address)| format!("nats://{}", address.trim()));
    let url = dev.wait_for_line("the address of NATS", SOON, nats).await;
    dev.wait_for_text("Ctrl-C", SOON).await;

    let file = work.path().join("tenant.toml");
    std::fs::write(&file, "[tenant]\nname = 'dev'\n[[queue]]\nname = 'echo'\nplugin = 'echo@1'\n").unwrap();
    let (file, guest) = (file.display().to_string(), guests::path("echo").display().to_string());
    let env = [("NATS_URL", url.as_str()), ("SAGGAR_TENANT", "dev"), ("XDG_CACHE_HOME", cache.as_str())];
    let commands: [&[&str]; 3] = [
        &["plugin", "push", &guest, "--name", "echo", "--version", "1"],
        &["apply", &file],
        &["task", "submit", "echo", "clay", "--wait"],
    ];
    for command in commands {
        let finished = run(saggar(), command, b"", &env).await.expect_code(0);
        assert!(command[0] != "task" || finished.text() == "clay", "{}", finished.text());
    }

    dev.interrupt();
    assert_eq!(dev.wait(SOON).await.code(), Some(0), "{:?}", dev.stderr());
    let address = url.trim_start_matches("nats://");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the server is gone");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!dev.stderr().iter().any(|line| line.contains("WARN")), "{:?}", dev.stderr());
}
