//! The README's commands, run as they stand there, with the output that stands below them.
//!
//! A line `...` stands for any lines, `[..]` for any text; white space does not count, because a terminal breaks
//! lines where a pipe does not. `make test` is left out: it is what runs this.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use saggar_harness::{LocalServer, StartOptions, now_or_panic};
use tokio::process::Command;

/// Longer than the longest of them takes, the demonstration with everything built.
const WITHIN: Duration = Duration::from_mins(10);

/// A command and the output that the README promises.
struct Shown {
    command: String,
    output: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The fenced blocks of a kind.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn shown(text: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for line in blocks(text, "console").iter().flat_map(|block| block.lines()) {
        if let Some(command) = line.strip_prefix("$ ") {
            shown.push(Shown { command: command.to_owned(), output: String::new() });
        } else if let Some(last) = shown.last_mut() {
            last.output += if line == "..." { "[..]" } else { line };
        }
    }
    shown
}

/// Whether `text` is what `pattern` promises.
fn fits(pattern: &str, text: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let (pattern, text) = (bare(pattern), bare(text));
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[test]
fn what_a_pattern_leaves_open_may_be_anything() {
    assert!(fits("fuel[..]·in15B", "fuel 4,695 · in 15 B"));
    assert!(fits("a[..]", "a") && fits("[..]z", "z") && fits("a[..]c[..]e", "abcde"));
    assert!(!fits("a", "ab") && !fits("a[..]c", "abd") && !fits("a[..]c[..]b", "abc"));
}

#[tokio::test]
async fn the_commands_of_the_readme_do_what_it_says() {
    const MARK: &str = "@@ command ";
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let shown = shown(&readme);
    assert!(shown.len() > 10, "the README shows commands");
    let server = LocalServer::start(StartOptions::default()).await.expect("a nats-server starts");
    // A folder that looks like the repository, so that what the commands write does not end up in it.
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    // Job control, for `%1`; at the end nothing is left running.
    let mut script = String::from("set -m\ntrap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\nexec 2>&1\n");
    for (n, Shown { command, .. }) in shown.iter().enumerate() {
        script += &format!("printf '\\n{MARK}{n}\\n'\n{command}\n");
    }
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(&script).current_dir(folder.path()).kill_on_drop(true);
    bash.env("NATS_URL", server.url()).env("SAGGAR_ADMIN__LISTEN", "127.0.0.1:0");
    bash.env("SAGGAR_HOST__NAME", "readme").env("LC_ALL", "C.UTF-8").env_remove("SAGGAR_TENANT");
    let output = bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = now_or_panic("the commands end", WITHIN, output).await.expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout);
    for (n, Shown { command, output }) in shown.iter().enumerate() {
        let start = format!("{MARK}{n}\n");
        let answer =
            said.split(&start).nth(1).unwrap_or_else(|| panic!("`{command}` was not reached:\n{said}"));
        let answer = answer.split(MARK).next().unwrap_or_default().trim();
        assert!(fits(output, answer), "$ {command}\npromised:\n{output}\nsaid:\n{answer}\nall:\n{said}");
    }
}

#[tokio::test]
async fn the_demonstration_ends_by_itself_with_everything_as_it_should_be() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let commands = blocks(&readme, "sh").concat();
    let words: Vec<_> =
        commands.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(words, ["make demo", "make test"], "a command that no test runs");
    let mut make = Command::new("make");
    make.arg("demo").current_dir(root()).kill_on_drop(true);
    let output =
        now_or_panic("the demonstration ends", WITHIN, make.stdin(Stdio::null()).output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for outcome in ["out-of-fuel", "out-of-memory", "trapped", "timed-out"] {
        assert!(said.contains(outcome), "{outcome} in {said}");
    }
}
