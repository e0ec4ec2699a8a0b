//! The picture of what goes on: tenants, queues and hosts, as much of each as fits.

use std::cmp::Reverse;
use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};
use saggar_model::{Figures, QueueName, TenantName, format_duration};
use serde::Serialize;

use crate::columns::{self, Column, Row};
use crate::moment;
use crate::observer::{HostSeen, HostState, Seen};
use crate::rows::{FIGURES, HOSTS, WITH_BARS, figures_row, host_row};
use crate::screen::Size;
use crate::short;
use crate::view::{Shown, Sort, View};

/// What a table is as wide as that no terminal shows: everything but bars.
const UNBOUNDED: usize = WITH_BARS - 1;

/// Hosts have so much of the lines, if there are more of them.
const HOSTS_PART: usize = 4;

/// A tenant that had anything to do.
#[derive(Debug, Clone, Serialize)]
pub struct TenantRow {
    tenant: TenantName,
    weight: u32,
    #[serde(flatten)]
    figures: Figures,
}

/// A queue that had anything to do.
#[derive(Debug, Clone, Serialize)]
pub struct QueueRow {
    tenant: TenantName,
    queue: QueueName,
    weight: u32,
    #[serde(flatten)]
    figures: Figures,
}

/// What is shown, in order, as programs read it.
#[derive(Debug, Clone, Serialize)]
pub struct Board {
    tenants: Vec<TenantRow>,
    queues: Vec<QueueRow>,
    hosts: Vec<HostSeen>,
    /// All tenants, idle ones included.
    #[serde(skip)]
    pub known: usize,
}

impl Board {
    /// What was seen, of one tenant or of all.
    #[must_use]
    pub fn new(seen: &Seen, only: Option<&TenantName>, sort: Sort) -> Self {
        let is_wanted = |tenant: &TenantName| only.is_none_or(|only| only == tenant);
        let weights = |tenant: &TenantName| seen.weights.get(tenant);
        let tenants = seen.overview.tenants.iter().filter(|(tenant, _)| is_wanted(tenant));
        let mut tenants: Vec<_> = tenants
            .map(|(tenant, figures)| TenantRow {
                tenant: tenant.clone(),
                weight: weights(tenant).map_or(1, |weights| weights.tenant),
                figures: *figures,
            })
            .collect();
        let queues = seen.overview.queues.iter().filter(|((tenant, _), _)| is_wanted(tenant));
        let mut queues: Vec<_> = queues
            .map(|((tenant, queue), figures)| QueueRow {
                tenant: tenant.clone(),
                queue: queue.clone(),
                weight: weights(tenant).and_then(|weights| weights.queues.get(queue)).copied().unwrap_or(1),
                figures: *figures,
            })
            .collect();
        // They stand in the order of their names, which stays among equals.
        tenants.sort_by(|a, b| sort.key(&b.figures).total_cmp(&sort.key(&a.figures)));
        queues.sort_by(|a, b| sort.key(&b.figures).total_cmp(&sort.key(&a.figures)));
        Self { tenants, queues, hosts: seen.hosts.clone(), known: seen.weights.len() }
    }

    /// The tables as they are, for whoever does not look at a terminal.
    #[must_use]
    pub fn text(&self, shown: Shown) -> String {
        let tables = self.tables(shown, UNBOUNDED, usize::MAX);
        tables.iter().map(|table| table.join("\n")).collect::<Vec<_>>().join("\n\n")
    }

    /// The picture: no line wider, and no more lines, than fit.
    #[must_use]
    pub fn picture(&self, seen: &Seen, interval: Duration, view: View, size: Size) -> Vec<String> {
        let Size { columns, lines } = size;
        let clock = format!("{} UTC", moment::clock(seen.at));
        let mut picture =
            vec![title(&self.title(interval), &clock, columns), columns::cut(&self.totals(), columns)];
        let mut foot = columns::cut(
            &format!("q quit   s sort: {}   tab show: {}", view.sort.as_str(), view.shown.as_str()),
            columns,
        );
        if seen.interval.is_none() {
            foot = columns::cut(&format!("rates are known in {}", format_duration(interval)), columns);
        }
        for table in self.tables(view.shown, columns, lines.saturating_sub(picture.len() + 1)) {
            picture.push(String::new());
            picture.extend(table);
        }
        picture.truncate(lines.saturating_sub(1));
        picture.resize(lines.saturating_sub(1), String::new());
        picture.push(foot.style(Style::new().dimmed()).to_string());
        picture
    }

    fn title(&self, interval: Duration) -> String {
        let silent = self.hosts.iter().filter(|host| host.state == HostState::Silent).count();
        let mut hosts = several(self.hosts.len(), "host");
        if silent > 0 {
            hosts += &format!(", {silent} silent");
        }
        let (busy, known) = (self.tenants.len(), several(self.known, "tenant"));
        format!("saggar top   {hosts}   {busy} of {known} busy   every {}", format_duration(interval))
    }

