//! The newest records of a stream that is read from its beginning.
//!
//! The place of the last record is found by halving, and then the last few are read, so that a long history costs
//! hardly more than a short one.

use crate::failure::Failure;

/// A record that knows its place.
pub trait Placed {
    /// The place in the stream.
    fn place(&self) -> u64;
}

/// Up to `wanted` of the newest records, newest first. `read` gives up to so many records behind a place, oldest
/// first.
///
/// # Errors
/// Whatever `read` fails with.
pub async fn newest<T: Placed>(
    read: impl AsyncFn(u64, usize) -> Result<Vec<T>, Failure>,
    wanted: usize,
) -> Result<Vec<T>, Failure> {
    let Some(last) = last_place(&read).await? else { return Ok(Vec::new()) };
    let mut window = wanted.max(1) as u64;
    loop {
        let after = last.saturating_sub(window);
        let mut found = read(after, usize::try_from(window).unwrap_or(usize::MAX)).await?;
        if found.len() >= wanted || after == 0 {
            found.reverse();
            found.truncate(wanted);
            return Ok(found);
        }
        window = window.saturating_mul(4);
    }
}

async fn last_place<T: Placed>(
    read: &impl AsyncFn(u64, usize) -> Result<Vec<T>, Failure>,
) -> Result<Option<u64>, Failure> {
    let behind = async |place| Ok::<_, Failure>(read(place, 1).await?.first().map(Placed::place));
    let Some(mut found) = behind(0).await? else { return Ok(None) };
    let mut beyond = found;
    while let Some(place) = behind(beyond).await? {
        found = place;
        beyond = place.saturating_mul(2);
    }
    // There is a record at `found` and none behind `beyond`.
    while found < beyond {
        let middle = found + (beyond - found) / 2;
        match behind(middle).await? {
            Some(place) => found = place,
            None => beyond = middle,
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    impl Placed for u64 {
        fn place(&self) -> u64 {
            *self
        }
    }

    async fn of(places: &[u64], wanted: usize) -> (Vec<u64>, usize) {
        let reads = Cell::new(0);
        let read = async |after: u64, limit: usize| {
            reads.set(reads.get() + 1);
            Ok(places.iter().copied().filter(|place| *place > after).take(limit).collect())
        };
        (newest(read, wanted).await.unwrap(), reads.get())
    }

    #[tokio::test]
    async fn the_newest_records_are_found_wherever_they_lie() {
        assert_eq!(of(&[], 3).await.0, [0; 0]);
        assert_eq!(of(&[1], 3).await.0, [1]);
        assert_eq!(of(&[1, 2, 3, 4], 2).await.0, [4, 3]);
        assert_eq!(of(&[5, 900, 901, 1_000_000], 3).await.0, [1_000_000, 901, 900]);
    }

    #[tokio::test]
    async fn a_long_history_costs_few_reads() {
        let places: Vec<u64> = (1..=100_000).collect();
        let (found, reads) = of(&places, 2).await;
        assert_eq!(found, [100_000, 99_999]);
        assert!(reads < 50, "{reads} reads");
    }
}
