//! How a host feels, for those who ask it over HTTP.

use serde::Serialize;

/// What a host knows of itself at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether the connection to NATS is up.
    pub connected: bool,
    /// Whether the host has begun to leave.
    pub draining: bool,
    /// Whether work waits, slots are free, and still nothing has been delivered for longer than two pulls.
    pub stuck: bool,
}

/// An answer to `/livez` or `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether all is well.
    pub ok: bool,
    /// What is not.
    pub reason: &'static str,
}

impl Health {
    /// Whether the process still does its work. Losing NATS is not death: it reconnects by itself.
    #[must_use]
    pub fn live(&self) -> HealthReport {
        if self.stuck && self.connected {
            HealthReport { ok: false, reason: "tasks wait and slots are free, but nothing is delivered" }
        } else {
            HealthReport { ok: true, reason: "alive" }
        }
    }

    /// Whether new work can be expected to be done here.
    #[must_use]
    pub fn ready(&self) -> HealthReport {
        if self.draining {
            HealthReport { ok: false, reason: "draining" }
        } else if !self.connected {
            HealthReport { ok: false, reason: "not connected to NATS" }
        } else {
            HealthReport { ok: true, reason: "ready" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Health = Health { connected: true, draining: false, stuck: false };

    #[test]
    fn a_host_that_lost_nats_is_alive_and_not_ready() {
        let lost = Health { connected: false, stuck: true, ..WELL };
        assert!(lost.live().ok && !lost.ready().ok);
    }

    #[test]
    fn a_host_that_has_work_and_cannot_pull_is_not_alive() {
        assert!(!Health { stuck: true, ..WELL }.live().ok);
        assert!(WELL.live().ok && WELL.ready().ok);
        assert!(!Health { draining: true, ..WELL }.ready().ok);
    }
}
