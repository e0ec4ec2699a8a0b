//! A plan as people and programs read it.

use std::time::Duration;

use owo_colors::{OwoColorize, Style};
use saggar_model::{Change, Plan, TenantName, escape, format_bytes, format_duration};
use serde_json::{Value, json};

use crate::report::{count, short_digest};

/// A plan for a person: what changes, grouped by tenant and queue.
#[must_use]
pub fn shown(tenant: &TenantName, plan: &Plan) -> String {
    if plan.is_empty() {
        return format!("tenant {tenant}: no changes");
    }
    let mut groups: Vec<_> = plan.changes.chunk_by(|a, b| group(a) == group(b)).collect();
    groups.sort_by_key(|changes| !group(&changes[0]).starts_with("tenant "));
    groups.into_iter().flat_map(lines).collect::<Vec<_>>().join("\n")
}

/// A plan for a program.
#[must_use]
pub fn changes(tenant: &TenantName, plan: &Plan) -> Value {
    json!({ "tenant": tenant, "changed": !plan.is_empty(), "changes": plan.changes })
}

/// The changes of one tenant or queue.
fn lines(changes: &[Change]) -> Vec<String> {
    // None of these is ever absent where it belongs, so that what lacks it is not there at all.
    let essential = |change: &&Change| matches!(key(change), "weight" | "plugin" | "cron");
    let (sign, style) = changes.iter().find(essential).map_or(CHANGED, mark);
    let heading = format!("{sign} {}", group(&changes[0])).style(style.bold()).to_string();
    let body = if sign == CHANGED.0 { changes.iter().map(line).collect() } else { summary(changes) };
    std::iter::once(heading).chain(body).collect()
}

/// What comes or goes as a whole: a line for each kind of values.
fn summary(changes: &[Change]) -> Vec<String> {
    let section = |change: &Change| key(change).split_once('.').map(|(section, _)| section.to_owned());
    let mut sections: Vec<(Option<String>, Vec<String>)> = Vec::new();
    let mut changes: Vec<_> = changes.iter().collect();
    changes.sort_by_key(|change| match key(change) {
        "plugin" => 0,
        "digest" => 1,
        _ => 2,
    });
    for change in changes {
        let name = key(change).rsplit('.').next().unwrap_or_default();
        let value = change.to.as_ref().or(change.from.as_ref()).map(|value| readable(key(change), value));
        let text = format!("{name} {}", value.unwrap_or_default());
        match sections.iter_mut().find(|(of, _)| *of == section(change)) {
            Some((_, texts)) => texts.push(text),
            None => sections.push((section(change), vec![text])),
        }
    }
    sections.sort();
    let lines = sections.into_iter().map(|(section, texts)| {
        let section = section.map(|section| format!("{section}: ")).unwrap_or_default();
        format!("    {section}{}", texts.join(", "))
    });
    lines.collect()
}

/// `queue acme/thumbnail` of `queue acme/thumbnail: limits.fuel`.
fn group(change: &Change) -> &str {
    change.what.split_once(": ").map_or(change.what.as_str(), |(group, _)| group)
}

/// `limits.fuel` of `queue acme/thumbnail: limits.fuel`.
fn key(change: &Change) -> &str {
    change.what.split_once(": ").map_or("", |(_, key)| key)
}

const CHANGED: (&str, Style) = ("~", Style::new().yellow());

fn mark(change: &Change) -> (&'static str, Style) {
    match (&change.from, &change.to) {
        (None, Some(_)) => ("+", Style::new().green()),
        (Some(_), None) => ("-", Style::new().red()),
        (Some(_), Some(_)) | (None, None) => CHANGED,
    }
}

fn line(change: &Change) -> String {
    let key = key(change);
    let (sign, style) = mark(change);
    let values = match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("{} → {}", readable(key, from), readable(key, to)),
        (None, Some(value)) | (Some(value), None) => readable(key, value),
        (None, None) => String::new(),
    };
    format!("    {} {key}: {values}", sign.style(style))
}

/// A value in its unit, where the key says which that is.
fn readable(key: &str, value: &str) -> String {
    let number = |show: fn(u64) -> String| value.parse().ok().map(show);
    let seconds = || Duration::try_from_secs_f64(value.parse().ok()?).ok().map(format_duration);
    let shown = match key {
        "cancel_grace" if value == "0" => Some("0s".to_owned()),
        "limits.memory" | "limits.output" | "limits.log" | "limits.host_call" | "quota.bytes"
        | "quota.results" | "quota.dead" | "quota.kv" | "quota.blobs" | "quota.checkpoints"
        | "quota.payloads" => number(format_bytes),
        "limits.timeout" | "cancel_grace" => number(|millis| format_duration(Duration::from_millis(millis))),
        "results_ttl" | "retry.base" | "retry.cap" => seconds(),
        "limits.fuel" | "quota.tasks" => number(count),
        "digest" | "canary.digest" => value.parse().ok().map(|digest| short_digest(&digest)),
        _ => None,
    };
    shown.unwrap_or_else(|| escape(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(what: &str, from: Option<&str>, to: Option<&str>) -> Change {
        Change { what: what.into(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
    }

    #[test]
    fn changes_are_grouped_marked_and_in_their_units() {
        let plan = Plan {
            changes: vec![
                change("queue acme/a: concurrency", None, Some("64")),
                change("queue acme/a: limits.fuel", None, Some("5000")),
                change("queue acme/a: limits.memory", None, Some("134217728")),
                change("queue acme/a: plugin", None, Some("a@1")),
                change("queue acme/a: weight", None, Some("1")),
                change("queue acme/b: limits.timeout", Some("30000"), Some("500")),
                change("queue acme/c: plugin", Some("c@1"), None),
                change("queue acme/d: digest", None, Some("sha256:0")),
                change("tenant acme: quota.tasks", Some("1000"), Some("2000")),
            ],
        };
        let text = anstream::adapter::strip_str(&shown(&"acme".parse().unwrap(), &plan)).to_string();
        assert_eq!(
            text,
            "~ tenant acme\n    ~ quota.tasks: 1,000 → 2,000\n\
             + queue acme/a\n    plugin a@1, concurrency 64, weight 1\n    limits: fuel 5,000, memory 128.0 MiB\n\
             ~ queue acme/b\n    ~ limits.timeout: 30s → 500ms\n\
             - queue acme/c\n    plugin c@1\n\
             ~ queue acme/d\n    + digest: sha256:0"
        );
        assert_eq!(shown(&"acme".parse().unwrap(), &Plan::default()), "tenant acme: no changes");
    }
}
