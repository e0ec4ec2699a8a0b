//! A command that is started, given its input, and waited for.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::process::clean;

/// Longer than any command that is not stuck.
const WITHIN: Duration = Duration::from_mins(2);

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself, for going on with.
    ///
    /// # Panics
    /// It did not end with this code; the panic shows what it said.
    #[expect(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "checking is its use")]
    pub fn expect_code(self, code: i32) -> Self {
        let Self { stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "standard error:\n{stderr}\nstandard output:\n{}", self.text());
        self
    }
}

/// Runs a command to its end. `NATS_*` and `SAGGAR_*` variables of the test's own are not passed on, `env` is.
///
/// # Panics
/// It cannot be started, or does not end within two minutes.
pub async fn run(binary: &Path, args: &[&str], stdin: &[u8], env: &[(&str, &str)]) -> Finished {
    let name = format!("{} {}", binary.display(), args.join(" "));
    let mut command = clean(binary);
    command.args(args).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("{name}: {error}"),
    };
    let mut input = child.stdin.take().expect("it is piped");
    let input = async move {
        // A command may end without reading its input.
        input.write_all(stdin).await.ok();
    };
    let finishing = async { tokio::join!(input, child.wait_with_output()).1 };
    match tokio::time::timeout(WITHIN, finishing).await {
        Ok(Ok(output)) => Finished {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Ok(Err(error)) => panic!("{name}: {error}"),
        Err(tokio::time::error::Elapsed { .. }) => panic!("{name} still runs after {WITHIN:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gets_its_input_and_gives_its_output() {
        let script = "cat; echo $SAGGAR_X >&2; exit 3";
        let sh = Path::new("/bin/sh");
        let done = run(sh, &["-c", script], b"in", &[("SAGGAR_X", "y")]).await.expect_code(3);
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in", "y\n"));
    }
}
