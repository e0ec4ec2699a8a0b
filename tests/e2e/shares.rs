//! Tenants that all want more than there is, on a real host: shares by their weights.

use saggar_harness::{eventually, guests};

use crate::stage::{SOON, Stage};

/// Tenants and their weights.
const TENANTS: [(&str, u64); 3] = [("one", 1), ("two", 2), ("four", 4)];

/// Tasks of each, all of a length: until their fuel is spent. More than any has of those that are looked at.
const TASKS: usize = 500;
const SETTINGS: &str = "limits = { fuel = 20_000_000 }\nretry = { attempts = 1 }";

/// So many have ended when it is looked who had how many.
const LOOKED_AT: u64 = 420;

#[tokio::test]
async fn tenants_that_want_more_than_there_is_have_what_their_weights_say() {
    let stage = Stage::new("one").await;
    let component = guests::path("spin").display().to_string();
    for (tenant, weight) in TENANTS {
        let args = ["plugin", "push", &component, "--name", "spin", "--version", "1.0.0", "--tenant", tenant];
        stage.run(&args).await.expect_code(0);
        let text = format!(
            "[tenant]\nname = '{tenant}'\nweight = {weight}\n\
             quota = {{ bytes = '8MiB', results = '64MiB', dead = '8MiB', kv = '2MiB', blobs = '2MiB', \
             checkpoints = '2MiB', payloads = '2MiB' }}\n\
             [[queue]]\nname = 'spin'\nplugin = 'spin@1.0.0'\n{SETTINGS}\n"
        );
        let file = stage.write(&format!("{tenant}.toml"), &text);
        stage.run(&["apply", &file.display().to_string()]).await.expect_code(0);
    }
    // A host makes the streams, and another finds all tasks there when it begins.
    let mut first = stage.host("host-1", "").await;
    eventually("the queues are there", SOON, || async {
        let done = stage.run(&["queue", "ls", "--tenant", "four", "--output", "json"]).await;
        String::from_utf8_lossy(&done.stdout).contains("\"active\"").then_some(())
    })
    .await;
    first.terminate();
    first.wait(SOON).await;
    for (tenant, _) in TENANTS {
        for task in 0..TASKS {
            let subject = format!("saggar.{tenant}.task.spin.t{task}");
            stage.client.publish(subject, "".into()).await.expect("it is sent");
        }
    }
    stage.client.flush().await.expect("it answers");
    let _host = stage.host("host-2", "slots = 16").await;
    let had = eventually("enough has run", SOON, || async {
        let mut had = Vec::new();
        for (tenant, _) in TENANTS {
            had.push(stage.messages(&format!("SAGGAR_RESULTS_{tenant}")).await);
        }
        (had.iter().sum::<u64>() >= LOOKED_AT).then_some(had)
    })
    .await;
    let (all, weights): (u64, u64) = (had.iter().sum(), TENANTS.iter().map(|(_, weight)| weight).sum());
    for ((tenant, weight), had) in TENANTS.iter().zip(&had) {
        let fair = all * weight / weights;
        assert!(had.abs_diff(fair) * 4 <= fair + 8, "{tenant} had {had} of {all}, and should have {fair}");
    }
}
