//! Figures as people read them in a table that is looked at: short, and as wide as the ones before.

/// A rate or an amount in at most five characters: `0`, `0.4`, `12.3`, `812`, `1.2k`, `3.1G`.
#[must_use]
pub fn amount(amount: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    if amount < 0.05 {
        return "0".to_owned();
    }
    // What would be rounded up to 1,000 of a unit has the next one.
    match UNITS.into_iter().find(|(unit, _)| amount >= unit * 0.9995) {
        Some((unit, name)) if amount < 99.95 * unit => format!("{:.1}{name}", amount / unit),
        Some((unit, name)) => format!("{:.0}{name}", amount / unit),
        None if amount < 99.95 => format!("{amount:.1}"),
        None => format!("{amount:.0}"),
    }
}

/// A count as it is, up to seven characters, and shorter beyond: `12,345`, `1.2M`.
#[must_use]
pub fn count(count: u64) -> String {
    const WHOLE: u64 = 999_999;
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    if count > WHOLE { amount(count as f64) } else { crate::report::count(count) }
}

/// A part of one: `67 %`, `0.1 %`.
#[must_use]
pub fn part(part: f64) -> String {
    let digits = usize::from(part > 0.0 && part < 0.0995);
    format!("{:.digits$} %", part * 100.0)
}

/// A time in its two largest units, in at most six characters: `350ms`, `12s`, `3m12s`, `2h5m`, `4d`.
#[must_use]
pub fn age(ms: u64) -> String {
    const UNITS: [(u64, &str, u64, &str); 3] =
        [(86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")];
    let seconds = ms / 1000;
    if seconds == 0 {
        return format!("{ms}ms");
    }
    match UNITS.into_iter().find(|(unit, ..)| seconds >= *unit) {
        None => format!("{seconds}s"),
        Some((unit, name, ..)) if seconds >= 100 * unit => format!("{}{name}", seconds / unit),
        Some((unit, name, small, its)) => match seconds % unit / small {
            0 => format!("{}{name}", seconds / unit),
            rest => format!("{}{name}{rest}{its}", seconds / unit),
        },
    }
}

/// How long the oldest task has waited; `-` if none waits, or nobody looked.
#[must_use]
pub fn oldest(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_whatever_they_are() {
        let shown = [0.0, 0.04, 0.4, 12.34, 99.96, 812.4, 999.6, 1234.0, 99_960.0, 3.14e9, 2e19].map(amount);
        assert_eq!(shown, ["0", "0", "0.4", "12.3", "100", "812", "1.0k", "1.2k", "100k", "3.1G", "20000P"]);
        assert_eq!([12_345, 999_999, 1_234_567].map(count), ["12,345", "999,999", "1.2M"]);
        assert_eq!([0.0, 0.001, 0.0996, 0.666, 1.0].map(part), ["0 %", "0.1 %", "10 %", "67 %", "100 %"]);
    }

    #[test]
    fn ages_have_their_two_largest_units() {
        let shown = [0, 350, 12_999, 60_000, 192_000, 7_500_000, 350_000_000, 9_000_000_000].map(age);
        assert_eq!(shown, ["0ms", "350ms", "12s", "1m", "3m12s", "2h5m", "4d1h", "104d"]);
    }
}
