//! The two sides of a measurement, and whose turn it is.

use crate::bench::BenchError;

/// Which side is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Limit,
}

/// Measures both sides, ours and the limit, and gives them in this order. The one comes first that was last the time
/// before, so that what the first does to the machine is shared fairly.
pub(crate) async fn by_turns<T>(
    round: usize,
    mut measure: impl AsyncFnMut(Side) -> Result<T, BenchError>,
) -> Result<[T; 2], BenchError> {
    if round.is_multiple_of(2) {
        let limit = measure(Side::Limit).await?;
        Ok([measure(Side::Ours).await?, limit])
    } else {
        let ours = measure(Side::Ours).await?;
        Ok([ours, measure(Side::Limit).await?])
    }
}
