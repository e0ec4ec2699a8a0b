//! Notices when the source of a plugin changes.

use std::path::Path;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::failure::{Failure, Kind};

/// How long it must be quiet before a change counts as whole: an editor writes a file in several steps, and a
/// version control system many files.
const QUIET: Duration = Duration::from_millis(150);

/// The source of a plugin, watched for as long as this lives.
pub struct Sources {
    changes: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Sources {
    /// Watches a plugin's directory, without what is built and what is hidden.
    ///
    /// # Errors
    /// The system cannot watch it.
    pub fn watch(directory: &Path) -> Result<Self, Failure> {
        // Notices come with absolute paths, and what lies above the directory must not matter.
        let root = directory.canonicalize().map_err(|error| Failure::file(directory, "read", &error))?;
        let directory = root.clone();
        let failed = |error: notify::Error| {
            Failure::new(Kind::Internal, format!("{} cannot be watched: {error}", directory.display()))
        };
        // One change that waits to be seen is as good as many.
        let (notice, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| matters(&root, &event)) {
                let _ = notice.try_send(());
            }
        })
        .map_err(failed)?;
        watcher.watch(&directory, RecursiveMode::NonRecursive).map_err(failed)?;
        let entries =
            std::fs::read_dir(&directory).map_err(|error| Failure::file(&directory, "read", &error))?;
        for path in entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && is_source(&directory, path))
        {
            watcher.watch(&path, RecursiveMode::Recursive).map_err(failed)?;
        }
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for a change, and until it is quiet again.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // Nobody watches any more.
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {}
    }
}

fn matters(root: &Path, event: &Event) -> bool {
    let changes = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        // Reading a file changes when it was read.
        EventKind::Modify(what) => !matches!(what, ModifyKind::Metadata(_)),
        EventKind::Any | EventKind::Access(_) | EventKind::Other => false,
    };
    changes && event.paths.iter().any(|path| is_source(root, path))
}

/// Whether a path below `root` is something that a person writes.
fn is_source(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    // Cargo writes its lock under another name beside it first.
    let written = |name: &str| {
        name != "target" && !name.starts_with("Cargo.lock") && !name.starts_with('.') && !name.ends_with('~')
    };
    !below.as_os_str().is_empty() && below.iter().all(|part| part.to_str().is_none_or(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_or_hidden_is_no_source() {
        let is = |path: &str| is_source(Path::new("/plugin"), &Path::new("/plugin").join(path));
        assert!(is("src/lib.rs") && is("Cargo.toml") && is("plugin.toml"));
        for not in ["", "target/x", "Cargo.lock", ".git/HEAD", "src/.lib.rs.swp", "src/lib.rs~"] {
            assert!(!is(not), "{not}");
        }
    }

    #[tokio::test]
    async fn a_change_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("src")).unwrap();
        let mut sources = Sources::watch(directory.path()).unwrap();
        std::fs::write(directory.path().join("src/lib.rs"), "a").unwrap();
        std::fs::write(directory.path().join("src/main.rs"), "b").unwrap();
        tokio::time::timeout(Duration::from_secs(10), sources.changed())
            .await
            .expect("the change is noticed");
        assert!(sources.changes.try_recv().is_err(), "both writes are one change");
    }
}
