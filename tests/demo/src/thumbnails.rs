//! The thumbnails as files, to look at.

use std::path::Path;

use anyhow::Context as _;

use crate::client::Played;
use crate::job::Expected;

/// Writes the output of every task that makes a picture, in place of what an earlier run left. The value is how many.
pub fn write(directory: &Path, set: &[Played<'_>]) -> anyhow::Result<usize> {
    if directory.exists() {
        std::fs::remove_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
    }
    std::fs::create_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
    let mut written = 0;
    for Played { job, answers, .. } in set {
        let (Expected::Picture(_, _, format), Some(answer)) = (&job.expected, answers.first()) else {
            continue;
        };
        let ending = format.extensions_str().first().copied().unwrap_or("bin");
        let file = directory.join(format!("{}-{}-{}.{ending}", job.tenant, job.queue, job.id));
        std::fs::write(&file, &answer.payload).with_context(|| format!("{}", file.display()))?;
        written += 1;
    }
    Ok(written)
}
