//! Clocks that can be set: each host gets a wall clock of its own, as far ahead or behind as its file says.
//!
//! A library of ours is loaded before the C library; it is compiled when a campaign begins, since a C compiler is needed
//! to build Saggar anyway. Where that does not work the clocks stay as they are, and the report says so.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What is loaded into each host.
const SOURCE: &str = include_str!("clock.c");

/// The variable that leads it to its file.
const FILE: &str = "SAGGAR_CHAOS_CLOCK";

const NANOS: i64 = 1_000_000_000;

/// Makes clocks.
#[derive(Debug)]
pub struct ClockMaker {
    directory: PathBuf,
    library: PathBuf,
}

impl ClockMaker {
    /// Compiles what is loaded into processes.
    pub fn compile(directory: &Path) -> anyhow::Result<Self> {
        let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        let done = compiler.output().context("running the C compiler `cc`")?;
        ensure!(done.status.success(), "the C compiler says: {}", String::from_utf8_lossy(&done.stderr));
        Ok(Self { directory: directory.to_owned(), library })
    }

    /// A clock for the process of this name, right at first.
    pub fn make(&self, name: &str) -> anyhow::Result<Clock> {
        let path = self.directory.join(format!("{name}.clock"));
        let file = File::options().create(true).truncate(true).write(true).open(&path)?;
        let library = self.library.clone();
        let clock = Clock { file, path, library };
        clock.set(0)?;
        Ok(clock)
    }
}

/// The clock of one process, in all its lives.
#[derive(Debug)]
pub struct Clock {
    file: File,
    path: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// Sets it so many seconds ahead of the machine's, or behind.
    pub fn set(&self, ahead: i64) -> anyhow::Result<()> {
        self.file.write_all_at(&(ahead * NANOS).to_ne_bytes(), 0).context("setting a clock")
    }

    /// The variables that give it to a process.
    pub fn env(&self) -> [(String, String); 2] {
        [("LD_PRELOAD", &self.library), (FILE, &self.path)]
            .map(|(name, path)| (name.to_owned(), path.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_believes_its_clock_while_that_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let clock = ClockMaker::compile(directory.path()).unwrap().make("one").unwrap();
        let seconds = || -> i64 {
            let said = Command::new("date").arg("+%s").envs(clock.env()).output().unwrap();
            String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
        };
        let began = seconds();
        clock.set(7_200).unwrap();
        assert!((began + 7_200..began + 7_260).contains(&seconds()));
        clock.set(-7_200).unwrap();
        assert!((began - 7_200..began - 7_140).contains(&seconds()));
    }
}
