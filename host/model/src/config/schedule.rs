//! `[[schedule]]` of a tenant's file: the words of `saggar schedule add`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{QueueName, ScheduleName, ScheduleSpec};

use super::grants::no_such_queue;
use super::reader::Section;
use super::value::Parsed;

/// Reads the schedules of a tenant's file, whose queues are `queues`.
pub(super) fn read_schedules(
    root: &mut Section,
    queues: &BTreeSet<QueueName>,
) -> BTreeMap<ScheduleName, ScheduleSpec> {
    let mut schedules = BTreeMap::new();
    for section in root.sections("schedule") {
        read_schedule(section, queues, &mut schedules);
    }
    if schedules.len() > ScheduleSpec::PER_TENANT_MAX {
        root.problem("schedule", format!("are more than {}", ScheduleSpec::PER_TENANT_MAX));
    }
    let bytes: usize = schedules.values().map(|schedule| schedule.payload.len()).sum();
    if bytes > ScheduleSpec::PAYLOADS_MAX {
        let most = ScheduleSpec::PAYLOADS_MAX;
        let text = format!("have {bytes} bytes of payload together, and may have {most}");
        root.problem("schedule", text);
    }
    schedules
}

fn read_schedule(
    mut section: Section,
    queues: &BTreeSet<QueueName>,
    schedules: &mut BTreeMap<ScheduleName, ScheduleSpec>,
) {
    let name = section.required::<Parsed<ScheduleName>>("name");
    let queue = section.required::<Parsed<QueueName>>("queue");
    let cron = section.required::<String>("cron");
    let zone = section.or("zone", ScheduleSpec::ZONE_DEFAULT.to_owned());
    let Parsed(overlap) = section.or("overlap", Parsed(crate::Overlap::default()));
    let Parsed(catch_up) = section.or("catch_up", Parsed(crate::CatchUp::default()));
    let payload = section.or("payload", String::new());
    let content_type = section.optional("content_type");
    let headers = section.or("headers", BTreeMap::new());
    if let Some(Parsed(queue)) = &queue
        && !queues.contains(queue)
    {
        section.problem("queue", no_such_queue(queue, Some(queues)));
    }
    if let Some(Parsed(name)) = &name
        && schedules.contains_key(name)
    {
        section.problem("name", format!("`{name}` is used by an earlier schedule of this file"));
    }
    // What is missing is reported by now; the rest is judged all the same.
    let judged = ScheduleSpec {
        queue: queue.map_or_else(|| "queue".parse().expect("it is a name"), |Parsed(queue)| queue),
        cron: cron.clone().unwrap_or_else(|| "@daily".to_owned()),
        zone,
        overlap,
        catch_up,
        payload,
        content_type,
        headers,
    };
    for (key, objection) in judged.objections() {
        section.problem(key, objection);
    }
    section.finish();
    if let Some(Parsed(name)) = name {
        schedules.insert(name, judged);
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problems;
    use super::super::tenant::parse_tenant;
    use super::*;
    use crate::{CatchUp, Ceilings, Overlap, TenantSpec};

    /// A file with a queue, and a schedule whose keys begin in line 7.
    fn parse(schedule: &str) -> Result<TenantSpec, Problems> {
        let text =
            format!("[tenant]\nname='a'\n[[queue]]\nname='export'\nplugin='p@1'\n[[schedule]]\n{schedule}\n");
        parse_tenant("a.toml", &text, &Ceilings::default()).map(|file| file.spec)
    }

    #[test]
    fn a_schedule_is_read_with_the_words_of_the_command() {
        let spec = parse(
            "name='nightly'\nqueue='export'\ncron='0 3 * * *'\nzone='Europe/Berlin'\noverlap='replace'\n\
             catch_up='all'\npayload='{}'\ncontent_type='application/json'\nheaders={ 'X-A' = 'b' }",
        )
        .unwrap();
        let schedule = &spec.schedules[&"nightly".parse().unwrap()];
        assert_eq!((schedule.overlap, schedule.catch_up), (Overlap::Replace, CatchUp::All));
        let record = schedule.record(&"nightly".parse().unwrap(), None, std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(record.payload, b"{}");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(record.headers, [header("Content-Type", "application/json"), header("X-A", "b")]);
    }

    #[test]
    fn every_key_but_name_queue_and_time_has_a_default() {
        let spec = parse("name='nightly'\nqueue='export'\ncron='@daily'").unwrap();
        let expected = ScheduleSpec::new("export".parse().unwrap(), "@daily");
        assert_eq!(spec.schedules[&"nightly".parse().unwrap()], expected);
    }

    #[test]
    fn all_mistakes_are_reported_together_with_line_and_key() {
        let problems = parse(
            "name='Nightly'\nqueue='exports'\ncron='61 * * * *'\nzone='Mars/Base'\noverlap='drop'\ncatch_up='some'\n\
             headers={ 'Nats-Rollup' = 'all' }\npaused=true\n[[schedule]]\nname='a'\n[[schedule]]\nname='a'\n\
             queue='export'\ncron='@daily'\npayload=1",
        )
        .unwrap_err()
        .to_string();
        for part in [
            "line 7: `schedule.name` cannot be read: `Nightly`",
            "line 8: `schedule.queue` names `exports`, and this file has no such queue; did you mean `export`?",
            "line 9: `schedule.cron` cannot be: `61 * * * *` is no cron expression",
            "line 10: `schedule.zone` cannot be: `Mars/Base` is no time zone",
            "line 11: `schedule.overlap` cannot be read: is none of `skip`",
            "line 12: `schedule.catch_up` cannot be read: is none of `none`",
            "line 13: `schedule.headers` has `Nats-Rollup`, which belongs to the message system",
            "line 14: `schedule.paused` is not known",
            "line 15: `schedule.queue` is missing",
            "line 15: `schedule.cron` is missing",
            "line 18: `schedule.name` `a` is used by an earlier schedule",
            "line 21: `schedule.payload` must be a text",
        ] {
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }

    #[test]
    fn the_payloads_of_all_schedules_fit_into_a_message() {
        let one = |name: &str, bytes: usize| {
            format!("name='{name}'\nqueue='export'\ncron='@daily'\npayload='{}'\n", "x".repeat(bytes))
        };
        let three =
            |bytes| parse(&[one("a", bytes), one("b", bytes), one("c", bytes)].join("[[schedule]]\n"));
        three(40_000).unwrap();
        let problems = three(50_000).unwrap_err().to_string();
        assert!(problems.contains("line 6: `schedule` have 150000 bytes of payload together"), "{problems}");
    }
}