    fn totals(&self) -> String {
        let sum = |figure: fn(&HostSeen) -> f64| self.hosts.iter().map(figure).sum::<f64>();
        let cores: u32 = self.hosts.iter().filter_map(|host| host.cores).sum();
        let pending: u64 = self.tenants.iter().filter_map(|row| row.figures.pending).sum();
        let running: u64 = self.tenants.iter().filter_map(|row| row.figures.running).sum();
        format!(
            "{} tasks/s  {} failures/s  {} fuel/s  {:.1} of {cores} cores  {} pending  {} running",
            short::amount(sum(|host| host.rates.rate)),
            short::amount(sum(|host| host.rates.failures)),
            short::amount(sum(|host| host.rates.fuel)),
            sum(|host| host.rates.processors),
            short::count(pending),
            short::count(running),
        )
    }

    /// The tables that are shown, in so many lines, a blank one before each included.
    fn tables(&self, shown: Shown, width: usize, lines: usize) -> Vec<Vec<String>> {
        let wants = |table| shown == Shown::All || shown == table;
        let mut tables: Vec<(&str, &[Column], Vec<Row>)> = Vec::new();
        if wants(Shown::Tenants) {
            let row = |row: &TenantRow| figures_row(row.tenant.to_string(), &row.figures);
            tables.push(("TENANT", &FIGURES, self.tenants.iter().map(row).collect()));
        }
        if wants(Shown::Queues) {
            let row = |row: &QueueRow| figures_row(format!("{}/{}", row.tenant, row.queue), &row.figures);
            tables.push(("QUEUE", &FIGURES, self.queues.iter().map(row).collect()));
        }
        if wants(Shown::Hosts) {
            tables.push(("HOST", &HOSTS, self.hosts.iter().map(host_row).collect()));
        }
        let counts: Vec<_> =
            tables.iter().map(|(heading, _, rows)| (*heading == "HOST", rows.len())).collect();
        let rooms = rooms(&counts, lines);
        // The same for all, so that what stands below each other is of one kind.
        let names = tables.iter().map(|(_, _, rows)| columns::names(rows)).max().unwrap_or(0);
        let table = |((heading, columns, mut rows), room): ((&str, &[Column], Vec<Row>), usize)| {
            let more = rows.len().saturating_sub(room);
            // The line that says how many there are takes the place of one of them.
            let kept = if more > 0 { room.saturating_sub(1) } else { room };
            let hidden = rows.len().saturating_sub(kept);
            rows.truncate(kept);
            let mut lines = columns::lines(heading, columns, &rows, names, width);
            if hidden > 0 {
                let more = columns::cut(&format!("  and {hidden} more"), width);
                lines.push(more.style(Style::new().dimmed()).to_string());
            }
            lines
        };
        tables.into_iter().zip(rooms).filter(|(_, room)| *room > 0).map(table).collect()
    }
}

/// How many lines the rows of each table get: hosts a part of them at most, the others what is left, and what one does
/// not need the next one has. (Whether it is of hosts, rows) each.
fn rooms(tables: &[(bool, usize)], lines: usize) -> Vec<usize> {
    const AROUND: usize = 2;
    if lines == usize::MAX {
        return tables.iter().map(|(_, rows)| (*rows).max(1)).collect();
    }
    let mut rooms = vec![0; tables.len()];
    let mut left = lines;
    let mut order: Vec<usize> = (0..tables.len()).collect();
    // Hosts first, since they are few; then whoever has least.
    order.sort_by_key(|at| (Reverse(tables[*at].0), tables[*at].1));
    for (n, at) in order.iter().enumerate() {
        let (is_hosts, rows) = tables[*at];
        let others = order.len() - n;
        let part = if is_hosts && others > 1 { left / HOSTS_PART } else { left / others };
        let room = rows.max(1).min(part.saturating_sub(AROUND));
        rooms[*at] = room;
        left -= if room > 0 { room + AROUND } else { 0 };
    }
    rooms
}

fn title(left: &str, right: &str, width: usize) -> String {
    let left = columns::cut(left, width);
    let blank = width.saturating_sub(left.chars().count() + right.len());
    let right = if blank > 0 { format!("{}{right}", " ".repeat(blank)) } else { String::new() };
    format!("{}{}", left.style(Style::new().bold()), right.style(Style::new().dimmed()))
}

