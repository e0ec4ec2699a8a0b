//! A `saggar` that runs while a test does: its words kept, its end certain.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::lines::Lines;

/// How to start it.
#[derive(Debug, Clone, Default)]
pub struct SpawnOptions {
    /// The arguments.
    pub args: Vec<String>,
    /// Environment variables besides the test's own. `NATS_*` and `SAGGAR_*` of the test's own are not passed on.
    pub env: Vec<(String, String)>,
    /// The directory it works in; without, the test's.
    pub dir: Option<std::path::PathBuf>,
}

/// A running process. Dropped, it is killed; dropped by a panic, it is killed and what it said is printed.
#[derive(Debug)]
pub struct SaggarProcess {
    name: String,
    child: Child,
    stderr: Lines,
    stdout: Lines,
}

impl SaggarProcess {
    /// Starts the binary.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn spawn(binary: &Path, options: SpawnOptions) -> Self {
        let SpawnOptions { args, env, dir } = options;
        let name = format!("{} {}", binary.display(), args.join(" "));
        let mut command = clean(binary);
        command.args(&args).envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(dir) = dir {
            command.current_dir(dir);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{name}: {error}"),
        };
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        Self { name, child, stderr, stdout }
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for a line on standard error or standard output for which `find` has an answer.
    ///
    /// # Panics
    /// It ends, or `within` passes, without such a line; the panic says `what` was awaited.
    pub async fn wait_for_line<T>(
        &self,
        what: &str,
        within: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> T {
        // Whoever of the two has nothing more to say leaves the word to the other.
        let both = async {
            let stderr = self.stderr.find(&find);
            let stdout = self.stdout.find(&find);
            tokio::pin!(stderr, stdout);
            tokio::select! {
                found = &mut stderr => match found {
                    Some(found) => Some(found),
                    None => stdout.await,
                },
                found = &mut stdout => match found {
                    Some(found) => Some(found),
                    None => stderr.await,
                },
            }
        };
        match tokio::time::timeout(within, both).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("{} ended without: {what}", self.name),
            Err(tokio::time::error::Elapsed { .. }) => panic!("{}: not within {within:?}: {what}", self.name),
        }
    }

    /// Waits for a line that holds `text`, and gives the line.
    ///
    /// # Panics
    /// As for [`SaggarProcess::wait_for_line`].
    pub async fn wait_for_text(&self, text: &str, within: Duration) -> String {
        self.wait_for_line(text, within, |line| line.contains(text).then(|| line.to_owned())).await
    }

    /// Waits for a line with an `http://` address, which is how a host says where it answers, and gives the address.
    ///
    /// # Panics
    /// As for [`SaggarProcess::wait_for_line`].
    pub async fn wait_for_url(&self, within: Duration) -> String {
        let url = |line: &str| {
            let start = line.find("http://")?;
            let address = |c: char| c.is_ascii_alphanumeric() || "/:.-_[]".contains(c);
            let rest = &line[start..];
            let end = rest.find(|c| !address(c)).unwrap_or(rest.len());
            Some(rest[..end].trim_end_matches(['/', '.', ':']).to_owned())
        };
        self.wait_for_line("an http:// address", within, url).await
    }

    /// What it has said on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// What it has said on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub async fn kill_9(&mut self) {
        self.child.kill().await.ok();
    }

    /// Asks it to stop, with SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits for its end, however long that takes.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().await;
        status.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Waits for its end, and for the last of what it said.
    ///
    /// # Panics
    /// It still runs when `within` has passed.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        let ended = async {
            let status = self.child.wait().await;
            // A line is read after the process that wrote it is gone, if it wrote it last.
            tokio::join!(self.stderr.find(|_| None::<()>), self.stdout.find(|_| None::<()>));
            status
        };
        match tokio::time::timeout(within, ended).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => panic!("{}: {error}", self.name),
            Err(tokio::time::error::Elapsed { .. }) => panic!("{} still runs after {within:?}", self.name),
        }
    }

    /// Stops it in the middle of whatever it does, until [`SaggarProcess::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for SaggarProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {} said:", self.name);
            for line in self.stderr.all().iter().chain(&self.stdout.all()) {
                eprintln!("{line}");
            }
            eprintln!("----");
        }
    }
}

/// A command that does not know of the NATS or the settings of whoever runs the tests, and that dies with its owner.
pub(crate) fn clean(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let ours = |name: &str| {
            (name.starts_with("NATS_") && name != "NATS_SERVER_BIN") || name.starts_with("SAGGAR_")
        };
        if name.to_str().is_some_and(ours) {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    fn sh(script: &str) -> SaggarProcess {
        let args = vec!["-c".to_owned(), script.to_owned()];
        SaggarProcess::spawn(Path::new("/bin/sh"), SpawnOptions { args, ..SpawnOptions::default() })
    }

    #[tokio::test]
    async fn a_line_is_waited_for_on_both_outputs() {
        let process = sh("echo one; echo two >&2; echo at http://127.0.0.1:7070/; exec sleep 60");
        assert_eq!(process.wait_for_text("two", WITHIN).await, "two");
        assert_eq!(process.wait_for_url(WITHIN).await, "http://127.0.0.1:7070");
        assert_eq!(process.stdout()[0], "one");
    }

    #[tokio::test]
    #[should_panic(expected = "ended without: ready")]
    async fn a_process_that_ends_is_not_waited_for() {
        sh("echo no").wait_for_text("ready", WITHIN).await;
    }

    #[tokio::test]
    async fn a_process_can_be_asked_to_stop_and_be_killed() {
        let mut process = sh("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done");
        process.wait_for_text("up", WITHIN).await;
        process.terminate();
        assert_eq!(process.wait(WITHIN).await.code(), Some(7));
        let mut process = sh("exec sleep 60");
        process.kill_9().await;
        assert!(!process.wait(WITHIN).await.success());
    }
}
