//! What was submitted, and what NATS said about it: a file, written as it happens.
//!
//! A task counts as acknowledged when a server said that it is stored. About a task that nobody answered for, nothing
//! can be said: it may run or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What NATS said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The task is stored.
    Acknowledged,
    /// Nothing.
    Unknown,
}

impl Said {
    const fn word(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Unknown => "unknown",
        }
    }
}

/// Takes entries and writes them, until all handles are dropped.
#[derive(Debug, Clone)]
pub struct Ledger(mpsc::UnboundedSender<(u64, Said)>);

/// The task that writes.
#[derive(Debug)]
pub struct Writing {
    path: PathBuf,
    task: JoinHandle<std::io::Result<()>>,
}

impl Ledger {
    /// Begins a file.
    pub fn begin(path: &Path) -> anyhow::Result<(Self, Writing)> {
        let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
        // Entries are bounded by the tasks on their way, which are few.
        let (sender, mut entries) = mpsc::unbounded_channel::<(u64, Said)>();
        let task = tokio::spawn(async move {
            while let Some((number, said)) = entries.recv().await {
                writeln!(file, "{number} {}", said.word())?;
            }
            file.flush()
        });
        Ok((Self(sender), Writing { path: path.to_owned(), task }))
    }

    /// Writes an entry.
    pub fn note(&self, number: u64, said: Said) {
        self.0.send((number, said)).ok();
    }
}

impl Writing {
    /// Waits for the last entry, which there is when all ledgers are dropped, and reads the file.
    pub async fn read(self) -> anyhow::Result<BTreeMap<u64, Said>> {
        self.task.await??;
        read(&self.path)
    }
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<u64, Said>> {
    let mut entries = BTreeMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        let (number, word) = line.split_once(' ').with_context(|| format!("in the ledger: {line}"))?;
        let said = [Said::Acknowledged, Said::Unknown].into_iter().find(|said| said.word() == word);
        let said = said.with_context(|| format!("in the ledger: {line}"))?;
        entries.insert(number.parse().with_context(|| format!("in the ledger: {line}"))?, said);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, writing) = Ledger::begin(&directory.path().join("ledger")).unwrap();
        ledger.note(1, Said::Unknown);
        ledger.note(0, Said::Acknowledged);
        drop(ledger);
        assert_eq!(writing.read().await.unwrap(), [(0, Said::Acknowledged), (1, Said::Unknown)].into());
    }
}
