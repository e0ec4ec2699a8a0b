//! A disk that is small enough to be filled: a tmpfs of our own, where we may mount one.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Room beside what the tasks take: streams begin with files of some megabytes.
const BASE_BYTES: u64 = 512 << 20;

/// What a task leaves behind, generously: its result, an effect or a dead letter, and the server's indexes.
const TASK_BYTES: u64 = 2_048;

/// What the ballast is written in.
const PIECE: usize = 1 << 20;

/// The tmpfs; unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    directory: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one with room for so many tasks; nothing where that is not allowed.
    pub fn mount(tasks: u64) -> Option<Self> {
        let parent = tempfile::Builder::new().prefix("saggar-chaos-disk-").tempdir().ok()?;
        let directory = parent.path().join("disk");
        std::fs::create_dir(&directory).ok()?;
        let bytes = BASE_BYTES + tasks * TASK_BYTES;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "saggar-chaos"])
            .arg(&directory)
            .output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self { directory, _parent: parent })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Leaves no room on it.
    pub fn fill(&self) -> anyhow::Result<()> {
        let path = self.ballast();
        let mut file =
            OpenOptions::new().create(true).append(true).open(&path).context("making the ballast")?;
        let mut piece = vec![0; PIECE];
        // Large pieces first, then what is left in small ones.
        while piece.len() >= 512 {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn empty(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing the ballast")
            }
            _ => Ok(()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.directory.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that was just killed may have files open for a moment longer.
        Command::new("umount").arg("-l").arg(&self.directory).output().ok();
    }
}
