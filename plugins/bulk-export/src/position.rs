//! Where an export has come, kept so that the next attempt goes on from there.

use std::time::{Duration, Instant, UNIX_EPOCH};

use saggar_plugin::blobs::Info;
use saggar_plugin::{Error, OrFail as _, context, progress};
use serde::{Deserialize, Serialize};

use crate::part::Part;

/// The host keeps one checkpoint a second, and lets whoever is quicker wait.
const KEEP_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of the source that were exported.
    pub offset: u64,
    pub parts: u32,
    pub rows: u64,
    /// Which source it was: a line in the middle of another would be a line of nothing.
    size: u64,
    written_at: u64,
}

impl Position {
    /// Where the last attempt had come, or the beginning; and whether it is not the beginning.
    pub fn resume(source: &Info) -> Result<(Self, bool), Error> {
        let written_at = source.written_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(kept) = context::checkpoint() else {
            return Ok((Self { offset: 0, parts: 0, rows: 0, size: source.size, written_at }, false));
        };
        let position: Self = serde_json::from_slice(&kept).or_reject("the checkpoint is another plugin's")?;
        if (position.size, position.written_at) != (source.size, written_at) {
            return Err(Error::reject("the object was replaced since the export began; submit a new task")
                .code("changed"));
        }
        Ok((position, true))
    }

    pub fn advance(&mut self, part: &Part) {
        self.offset += part.bytes;
        self.rows += part.rows;
        self.parts += u32::from(part.rows > 0);
    }
}

/// Keeps positions, and no more of them than the host takes without making anybody wait.
#[derive(Default)]
pub struct Keeper {
    last: Option<Instant>,
}

impl Keeper {
    pub fn keep_if_due(&mut self, position: &Position) -> Result<(), Error> {
        if self.last.is_some_and(|last| last.elapsed() < KEEP_EVERY) { Ok(()) } else { self.keep(position) }
    }

    pub fn keep(&mut self, position: &Position) -> Result<(), Error> {
        progress::save_checkpoint(&serde_json::to_vec(position)?)?;
        self.last = Some(Instant::now());
        Ok(())
    }
}
