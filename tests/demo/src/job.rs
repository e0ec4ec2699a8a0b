//! The tasks of the demonstration, and what should become of each.

use bytes::Bytes;
use image::ImageFormat;

use crate::orders::{COLUMNS, FILTER, orders};
use crate::pictures::Picture;

/// One task.
pub struct Job {
    /// Whose it is.
    pub tenant: &'static str,
    /// Where it is published.
    pub queue: &'static str,
    /// What it is called in its queue.
    pub id: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// The plugin's input.
    pub payload: Bytes,
    /// What should become of it.
    pub expected: Expected,
}

/// What should become of a task.
pub enum Expected {
    /// This text.
    Text(String),
    /// A picture of this width and height.
    Picture(u32, u32, ImageFormat),
    /// A table with so many lines below its header.
    Table(usize),
    /// A failure, by its outcome and a part of its reason.
    Failure(&'static str, &'static str),
}

/// How many tasks of each kind a set has: pictures and tables of both tenants, greetings of both.
pub struct Mix {
    /// Photographs of the studio and scans of the ledger.
    pub pictures: (usize, usize),
    /// Exports of the studio and of the ledger.
    pub tables: (usize, usize),
    /// Greetings of the studio and of the ledger.
    pub greetings: (usize, usize),
}

/// Tasks that want nothing but their result, mixed; all ids begin with `set`.
pub fn honest(set: &str, mix: &Mix, album: &[Picture]) -> Vec<Job> {
    let mut kinds = [
        (0..mix.pictures.0).map(|n| picture("studio", "thumbnail", set, n, album)).collect::<Vec<_>>(),
        (0..mix.pictures.1).map(|n| picture("ledger", "scan", set, n, album)).collect(),
        (0..mix.tables.0).map(|n| table("studio", set, n)).collect(),
        (0..mix.tables.1).map(|n| table("ledger", set, n)).collect(),
        (0..mix.greetings.0).map(|n| greeting("studio", set, n)).collect(),
        (0..mix.greetings.1).map(|n| greeting("ledger", set, n)).collect(),
    ];
    // Spread evenly: of the kinds, always the one that lags furthest behind its share.
    let totals: Vec<usize> = kinds.iter().map(Vec::len).collect();
    kinds.iter_mut().for_each(|kind| kind.reverse());
    let all = totals.iter().sum();
    let mut mixed = Vec::with_capacity(all);
    while mixed.len() < all {
        let furthest = (0..kinds.len())
            .filter(|&kind| !kinds[kind].is_empty())
            .max_by_key(|&kind| kinds[kind].len() * 1_000_000 / totals[kind])
            .expect("some kind has tasks left");
        mixed.extend(kinds[furthest].pop());
    }
    mixed
}

/// Four tasks that mean harm.
pub fn hostile() -> Vec<Job> {
    let job = |queue, payload: &'static str, outcome, reason| Job {
        tenant: "ledger",
        queue,
        id: "hostile".to_owned(),
        headers: Vec::new(),
        payload: Bytes::from_static(payload.as_bytes()),
        expected: Expected::Failure(outcome, reason),
    };
    vec![
        job("endless-loop", "", "out-of-fuel", "fuel limit of 3000000000"),
        job("memory-bomb", "", "out-of-memory", "memory limit of 128"),
        job("panic", "at 1,280 °C", "trapped", "the glaze cracked: at 1,280 °C"),
        job("endless-sleep", "", "timed-out", "wall limit of 2s"),
    ]
}

fn picture(tenant: &'static str, queue: &'static str, set: &str, n: usize, album: &[Picture]) -> Job {
    let Picture { shown, format, bytes } = &album[n % album.len()];
    // Each time round the album, the pictures are wanted in another size.
    let (width, height, fit, wanted) = [
        (240, 240, "contain", "same"),
        (120, 120, "cover", "same"),
        (320, 320, "contain", "jpeg"),
        (160, 160, "contain", "webp"),
    ][n / album.len() % 4];
    let (width_out, height_out) = if fit == "cover" { (width, height) } else { contained(*shown, width) };
    let format_out = match wanted {
        "jpeg" => ImageFormat::Jpeg,
        "webp" => ImageFormat::WebP,
        _ => *format,
    };
    let headers = vec![
        ("Content-Type", format.to_mime_type().to_owned()),
        ("Thumbnail-Width", width.to_string()),
        ("Thumbnail-Height", height.to_string()),
        ("Thumbnail-Fit", fit.to_owned()),
        ("Thumbnail-Format", wanted.to_owned()),
    ];
    let expected = Expected::Picture(width_out, height_out, format_out);
    Job { tenant, queue, id: format!("{set}-{n:03}"), headers, payload: bytes.clone(), expected }
}

/// A picture of this size in a square box; all sides of the album divide without a rest worth rounding.
fn contained((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longest = width.max(height);
    let scaled = |length: u32| (length * side + longest / 2) / longest;
    (scaled(width), scaled(height))
}

fn table(tenant: &'static str, set: &str, n: usize) -> Job {
    let orders = orders(n as u64, 500 + n % 7 * 250);
    let headers = vec![
        ("Content-Type", orders.content_type.to_owned()),
        ("Csv-Columns", COLUMNS.to_owned()),
        ("Csv-Filter", FILTER.to_owned()),
    ];
    let expected = Expected::Table(orders.kept);
    Job {
        tenant,
        queue: "export",
        id: format!("{set}-{n:03}"),
        headers,
        payload: orders.text.into(),
        expected,
    }
}

fn greeting(tenant: &'static str, set: &str, n: usize) -> Job {
    let name = format!("visitor {n}");
    let headers = vec![("Content-Type", "application/json".to_owned())];
    let payload = serde_json::json!({ "name": name }).to_string().into();
    let expected = Expected::Text(format!("Hello, {name}!"));
    Job { tenant, queue: "greet", id: format!("{set}-{n:03}"), headers, payload, expected }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn jobs() -> Vec<Job> {
        let mix = Mix { pictures: (48, 12), tables: (14, 7), greetings: (2, 3) };
        let mut jobs = honest("test", &mix, &crate::pictures::album().unwrap());
        jobs.extend(hostile());
        jobs
    }

    #[test]
    fn every_task_fits_into_one_message() {
        /// The server's default `max_payload`, less what a stream of tasks keeps free.
        const MOST: usize = (1 << 20) - (32 << 10);
        /// Names and values of headers, generously.
        const HEADERS: usize = 1 << 10;
        for job in jobs() {
            assert!(job.payload.len() + HEADERS < MOST, "{}/{}: {}", job.queue, job.id, job.payload.len());
        }
    }

    #[test]
    fn every_task_has_an_id_of_its_own() {
        let jobs = jobs();
        let ids: HashSet<_> = jobs.iter().map(|job| (job.tenant, job.queue, &job.id)).collect();
        assert_eq!(ids.len(), jobs.len());
    }

    #[test]
    fn kinds_of_tasks_are_mixed() {
        let mix = Mix { pictures: (4, 0), tables: (0, 0), greetings: (0, 2) };
        let jobs = honest("test", &mix, &crate::pictures::album().unwrap());
        let queues: Vec<_> = jobs.iter().map(|job| job.queue).collect();
        assert_eq!(queues, ["greet", "thumbnail", "thumbnail", "greet", "thumbnail", "thumbnail"]);
    }
}
