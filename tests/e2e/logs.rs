//! What a task says while it runs, and what is kept of it.

use saggar_harness::{SaggarProcess, SpawnOptions};

use crate::stage::{SOON, Stage, saggar};

#[tokio::test]
async fn what_a_task_says_is_seen_by_who_follows_it() {
    let stage = Stage::new("logs").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["resumes"], "events = true\nretry = { attempts = 1 }").await;
    stage.run(&["queue", "pause", "resumes"]).await.expect_code(0);
    stage.publish("resumes", "a", "2 10").await;
    let args = ["task", "logs", "resumes/a", "--follow"].map(str::to_owned).to_vec();
    let mut following = SaggarProcess::spawn(saggar(), SpawnOptions { args, env: stage.env(), dir: None });
    following.wait_for_text("following", SOON).await;
    stage.run(&["queue", "resume", "resumes"]).await.expect_code(0);
    assert_eq!(following.wait(SOON).await.code(), Some(0));
    let said = following.stdout().join("\n");
    for part in ["attempt 1 started on host-1", " 50% step 1", "100% step 2"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn attack_69_the_last_words_of_a_failure_are_kept_and_cannot_command_the_terminal() {
    let stage = Stage::new("last-words").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["panics"], "retry = { attempts = 1 }").await;
    stage.publish("panics", "a", "\u{1b}[2Jboo").await;
    stage.result("panics", "a").await;
    let kept = stage.run(&["task", "logs", "panics/a"]).await.expect_code(0).text();
    assert!(kept.contains("the glaze cracked") && !kept.contains('\u{1b}'), "{kept}");
    stage.run(&["task", "logs", "panics/a", "--follow"]).await.expect_code(1);
    stage.run(&["task", "logs", "panics/nope", "--follow"]).await.expect_code(66);
    stage.run(&["task", "logs", "panics/nope"]).await.expect_code(66);
    stage.run(&["task", "logs", "panics/a", "--timeout", "1s"]).await.expect_code(2);
}
