//! `make demo`: one server, one host, two tenants, a few hundred tasks and four that mean harm; then what came of it.
//!
//! Everything that a publisher does here goes through a plain NATS client, everything that an operator does through
//! the `saggar` command. What is shown is also checked: anything unexpected is listed, and the exit code is 1.

mod acts;
mod answer;
mod check;
mod client;
mod dice;
mod job;
mod orders;
mod pictures;
mod progress;
mod quantile;
mod report;
mod stage;
mod table;
mod thumbnails;

use std::process::ExitCode;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let shown = tokio::select! {
        shown = demonstrate() => shown,
        () = interrupted() => {
            eprintln!("\ninterrupted; everything is stopped");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match shown {
        Ok(objections) if objections.is_empty() => ExitCode::SUCCESS,
        Ok(objections) => {
            println!("\nNot as it should be:");
            objections.iter().for_each(|objection| println!("  {objection}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\nThe demonstration could not be finished: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    let mut terminated = signal(SignalKind::terminate()).expect("the runtime handles signals");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

/// Sets the stage, plays, and clears it. The values are what was not as it should be.
async fn demonstrate() -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    let stage = Stage::set().await?;
    let played = acts::play(&stage).await;
    // Also after a failure: the host's log is part of what explains it.
    let cleared = stage.clear(played.is_err()).await;
    let objections = played?;
    cleared?;
    if objections.is_empty() {
        println!(
            "\nEverything ended as it should, and everything is stopped ({:.1} s).",
            began.elapsed().as_secs_f64()
        );
    }
    Ok(objections)
}
