//! Ten thousand tenants on a hundred hosts: most have a task now and then, some flood, and their tasks are short or long,
//! computing or asleep. What each of those that flood gets is laid beside what its weight says.
//!
//! `SAGGAR_PLOT=FILE` writes the picture that the documentation shows.

use std::fmt::Write as _;

use super::Capacity;
use super::model::{Comes, Had, Host, Tenant};

const TENANTS: usize = 10_000;
const FLOODS: usize = 120;
const HOSTS: u64 = 100;
const SECONDS: u64 = 2;
const WARM_UP: u64 = 1;
const CAPACITY: Capacity = Capacity { slots: 256, memory: 256 << 20, cores: 8 };
const MS: u64 = 1_000;
const OWN_WORK: u64 = super::OWN_WORK / 1_000;

/// Every hundredth or so floods. Its tasks take as long as its place among them says, and its weight is as great.
fn tenants() -> Vec<Tenant> {
    (0..TENANTS)
        .map(|place| {
            let weight = [1, 2, 4][place % 3];
            let computes = [100, MS, 5 * MS, 20 * MS][place % 4];
            if place < FLOODS { Tenant::flood(weight, computes, 0) } else { Tenant::quiet(200, 10_000 * MS) }
        })
        .collect()
}

/// What all hosts together gave to each.
fn run(tenants: &[Tenant]) -> Vec<Had> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|first| {
                scope.spawn(move || {
                    let mut sum = vec![Had::default(); tenants.len()];
                    for host in (first..HOSTS).step_by(threads) {
                        let had = Host::new(CAPACITY, tenants, host).run(WARM_UP, SECONDS);
                        sum.iter_mut().zip(had).for_each(|(sum, had)| add(sum, had));
                    }
                    sum
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("it ends")).collect::<Vec<_>>()
    });
    let mut sum = vec![Had::default(); tenants.len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, had)| add(sum, had));
    }
    sum
}

fn add(sum: &mut Had, had: Had) {
    sum.computed += had.computed;
    sum.tasks += had.tasks;
    sum.waited.extend(had.waited);
}

/// A tenant that floods: what it was, and its share of what such tenants got, divided by what its weight says.
struct Share {
    tenant: Tenant,
    of_entitlement: f64,
}

#[expect(clippy::cast_precision_loss, reason = "shares")]
fn shares(tenants: &[Tenant], had: &[Had]) -> Vec<Share> {
    let floods = || tenants.iter().zip(had).filter(|(tenant, _)| tenant.comes == Comes::Flood);
    let used = |had: &Had| (had.computed + had.tasks * OWN_WORK) as f64;
    let all: f64 = floods().map(|(_, had)| used(had)).sum();
    let weights: f64 = floods().map(|(tenant, _)| f64::from(tenant.weight)).sum();
    let share = |(tenant, had): (&Tenant, &Had)| Share {
        tenant: *tenant,
        of_entitlement: used(had) / all / (f64::from(tenant.weight) / weights),
    };
    floods().map(share).collect()
}

#[expect(clippy::cast_precision_loss, reason = "places in a picture")]
fn plot(shares: &[Share]) -> String {
    const COLOURS: [(u64, &str); 4] =
        [(100, "#4477aa"), (MS, "#66ccee"), (5 * MS, "#228833"), (20 * MS, "#ee6677")];
    let height = |share: f64| 220.0 - 180.0 * share.min(1.2);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 270\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"760\" height=\"270\" fill=\"white\"/>\n",
    );
    for (n, share) in shares.iter().enumerate() {
        let (x, y) = (50.0 + 5.8 * n as f64, height(share.of_entitlement));
        let colour = COLOURS
            .iter()
            .find(|(computes, _)| *computes == share.tenant.computes)
            .map_or("grey", |found| found.1);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"4.6\" height=\"{:.1}\" fill=\"{colour}\"/>",
            220.0 - y
        );
    }
    for (level, name) in [(0.5, "0.5"), (1.0, "1.0")] {
        let y = height(level);
        let _ = writeln!(
            svg,
            "<path d=\"M46 {y}H750\" stroke=\"black\" stroke-dasharray=\"3 3\"/><text x=\"18\" y=\"{:.0}\">{name}</text>",
            y + 4.0
        );
    }
    for (n, (computes, colour)) in COLOURS.iter().enumerate() {
        let x = 50 + 170 * n;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"240\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"249\">tasks of {} ms</text>",
            x + 15,
            *computes as f64 / 1_000.0
        );
    }
    svg.push_str("<text x=\"50\" y=\"16\">share of each tenant that floods ÷ share by its weight (1, 2 or 4)</text>\n</svg>\n");
    svg
}

#[test]
fn ten_thousand_tenants_on_a_hundred_hosts_get_what_their_weights_say() {
    let tenants = tenants();
    let had = run(&tenants);
    let shares = shares(&tenants, &had);
    let mut sorted: Vec<f64> = shares.iter().map(|share| share.of_entitlement).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut quiet = Had::default();
    had.iter().skip(FLOODS).for_each(|had| quiet.waited.extend(&had.waited));
    println!("{FLOODS} of {TENANTS} tenants flood {HOSTS} hosts; share ÷ entitlement:");
    println!("least {:.3}, median {:.3}, most {:.3}", sorted[0], sorted[FLOODS / 2], sorted[FLOODS - 1]);
    println!("quiet tenants: {} tasks, p99 of waiting {} µs", quiet.waited.len(), quiet.p99());
    if let Ok(file) = std::env::var("SAGGAR_PLOT") {
        std::fs::write(file, plot(&shares)).expect("the picture is written");
    }
    assert!(sorted[0] > 0.85 && sorted[FLOODS - 1] < 1.15, "{sorted:.3?}");
    assert!(quiet.p99() < 50 * MS, "{} µs", quiet.p99());
}
