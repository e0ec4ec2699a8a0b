//! The components that are measured, and where they are found.
//!
//! They are programs like any user's, compiled by `make guests`, and no part of the binary.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::bench::BenchError;

/// Where `make guests` puts them, below the repository.
const BUILT: &str = "plugins/target/wasm32-wasip2/release/examples";

/// A directory of components.
#[derive(Debug, Clone)]
pub struct Components {
    directory: PathBuf,
}

impl Components {
    /// In this directory.
    #[must_use]
    pub fn in_directory(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// In the repository that holds the current directory or, failing that, this program.
    #[must_use]
    pub fn find() -> Self {
        let starts = [std::env::current_dir(), std::env::current_exe()];
        let directories =
            starts.iter().flatten().flat_map(|start| start.ancestors().map(|above| above.join(BUILT)));
        let found = directories.into_iter().find(|directory| directory.is_dir());
        Self { directory: found.unwrap_or_else(|| Path::new(BUILT).to_owned()) }
    }

    /// The component of this name.
    ///
    /// # Errors
    /// It is not there; the error says how to build it.
    pub(crate) fn read(&self, name: &'static str) -> Result<Bytes, BenchError> {
        let path = self.directory.join(format!("{name}.wasm"));
        let wasm = std::fs::read(&path).map_err(|error| BenchError::Component { path, error })?;
        Ok(wasm.into())
    }
}
