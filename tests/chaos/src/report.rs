//! The table at the end.

use std::fmt;
use std::time::Duration;

use crate::auditor::Audit;
use crate::hosts::Story;
use crate::nemesis::Diary;
use crate::probe::Reached;
use crate::verdict::{Row, Verdict, Wrong};

/// All that a campaign found out.
pub struct Report {
    /// What was broken.
    pub diary: Diary,
    /// From the end of the last fault to the end of the last task; an error if there was no such end.
    pub recovery: anyhow::Result<Duration>,
    /// What became of the hosts.
    pub stories: Vec<Story>,
    /// What was seen meanwhile.
    pub audit: Audit,
    /// Whether the last version of the plugin is run.
    pub updated: anyhow::Result<()>,
    /// Whether all queues can do what they could; an error if that could not be found out.
    pub reached: anyhow::Result<Vec<Reached>>,
    /// What was found in the streams.
    pub verdict: Verdict,
}

impl Report {
    /// Everything that must not be, in words; nothing if all is well.
    pub fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        for (wrong, (count, told)) in &self.verdict.wrong {
            objections.push(format!("{}: {count}", wrong.name()));
            objections.extend(told.iter().map(|text| format!("  {text}")));
        }
        objections.extend(self.recovery.as_ref().err().map(|error| format!("stuck: {error:#}")));
        objections.extend(self.updated.as_ref().err().map(|error| format!("plugin update: {error:#}")));
        match &self.reached {
            Ok(reached) => objections.extend(
                reached.iter().filter(|it| it.together < it.queue.concurrency()).map(|it| {
                    let (queue, wanted) = (it.queue.name(), it.queue.concurrency());
                    format!("slots: {}/{queue} ran {} of {wanted} tasks at once", it.tenant, it.together)
                }),
            ),
            Err(error) => objections.push(format!("slots: {error:#}")),
        }
        let unrecorded = self.audit.wrong.iter().take(10);
        objections
            .extend(unrecorded.map(|subject| format!("acknowledged before it was recorded: {subject}")));
        objections.extend(self.stories.iter().flat_map(|story| story.wrong.clone()));
        objections
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.diary.counts();
        let faults: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        for (name, why) in self.diary.left_out() {
            writeln!(f, "left out: {name}, because {why}")?;
        }
        let starts: u32 = self.stories.iter().map(|story| story.starts).sum();
        let without: u32 = self.stories.iter().map(|story| story.without_nats).sum();
        writeln!(f, "hosts: {starts} starts, {without} of them while NATS was away")?;
        writeln!(f)?;
        let heads = ["submitted", "acknowledged", "results", "unanswered, run", "effect twice"];
        write!(f, "{:<16}", "tasks")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>17}"))?;
        writeln!(f)?;
        let mut sum = Row::default();
        for (kind, row) in &self.verdict.rows {
            line(f, kind, row)?;
            sum.submitted += row.submitted;
            sum.acknowledged += row.acknowledged;
            sum.results += row.results;
            sum.unexpected += row.unexpected;
            sum.repeated += row.repeated;
        }
        line(f, "all", &sum)?;
        writeln!(f)?;
        for wrong in Wrong::ALL {
            let count = self.verdict.wrong.get(&wrong).map_or(0, |(count, _)| *count);
            writeln!(f, "{:<36}{count:>8}", wrong.name())?;
        }
        let Audit { looked, recorded, again, wrong } = &self.audit;
        writeln!(f, "{:<36}{:>8}", "acknowledged before it was recorded", wrong.len())?;
        writeln!(
            f,
            "  looked at {looked} tasks meanwhile, {recorded} of them done; looked again {again} times"
        )?;
        match &self.recovery {
            Ok(took) => writeln!(f, "all queues empty {:.1} s after the last fault", took.as_secs_f64())?,
            Err(_) => writeln!(f, "the queues did not become empty")?,
        }
        if let Ok(reached) = &self.reached {
            let full = reached.iter().filter(|it| it.together >= it.queue.concurrency()).count();
            writeln!(f, "{full} of {} queues reach their full concurrency", reached.len())?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, row: &Row) -> fmt::Result {
    let Row { submitted, acknowledged, results, unexpected, repeated } = row;
    writeln!(f, "{name:<16}{submitted:>17}{acknowledged:>17}{results:>17}{unexpected:>17}{repeated:>17}")
}
