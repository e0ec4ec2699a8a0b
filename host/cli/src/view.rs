//! What a person wants to see of what goes on, and in which order.

use saggar_model::Figures;

/// What rows are sorted by, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Sort {
    /// Share of the hosts' time.
    #[default]
    Share,
    /// Tasks that end per second.
    Rate,
    /// Tasks that wait.
    Pending,
    /// How long the oldest task has waited.
    Oldest,
    /// Tasks that hosts have.
    Running,
    /// Attempts that fail per second.
    Failures,
    /// Fuel per second.
    Fuel,
    /// The name.
    Name,
}

impl Sort {
    const ALL: [Self; 8] = [
        Self::Share,
        Self::Rate,
        Self::Pending,
        Self::Oldest,
        Self::Running,
        Self::Failures,
        Self::Fuel,
        Self::Name,
    ];

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|known| *known == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Rate => "rate",
            Self::Pending => "pending",
            Self::Oldest => "oldest",
            Self::Running => "running",
            Self::Failures => "failures",
            Self::Fuel => "fuel",
            Self::Name => "name",
        }
    }

    /// What the most of stands first.
    #[expect(clippy::cast_precision_loss, reason = "to put in order what people look at")]
    #[must_use]
    pub fn key(self, figures: &Figures) -> f64 {
        match self {
            Self::Share => figures.share,
            Self::Rate => figures.rates.rate,
            Self::Pending => figures.pending.unwrap_or(0) as f64,
            Self::Oldest => figures.oldest_ms.unwrap_or(0) as f64,
            Self::Running => figures.running.unwrap_or(0) as f64,
            Self::Failures => figures.rates.failures,
            Self::Fuel => figures.rates.fuel,
            Self::Name => 0.0,
        }
    }
}

/// Which tables are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// All three.
    #[default]
    All,
    /// Tenants.
    Tenants,
    /// Queues.
    Queues,
    /// Hosts.
    Hosts,
}

impl Shown {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::All => Self::Tenants,
            Self::Tenants => Self::Queues,
            Self::Queues => Self::Hosts,
            Self::Hosts => Self::All,
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tenants => "tenants",
            Self::Queues => "queues",
            Self::Hosts => "hosts",
        }
    }
}

/// How the picture is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// What rows are sorted by.
    pub sort: Sort,
    /// Which tables are shown.
    pub shown: Shown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_on_comes_back_to_the_first() {
        assert_eq!(Sort::ALL.into_iter().fold(Sort::Share, |sort, _| sort.next()), Sort::Share);
        assert_eq!((0..4).fold(Shown::All, |shown, _| shown.next()), Shown::All);
    }
}
