//! The last lines a process has said, kept while it runs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;

/// Lines kept: what led to a failure, not the whole story of a long test.
const LINES_MAX: usize = 2000;

/// What was said, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    kept: Arc<Mutex<VecDeque<String>>>,
    /// Lines said so far; the reading task holds the other end, and lets go when the process has closed it.
    said: watch::Receiver<usize>,
}

impl Lines {
    /// Reads `source` to its end, in a task.
    pub(crate) fn of(source: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (count, said) = watch::channel(0);
        let kept = Arc::<Mutex<VecDeque<String>>>::default();
        let lines = Self { kept: kept.clone(), said };
        tokio::spawn(async move {
            let mut reader = BufReader::new(source);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).await.is_ok_and(|bytes| bytes > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == LINES_MAX {
                        kept.pop_front();
                    }
                    kept.push_back(text);
                }
                count.send_modify(|count| *count += 1);
            }
        });
        lines
    }

    /// The first line for which `find` has an answer; nothing if the process closes before.
    pub(crate) async fn find<T>(&self, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut said = self.said.clone();
        loop {
            said.borrow_and_update();
            if let Some(found) = self.all().iter().find_map(|line| find(line)) {
                return Some(found);
            }
            if said.changed().await.is_err() {
                return self.all().iter().find_map(|line| find(line));
            }
        }
    }

    /// The lines kept.
    pub(crate) fn all(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
