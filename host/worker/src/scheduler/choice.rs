//! Whose turn it is.

use std::time::Instant;

use super::allowance::AtLimit;
use super::share::{Look, Share};
use super::{AGED, AGED_TURNS, Grant, LOOKED_AT, LaneId, Scheduler};

impl Scheduler {
    pub(super) fn next_stuck(&mut self) -> Option<Grant> {
        let fits = |lane: &LaneId| self.lanes.get(lane).is_some_and(|known| known.memory <= self.free.memory);
        let lane = self.stuck.remove(self.stuck.iter().position(fits)?)?;
        Some(self.give(lane, 0, 1))
    }

    /// Whoever has nothing and has waited for too long, now and then.
    pub(super) fn next_aged(&mut self, now: Instant) -> Option<(LaneId, u32, u32)> {
        self.since_aged = self.since_aged.saturating_add(1);
        if self.since_aged < AGED_TURNS {
            return None;
        }
        let is_current = |(since, lane): &(Instant, LaneId)| {
            self.lanes.get(lane).is_some_and(|known| known.since == Some(*since))
        };
        while self.line.front().is_some_and(|first| !is_current(first)) {
            self.line.pop_front();
        }
        let (since, lane) = *self.line.front()?;
        if now.saturating_duration_since(since) < AGED {
            return None;
        }
        // It may wait for memory for long, and others behind it.
        self.line.rotate_left(1);
        let has_nothing = self.lanes.get(&lane).is_some_and(|known| known.out.slots == 0);
        let Share::Now(slots, guests) = has_nothing.then(|| self.share_for(lane, Look::Aged, now))? else {
            return None;
        };
        self.since_aged = 0;
        Some((lane, slots, guests))
    }

    /// Looks at all who wait, in the order of their turns.
    pub(super) fn next_in_turn(&mut self, now: Instant) -> Option<(LaneId, u32, u32)> {
        loop {
            let mut at_limits = Vec::new();
            let found = self.look_at_turns(&mut at_limits, now);
            for at_limit in &at_limits {
                self.park(*at_limit, now);
            }
            // Without those there may be others to look at.
            if found.is_some() || at_limits.is_empty() {
                return found;
            }
        }
    }

    /// Looks at those whose turn is first, and finds out who is at a limit.
    fn look_at_turns(&mut self, at_limits: &mut Vec<AtLimit>, now: Instant) -> Option<(LaneId, u32, u32)> {
        let (mut held_back, mut is_busy, mut found) = (false, false, None);
        let owners = self.turns.waiting().filter_map(|tenant| self.tenants.get(&tenant));
        for lane in owners.flat_map(|owner| owner.lanes.waiting()).take(LOOKED_AT) {
            // While somebody waits for a batch, those who need no more than a few may pass.
            if held_back && self.lanes.get(&lane).is_none_or(|known| !known.is_short()) {
                continue;
            }
            match self.share_for(lane, Look::InTurn, now) {
                Share::Now(slots, guests) => {
                    found = Some((lane, slots, guests));
                    break;
                }
                Share::HeldBack => held_back = true,
                Share::Busy => is_busy = true,
                Share::AtLimit(at_limit) => at_limits.push(at_limit),
                Share::Nothing => {}
            }
        }
        match (held_back, found) {
            (true, _) => _ = self.held_back_since.get_or_insert(now),
            (false, None) => self.held_back_since = None,
            (false, Some(_)) => {}
        }
        self.is_busy = is_busy;
        found
    }
}
