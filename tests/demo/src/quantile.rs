//! Medians and tails.

/// The value that a share `q` of `values` does not exceed, by nearest rank; nothing of nothing.
pub fn quantile<T: Ord + Copy>(values: impl IntoIterator<Item = T>, q: f64) -> Option<T> {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a few hundred values"
    )]
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile(1..=100, 0.5), Some(50));
        assert_eq!(quantile([3, 1, 2], 0.99), Some(3));
        assert_eq!(quantile([7], 0.5), Some(7));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(quantile::<u8>([], 0.5), None);
    }
}
