//! What attempts cost together: receipts added up, in whole numbers, so that the sum is the same in any order.
//!
//! A receipt that was read from a result adds what the same receipt added on the host that made it: times count in the
//! microseconds that a header shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Receipt;

/// A sum of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Attempts that were made.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u64,
    /// Fuel.
    #[serde(skip_serializing_if = "is_zero")]
    pub fuel: u64,
    /// Time that guests were computing, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    /// Wall time of the attempts, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub duration_us: u64,
    /// Peak memory times wall time, each attempt for itself, in KiB-milliseconds: bytes and microseconds would
    /// overflow after 50 days of 4 GiB, and whole GB-seconds would lose all small tasks.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_kib_ms: u64,
    /// Bytes of payloads, for each attempt.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_in: u64,
    /// Bytes of outputs.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_out: u64,
    /// Bytes logged, kept or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_bytes: u64,
    /// Calls into the host.
    #[serde(skip_serializing_if = "is_zero")]
    pub host_calls: u64,
}

/// KiB-milliseconds in a GB-second, a GB being 2^30 bytes as in limits.
const KIB_MS_PER_GB_SECOND: f64 = 1_048_576.0 * 1_000.0;

impl Spent {
    /// What one receipt says. `ran`: there was an attempt, and not only a task that ended without one.
    #[must_use]
    pub fn of(receipt: &Receipt, ran: bool) -> Self {
        let memory = u128::from(receipt.peak_memory.div_ceil(1024)) * receipt.duration.as_micros();
        Self {
            attempts: u64::from(ran),
            fuel: receipt.fuel,
            cpu_us: micros(receipt.cpu),
            duration_us: micros(receipt.duration),
            memory_kib_ms: u64::try_from(memory.div_ceil(1000)).unwrap_or(u64::MAX),
            bytes_in: receipt.bytes_in,
            bytes_out: receipt.bytes_out,
            log_bytes: receipt.log_bytes,
            host_calls: receipt.host_calls,
        }
    }

    /// This and another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// This without another; nothing of what the other has more of.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    /// Whether nothing was spent.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Memory over time in GB-seconds, a GB being 2^30 bytes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for showing; sums are made of the whole numbers")]
    pub fn gb_seconds(&self) -> f64 {
        self.memory_kib_ms as f64 / KIB_MS_PER_GB_SECOND
    }

    fn each(self, other: Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            attempts: op(self.attempts, other.attempts),
            fuel: op(self.fuel, other.fuel),
            cpu_us: op(self.cpu_us, other.cpu_us),
            duration_us: op(self.duration_us, other.duration_us),
            memory_kib_ms: op(self.memory_kib_ms, other.memory_kib_ms),
            bytes_in: op(self.bytes_in, other.bytes_in),
            bytes_out: op(self.bytes_out, other.bytes_out),
            log_bytes: op(self.log_bytes, other.log_bytes),
            host_calls: op(self.host_calls, other.host_calls),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_charged_for_as_long_as_it_was_held() {
        let receipt =
            Receipt { peak_memory: 1 << 30, duration: Duration::from_secs(2), ..Receipt::default() };
        let spent = Spent::of(&receipt, true);
        assert_eq!(spent.memory_kib_ms, 2 * 1_048_576 * 1000);
        assert!((spent.gb_seconds() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_task_of_microseconds_is_not_free() {
        let receipt =
            Receipt { peak_memory: 65_536, duration: Duration::from_micros(7), ..Receipt::default() };
        assert_eq!(Spent::of(&receipt, true).memory_kib_ms, 1);
    }

    #[test]
    fn the_longest_attempt_with_the_most_memory_fits() {
        let receipt =
            Receipt { peak_memory: 4 << 30, duration: Duration::from_hours(24), ..Receipt::default() };
        let spent = Spent::of(&receipt, true);
        assert_eq!(spent.memory_kib_ms, 4 * 1_048_576 * 86_400_000);
        assert_eq!(spent.plus(spent).without(spent), spent);
        assert!(u64::MAX / spent.memory_kib_ms > 50_000, "room for as many of them in one sum");
    }
}