fn several(count: usize, what: &str) -> String {
    let number = crate::report::count(count as u64);
    if count == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use saggar_model::{Overview, Rates, Weights};

    use super::*;

    fn figures(share: f64, rate: f64) -> Figures {
        let rates = Rates { rate, failures: 0.5, fuel: 3.1e9, processors: share * 4.0 };
        let (pending, oldest_ms, running) = (Some(12_345), Some(62_000), Some(16));
        Figures { pending, oldest_ms, running, rates, share, entitlement: 0.5 }
    }

    fn host(name: &str, state: HostState) -> HostSeen {
        let (heard, rates) = (state != HostState::Silent, Rates { processors: 1.5, ..Rates::default() });
        HostSeen {
            host: name.into(),
            state,
            slots: 256,
            running: heard.then_some(16),
            memory: 4 << 30,
            memory_used: heard.then_some(1 << 30),
            cores: heard.then_some(2),
            rates,
        }
    }

    /// So many tenants with two queues each, the last one with the largest share.
    fn seen(tenants: u32) -> Seen {
        let mut overview = Overview::default();
        let mut weights = BTreeMap::new();
        for n in 0..tenants {
            let tenant: TenantName = format!("tenant-{n:03}").parse().unwrap();
            let part = f64::from(n + 1) / 1000.0;
            overview.tenants.insert(tenant.clone(), figures(part, 1000.0 - f64::from(n)));
            for queue in ["mail", "thumbnail"] {
                overview.queues.insert((tenant.clone(), queue.parse().unwrap()), figures(part / 2.0, 1.0));
            }
            weights.insert(tenant, Weights { tenant: 2, queues: BTreeMap::new() });
        }
        let hosts = vec![host("host-1", HostState::Active), host("host-2", HostState::Silent)];
        let (at, interval) = (SystemTime::UNIX_EPOCH, Some(Duration::from_secs(1)));
        Seen { at, interval, overview, weights, hosts }
    }

    fn picture(tenants: u32, view: View, columns: usize, lines: usize) -> Vec<String> {
        let seen = seen(tenants);
        let board = Board::new(&seen, None, view.sort);
        let picture = board.picture(&seen, Duration::from_secs(1), view, Size { columns, lines });
        picture.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_picture_has_as_many_lines_as_fit_and_none_is_too_wide() {
        for tenants in [0, 1, 40] {
            for lines in [1, 2, 5, 9, 24, 50, 200] {
                for columns in [1, 20, 40, 80, 140, 250] {
                    for shown in [Shown::All, Shown::Tenants, Shown::Queues, Shown::Hosts] {
                        let view = View { shown, ..View::default() };
                        let picture = picture(tenants, view, columns, lines);
                        assert_eq!(picture.len(), lines, "{tenants} {columns}×{lines}: {picture:#?}");
                        let widest = picture.iter().map(|line| line.chars().count()).max();
                        assert!(widest <= Some(columns), "{tenants} {columns}×{lines}: {picture:#?}");
                    }
                }
            }
        }
    }

    #[test]
    fn at_80_columns_every_figure_has_its_place_and_what_does_not_fit_is_counted() {
        let picture = picture(40, View::default(), 80, 24);
        let wanted = [
            "saggar top   2 hosts, 1 silent   40 of 40 tenants busy   every 1s   00:00:00 UTC",
            "0 tasks/s  0 failures/s  0 fuel/s  3.0 of 2 cores  493,800 pending  640 running",
            "",
            "TENANT              PENDING  OLDEST RUNNING  RATE/S FAIL/S FUEL/S SHARE ENTITLED",
            "tenant-039           12,345    1m2s      16     961    0.5   3.1G 4.0 %     50 %",
        ];
        assert_eq!(picture[..5], wanted, "{picture:#?}");
        let text = picture.join("\n");
        for part in ["  and 35 more", "  and 74 more", "tenant-039/mail", "host-2", "silent", "16 of 256"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(picture[23], "q quit   s sort: share   tab show: all");
    }

    #[test]
    fn rows_stand_in_the_order_that_is_asked_for() {
        let first = |sort| {
            let board = Board::new(&seen(3), None, sort);
            (board.tenants[0].tenant.to_string(), board.queues[0].tenant.to_string())
        };
        let pair = |name: &str| (name.to_owned(), name.to_owned());
        assert_eq!(first(Sort::Share), pair("tenant-002"));
        assert_eq!((first(Sort::Rate), first(Sort::Name)), (pair("tenant-000"), pair("tenant-000")));
    }

    #[test]
    fn one_tenant_can_be_looked_at_and_tables_are_whole_without_a_terminal() {
        let only = "tenant-001".parse().unwrap();
        let board = Board::new(&seen(40), Some(&only), Sort::Share);
        assert_eq!((board.tenants.len(), board.queues.len(), board.hosts.len()), (1, 2, 2));
        let all = Board::new(&seen(40), None, Sort::Share).text(Shown::All);
        assert_eq!(all.lines().count(), 1 + 40 + 1 + 1 + 80 + 1 + 1 + 2, "{all}");
    }
}
