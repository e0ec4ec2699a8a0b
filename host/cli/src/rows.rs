//! The rows of the tables of what goes on.

use owo_colors::Style;
use saggar_model::{Figures, format_bytes};

use crate::columns::{Cell, Column, Row};
use crate::observer::{HostSeen, HostState};
use crate::short;

/// Characters of a bar.
const BAR: usize = 24;

/// Terminals that are as wide show bars.
pub const WITH_BARS: usize = 110;

/// Of a tenant or a queue.
pub const FIGURES: [Column; 10] = [
    Column::new("PENDING", 9),
    Column::new("OLDEST", 8),
    Column::new("RUNNING", 8),
    Column::new("RATE/S", 8),
    Column::new("FAIL/S", 7),
    Column::wide("FUEL/S", 7, 76),
    Column::wide("CPU", 6, 100),
    Column::new("SHARE", 6),
    Column::new("ENTITLED", 9),
    Column::wide("", BAR + 2, WITH_BARS),
];

/// Of a host.
pub const HOSTS: [Column; 7] = [
    Column::new("STATE", 10),
    Column::new("RUNNING", 11),
    Column::new("CPU", 10),
    Column::new("RATE/S", 8),
    Column::new("FAIL/S", 7),
    Column::wide("FUEL/S", 7, 76),
    Column::wide("MEMORY", 22, 90),
];

/// The row of a tenant or a queue.
#[must_use]
pub fn figures_row(name: String, figures: &Figures) -> Row {
    let Figures { pending, oldest_ms, running, rates, share, entitlement } = *figures;
    let known = |count: Option<u64>| count.map_or_else(Cell::unknown, |count| short::count(count).into());
    let cells = vec![
        known(pending),
        short::oldest(oldest_ms).into(),
        known(running),
        short::amount(rates.rate).into(),
        failures(rates.failures),
        short::amount(rates.fuel).into(),
        short::amount(rates.processors).into(),
        short::part(share).into(),
        short::part(entitlement).into(),
        Cell::styled(bar(share, entitlement), Style::new().cyan()),
    ];
    Row { name, cells }
}

/// Attempts that fail per second, in red where there are any.
#[must_use]
pub fn failures(rate: f64) -> Cell {
    let text = if rate > 0.0 && rate < 0.05 { "<0.1".to_owned() } else { short::amount(rate) };
    if rate > 0.0 { Cell::styled(text, Style::new().red()) } else { text.into() }
}

/// The row of a host.
#[must_use]
pub fn host_row(host: &HostSeen) -> Row {
    let HostSeen { state, slots, running, memory, memory_used, cores, rates, .. } = host;
    let of = |used: Option<String>, all: String| {
        used.map_or_else(Cell::unknown, |used| format!("{used} of {all}").into())
    };
    let state = match state {
        HostState::Active => state.as_str().to_owned().into(),
        HostState::Draining => Cell::styled(state.as_str(), Style::new().yellow()),
        HostState::Silent => Cell::styled(state.as_str(), Style::new().red()),
    };
    let cells = vec![
        state,
        of(running.map(|count| count.to_string()), slots.to_string()),
        of(cores.map(|_| format!("{:.1}", rates.processors)), cores.unwrap_or(0).to_string()),
        short::amount(rates.rate).into(),
        failures(rates.failures),
        short::amount(rates.fuel).into(),
        of(memory_used.map(format_bytes), format_bytes(*memory)),
    ];
    Row { name: host.host.clone(), cells }
}

/// A share as a bar, with a mark where the entitlement ends.
fn bar(share: f64, entitlement: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of a bar"
    )]
    let at = |part: f64| (part.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let (filled, mark) = (at(share), at(entitlement).max(1) - 1);
    let glyph = |n: usize| match (n < filled, n == mark) {
        (true, true) => '┃',
        (true, false) => '━',
        (false, true) => '│',
        (false, false) => '·',
    };
    (0..BAR).map(glyph).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_a_share_and_where_the_entitlement_ends() {
        assert_eq!(bar(0.5, 0.25), "━━━━━┃━━━━━━············");
        assert_eq!(bar(0.0, 1.0), "·······················│");
        assert_eq!(bar(1.0, 0.0).chars().count(), BAR);
    }
}
