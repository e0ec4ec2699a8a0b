//! One line of the report: a figure of ours, its limit, and what their ratio should be.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::samples::{Pairs, median};

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Tasks or attempts in a second: more is better.
    PerSecond,
    /// Microseconds: less is better.
    Micros,
    /// Milliseconds: less is better.
    Millis,
    /// Mebibytes: less is better.
    Mebibytes,
    /// Parts of a hundred.
    Percent,
}

impl Unit {
    /// The unit as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "1/s",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
    /// One, but for so much more or less.
    Within(f64),
    /// Ours is so much or less itself, in its unit, whatever the limit is.
    OursAtMost(f64),
}

impl Goal {
    /// Whether it is reached; a ratio that is no number reaches nothing.
    #[must_use]
    pub fn is_met(self, ours: f64, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
            Self::Within(part) => (ratio - 1.0).abs() <= part,
            Self::OursAtMost(most) => ours <= most,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => f.pad(&format!("≥ {least}")),
            Self::AtMost(most) => f.pad(&format!("≤ {most}")),
            Self::Within(part) => f.pad(&format!("1 ± {part}")),
            Self::OursAtMost(most) => f.pad(&format!("ours ≤ {most}")),
        }
    }
}

impl Serialize for Goal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One measured figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What distinguishes it from the row's others, for example `p99` or `1000 tenants`.
    pub case: Option<String>,
    /// What it is counted in.
    pub unit: Unit,
    /// What its ratio should be, if that is laid down.
    pub goal: Option<Goal>,
    /// What was measured.
    pub pairs: Pairs,
}

impl Figure {
    /// Median of ours.
    #[must_use]
    pub fn ours(&self) -> f64 {
        median(&self.pairs.ours)
    }

    /// Median of the limit.
    #[must_use]
    pub fn limit(&self) -> f64 {
        median(&self.pairs.limit)
    }

    /// Whether its goal is reached; nothing without a goal.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met(self.ours(), self.pairs.ratio()))
    }
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A figure.
    Measured(Figure),
    /// Why there is none.
    Missing(String),
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name; figures of one measurement share it.
    pub name: &'static str,
    /// What it says.
    pub cell: Cell,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Measured<'a> {
            name: &'static str,
            case: Option<&'a str>,
            ours: f64,
            limit: f64,
            ratio: f64,
            goal: Option<Goal>,
            met: Option<bool>,
            unit: &'static str,
            spread: f64,
            samples: &'a Pairs,
        }
        #[derive(Serialize)]
        struct Missing<'a> {
            name: &'static str,
            error: &'a str,
        }
        match &self.cell {
            Cell::Measured(figure) => Measured {
                name: self.name,
                case: figure.case.as_deref(),
                ours: figure.ours(),
                limit: figure.limit(),
                ratio: figure.pairs.ratio(),
                goal: figure.goal,
                met: figure.is_met(),
                unit: figure.unit.as_str(),
                spread: figure.pairs.spread(),
                samples: &figure.pairs,
            }
            .serialize(serializer),
            Cell::Missing(error) => Missing { name: self.name, error }.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_computed_from_its_samples() {
        let pairs = Pairs { ours: vec![80.0, 40.0, 90.0], limit: vec![100.0, 50.0, 100.0] };
        let figure = Figure { case: None, unit: Unit::PerSecond, goal: Some(Goal::AtLeast(0.8)), pairs };
        let json = serde_json::to_value(Row { name: "drain", cell: Cell::Measured(figure) }).unwrap();
        assert_eq!(json["ours"], 80.0);
        assert_eq!(json["limit"], 100.0);
        assert_eq!(json["ratio"], 0.8);
        assert_eq!(json["goal"], "≥ 0.8");
        assert_eq!(json["met"], true);
        assert_eq!(json["samples"]["ours"][1], 40.0);
    }

    #[test]
    fn a_row_that_could_not_run_says_why() {
        let row = Row { name: "cold", cell: Cell::Missing("there is no component".to_owned()) };
        let json = serde_json::to_value(row).unwrap();
        assert_eq!(json, serde_json::json!({ "name": "cold", "error": "there is no component" }));
    }

    #[test]
    fn a_goal_is_not_reached_by_what_is_no_number() {
        assert!(!Goal::AtMost(1.5).is_met(1.0, f64::NAN));
        assert!(!Goal::AtLeast(0.8).is_met(1.0, f64::NAN));
        assert!(Goal::Within(0.05).is_met(0.0, 0.96) && !Goal::Within(0.05).is_met(0.0, 1.06));
        assert!(!Goal::Within(0.05).is_met(0.0, f64::NAN));
        assert!(Goal::OursAtMost(250.0).is_met(249.0, f64::NAN));
    }
}
