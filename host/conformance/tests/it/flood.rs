//! What those who watch get to see of a flood.

use std::sync::Arc;

use saggar_model::Outcome;
use saggar_sandbox::Options;

use crate::stage::{Recorder, attack, run, sandbox};

/// The longest line that is passed on, and half a character.
const LINE: usize = 4096 + 3;

#[tokio::test]
async fn attack_65_a_flood_of_text_is_cut_with_a_marker_and_the_task_goes_on() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    for id in ["65-stdout-flood", "65b-log-flood"] {
        let (attack, recorder) = (attack(id), Arc::new(Recorder::default()));
        let attempt = run(&sandbox, &attack, recorder.clone()).await;
        assert_eq!(attempt.ending.outcome(), Outcome::Succeeded, "{id}");
        assert_eq!(attempt.usage.log_bytes, 1 << 30, "{id}: all that was written is counted");
        let lines = recorder.lines();
        let (marker, kept) = lines.split_last().expect("something was kept");
        assert!(marker.contains("is spent"), "{id}: {marker}");
        let bytes: u64 = kept.iter().map(|line| line.len() as u64).sum();
        assert!((1..=attack.limits.log).contains(&bytes), "{id}: {bytes} bytes");
        assert!(kept.iter().all(|line| line.len() <= LINE), "{id}");
    }
}

#[tokio::test]
async fn attack_66_a_line_without_end_is_passed_on_in_pieces() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let recorder = Arc::new(Recorder::default());
    let attempt = run(&sandbox, &attack("66-endless-line"), recorder.clone()).await;
    assert_eq!(attempt.ending.outcome(), Outcome::Succeeded);
    let lines = recorder.lines();
    assert!(lines.len() > 10 && lines.iter().all(|line| line.len() <= LINE), "{} lines", lines.len());
    assert!(!lines.concat().contains('\u{fffd}'), "no character is torn apart");
}

#[tokio::test]
async fn attack_68_of_a_flood_of_reports_a_few_are_passed_on() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let recorder = Arc::new(Recorder::default());
    let attempt = run(&sandbox, &attack("68-progress-flood"), recorder.clone()).await;
    assert_eq!(attempt.ending.outcome(), Outcome::Succeeded);
    let seconds = usize::try_from(attempt.usage.duration.as_secs()).expect("it was not that long");
    assert!((1..=seconds + 2).contains(&recorder.reports()), "{} reports", recorder.reports());
}
