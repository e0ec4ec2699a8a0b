//! Samples taken by turns, and what can be said about them.

use serde::Serialize;

/// Pairs of samples: one of ours, and one of its limit taken right before or after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pairs {
    /// Ours, in the order they were taken.
    pub ours: Vec<f64>,
    /// The limit's, each beside the one of ours at its place.
    pub limit: Vec<f64>,
}

impl Pairs {
    /// Adds one round.
    pub fn push(&mut self, ours: f64, limit: f64) {
        self.ours.push(ours);
        self.limit.push(limit);
    }

    /// The ratio of each round. What disturbs the machine for longer than a round disturbs both of a pair, so that
    /// these agree better than their parts.
    #[must_use]
    pub fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.limit).map(|(ours, limit)| ours / limit).collect()
    }

    /// Median of the ratios.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        median(&self.ratios())
    }

    /// How far the ratios lie apart: from the lowest to the highest, as a part of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let ratios = self.ratios();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if ratios.is_empty() { f64::NAN } else { (highest - lowest) / self.ratio() }
    }
}

/// The middle one; of an even number the mean of the middle two. Not a number if there is none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The value below which the part `at` of the samples lies, from 0 to 1, between two samples by their distance.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among some thousand samples"
)]
pub fn quantile(samples: &[f64], at: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = at.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(&[0.0, 10.0], 0.99), 9.9);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_and_not_of_the_parts() {
        let mut pairs = Pairs::default();
        // The machine is half as fast in the second round: the ratio does not care.
        for (ours, limit) in [(80.0, 100.0), (40.0, 50.0), (90.0, 100.0)] {
            pairs.push(ours, limit);
        }
        assert_eq!(pairs.ratio(), 0.8);
        assert!((pairs.spread() - 0.125).abs() < 1e-9);
    }
}
