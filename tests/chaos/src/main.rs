//! `make chaos`: hosts, servers and lines break while tasks run; then it is checked that nothing was lost, doubled or
//! stuck.
//!
//! Independent of what it checks: tasks are published and streams are read with a plain NATS client, and nothing here
//! uses Saggar's own crates, but for the harness that starts processes. Everything comes from the seed: what the tasks
//! do, what breaks, when and for how long.

mod arguments;
mod auditor;
mod campaign;
mod clock;
mod disk;
mod fault;
mod generator;
mod hosts;
mod job;
mod ledger;
mod nemesis;
mod operator;
mod probe;
mod proxy;
mod report;
mod schedule;
mod servers;
mod streams;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::schedule::{Schedule, Step};

/// What a campaign may take beyond its faults, whatever hangs: twice what all its own bounds add up to.
const BEYOND: Duration = Duration::from_mins(30);

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let Arguments { seconds, nodes, rate, .. } = arguments;
    if arguments.list {
        list(&Schedule::of(seed, seconds, nodes));
        return ExitCode::SUCCESS;
    }
    println!("seed {seed}: {seconds} s of faults, {nodes} server(s), {rate} tasks a second");
    let bounded =
        tokio::time::timeout(Duration::from_secs(seconds) + BEYOND, campaign::run(&arguments, seed));
    let report = tokio::select! {
        done = bounded => done.unwrap_or_else(|_| Err(anyhow::anyhow!("the campaign hangs"))),
        () = interrupted() => {
            eprintln!("\ninterrupted; everything is stopped");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match report {
        Ok(report) => {
            print!("{report}");
            let objections = report.objections();
            if objections.is_empty() {
                println!("seed {seed}: nothing was lost, doubled or stuck");
                return ExitCode::SUCCESS;
            }
            println!("\nNot as it should be:");
            objections.iter().for_each(|objection| println!("  {objection}"));
            again(&arguments, seed);
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("\nThe campaign could not be finished: {error:#}");
            again(&arguments, seed);
            ExitCode::FAILURE
        }
    }
}

/// Says how the same can be seen again, and what was kept of it.
fn again(arguments: &Arguments, seed: u64) {
    let Arguments { seconds, nodes, .. } = arguments;
    println!("\nOnce more: make chaos SECONDS={seconds} SEED={seed} NODES={nodes}");
    println!("What was submitted, broken and said: target/chaos");
}

fn list(schedule: &Schedule) {
    for (lane, steps) in [("hosts", &schedule.hosts), ("wires", &schedule.wires)] {
        for Step { after, fault, lasts } in steps {
            println!(
                "{lane}  {:5.1} s later, for {:4.1} s: {fault}",
                after.as_secs_f64(),
                lasts.as_secs_f64()
            );
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
