//! The hosts of a campaign: real processes, each with somebody who starts it again when it ends, as an init system
//! would.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use saggar_harness::{SaggarProcess, SpawnOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How soon a host that ended is started again.
const RESTART: Duration = Duration::from_millis(500);

/// How long a host may take to leave: its drain and what follows.
const LEAVE: Duration = Duration::from_mins(1);

/// How often a host that has been started is asked whether it is up.
const LOOK: Duration = Duration::from_millis(50);

/// The exit code of a host that found no NATS when it started.
const NATS_UNAVAILABLE: i32 = 69;

/// What is done to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Kill it, and start it again after this long.
    Kill(Duration),
    /// Stop it with SIGSTOP for this long.
    Freeze(Duration),
    /// Tell it to leave, and start it again when it has.
    Drain,
}

/// What became of a host in all its lives.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// How often it was started.
    pub starts: u32,
    /// How often it ended by itself because there was no NATS when it started.
    pub without_nats: u32,
    /// Ends that should not have been, with its last words.
    pub wrong: Vec<String>,
}

/// How to start one.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The binary.
    pub saggar: PathBuf,
    /// Its name.
    pub name: String,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its environment.
    pub env: Vec<(String, String)>,
}

/// A host that is kept running.
pub struct Host {
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    ready: watch::Receiver<bool>,
    keeper: JoinHandle<(Story, Vec<String>)>,
}

impl Host {
    /// Starts it and keeps it running.
    pub fn keep(options: HostOptions) -> Self {
        let (orders, inbox) = mpsc::channel(1);
        let (said, ready) = watch::channel(false);
        let keeper = Keeper { options, inbox, ready: said, story: Story::default() };
        Self { orders, ready, keeper: tokio::spawn(keeper.run()) }
    }

    /// Does something to it, and waits until that is done.
    pub async fn order(&self, order: Order) {
        let (done, wait) = oneshot::channel();
        if self.orders.send((order, done)).await.is_ok() {
            wait.await.ok();
        }
    }

    /// Waits until it says that it is up.
    pub async fn ready(&self) {
        self.ready.clone().wait_for(|ready| *ready).await.ok();
    }

    /// Lets it leave for good, and gives what became of it and its last words.
    pub async fn leave(self) -> (Story, Vec<String>) {
        drop(self.orders);
        self.keeper.await.unwrap_or_else(|error| {
            let wrong = vec![format!("its keeper broke down: {error}")];
            (Story { wrong, ..Story::default() }, Vec::new())
        })
    }
}

/// The task behind a host.
struct Keeper {
    options: HostOptions,
    inbox: mpsc::Receiver<(Order, oneshot::Sender<()>)>,
    ready: watch::Sender<bool>,
    story: Story,
}

impl Keeper {
    async fn run(mut self) -> (Story, Vec<String>) {
        let mut look = tokio::time::interval(LOOK);
        let mut process = self.start();
        loop {
            let up = *self.ready.borrow();
            tokio::select! {
                status = process.ended() => {
                    self.note_end(status, &process);
                    tokio::time::sleep(RESTART).await;
                    process = self.start();
                }
                order = self.inbox.recv() => {
                    let Some((order, done)) = order else {
                        self.drain(&mut process).await;
                        return (self.story, process.stderr());
                    };
                    process = self.carry_out(order, process).await;
                    done.send(()).ok();
                }
                _ = look.tick(), if !up => {
                    let said = process.stdout().iter().chain(&process.stderr()).any(|line| line.contains("http://"));
                    self.ready.send_replace(said);
                }
            }
        }
    }

    fn start(&mut self) -> SaggarProcess {
        self.story.starts += 1;
        self.ready.send_replace(false);
        let HostOptions { saggar, config, env, .. } = &self.options;
        let args = ["host", "--config", &config.to_string_lossy()].map(str::to_owned).to_vec();
        SaggarProcess::spawn(saggar, SpawnOptions { args, env: env.clone(), dir: None })
    }

    async fn carry_out(&mut self, order: Order, mut process: SaggarProcess) -> SaggarProcess {
        match order {
            Order::Kill(gone) => {
                self.ready.send_replace(false);
                process.kill_9().await;
                tokio::time::sleep(gone).await;
                self.start()
            }
            Order::Freeze(still) => {
                signal(&process, Signal::STOP);
                tokio::time::sleep(still).await;
                signal(&process, Signal::CONT);
                process
            }
            Order::Drain => {
                self.drain(&mut process).await;
                self.start()
            }
        }
    }

    async fn drain(&mut self, process: &mut SaggarProcess) {
        self.ready.send_replace(false);
        process.terminate();
        match tokio::time::timeout(LEAVE, process.ended()).await {
            Ok(status) if status.code() == Some(0) => {}
            // The signal met it before its first line.
            Ok(status) if status.signal() == Some(Signal::TERM.as_raw()) && process.stderr().is_empty() => {}
            Ok(status) => self.note_end(status, process),
            Err(_) => {
                self.story.wrong.push(format!("{} did not leave within {LEAVE:?}", self.options.name));
                process.kill_9().await;
            }
        }
    }

    fn note_end(&mut self, status: ExitStatus, process: &SaggarProcess) {
        if status.code() == Some(NATS_UNAVAILABLE) {
            self.story.without_nats += 1;
            return;
        }
        let words = process.stderr().pop().unwrap_or_default();
        self.story.wrong.push(format!("{} ended with {status}: {words}", self.options.name));
    }
}

fn signal(process: &SaggarProcess, signal: Signal) {
    let pid = process.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, signal).ok();
    }
}
