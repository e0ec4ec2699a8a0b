//! `saggar top`: what goes on, while it goes on.

use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::time::Duration;

use saggar_jetstream::Nats;
use saggar_model::{TenantName, parse_duration};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::arguments::ConnectionFlags;
use crate::board::Board;
use crate::columns;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::moment::rfc3339;
use crate::observer::{Observer, Seen};
use crate::screen::{self, Screen, Size};
use crate::signals::Signals;
use crate::view::{Shown, Sort, View};

const EXAMPLES: &str = "\
Examples:
  saggar top
  saggar top --tenant acme --sort pending
  saggar top --once --output json

Keys: q ends, s sorts by something else, Tab shows one table or all.";

/// More often nobody can read, and hosts would be asked for nothing.
const INTERVAL_MIN: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_hours(1);

/// What Ctrl-C and Ctrl-D are as keys.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// The arguments of `saggar top`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Show this tenant only. Shares are of all hosts' time all the same.
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantName>,

    /// Show hosts only.
    #[arg(long)]
    hosts: bool,

    /// What stands first.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,

    /// Over how long rates are taken, and how often the picture changes.
    #[arg(long, value_name = "DURATION", value_parser = parse_interval, default_value = "1s")]
    interval: Duration,

    /// Print what goes on in one interval, and end. Without a terminal, that is what happens.
    #[arg(long)]
    once: bool,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err("is not between 200ms and 1h".to_owned())
    }
}

/// Shows what goes on until somebody has seen enough.
///
/// # Errors
/// There is no such tenant, NATS does not answer, or the terminal cannot be used.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let nats = connection::connect(flags, console).await?;
    if let Some(tenant) = &arguments.tenant {
        connection::tenant(&nats, tenant).await?;
    }
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if arguments.once || (!console.is_json() && (is_dumb || !io::stdout().is_terminal())) {
        once(&arguments, &nats, console).await?;
    } else if console.is_json() {
        line_by_line(&arguments, &nats, console).await?;
    } else {
        live(&arguments, &nats).await?;
    }
    Ok(Exit::Success)
}

async fn once(arguments: &Arguments, nats: &Nats, console: Console) -> Result<(), Failure> {
    let mut observer = Observer::new(nats, arguments.tenant.clone());
    let seen = observer.measure(arguments.interval).await?;
    let board = Board::new(&seen, arguments.tenant.as_ref(), arguments.sort);
    console.object(&board, &meta(&seen, &board))?;
    console.line(board.text(arguments.view().shown))
}

async fn line_by_line(arguments: &Arguments, nats: &Nats, console: Console) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let mut looks = Looks::start(arguments, nats);
    loop {
        let seen = tokio::select! {
            seen = looks.next() => seen?,
            _ = signals.next() => return Ok(()),
        };
        if seen.interval.is_none() && !seen.hosts.is_empty() {
            continue;
        }
        let board = Board::new(&seen, arguments.tenant.as_ref(), arguments.sort);
        if !console.is_read(&json!({ "data": board, "meta": meta(&seen, &board) }))? {
            return Ok(());
        }
    }
}

fn meta(seen: &Seen, board: &Board) -> Value {
    let interval = seen.interval.unwrap_or_default();
    let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    json!({ "at": rfc3339(seen.at), "interval_ms": ms, "tenants": board.known })
}

async fn live(arguments: &Arguments, nats: &Nats) -> Result<(), Failure> {
    let no_terminal = |error| Failure::new(Kind::Internal, format!("the terminal cannot be used: {error}"));
    let mut signals = Signals::catch()?;
    let mut resized = signal(SignalKind::window_change()).map_err(no_terminal)?;
    let mut looks = Looks::start(arguments, nats);
    let mut live = Live { arguments, view: arguments.view(), last: None, trouble: None };
    let screen = Screen::enter().map_err(no_terminal)?;
    let mut keys = screen.keys();
    loop {
        let size = screen::size();
        screen.show(&live.picture(size), size).map_err(no_terminal)?;
        tokio::select! {
            looked = looks.next() => live.take(looked)?,
            key = keys.next() => if live.press(key).is_break() { return Ok(()) },
            _ = resized.recv() => {}
            _ = signals.next() => return Ok(()),
        }
    }
}

/// What is on the screen.
struct Live<'a> {
    arguments: &'a Arguments,
    view: View,
    last: Option<Seen>,
    /// Why there is nothing newer.
    trouble: Option<Failure>,
}

impl Live<'_> {
    fn picture(&self, size: Size) -> Vec<String> {
        let Self { arguments, view, last, trouble } = self;
        let mut picture = match last {
            Some(seen) => {
                let board = Board::new(seen, arguments.tenant.as_ref(), view.sort);
                board.picture(seen, arguments.interval, *view, size)
            }
            None => vec!["saggar top   looking …".to_owned()],
        };
        if let (Some(failure), Some(line)) = (trouble, picture.last_mut()) {
            // In place of the keys.
            let said = failure.to_string();
            *line = columns::cut(said.lines().next().unwrap_or_default(), size.columns);
        }
        picture
    }

    /// NATS may come back; what is not allowed stays so.
    fn take(&mut self, looked: Result<Seen, Failure>) -> Result<(), Failure> {
        match looked {
            Ok(seen) => (self.last, self.trouble) = (Some(seen), None),
            Err(failure) if failure.kind == Kind::Unavailable => self.trouble = Some(failure),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn press(&mut self, key: u8) -> ControlFlow<()> {
        match key {
            b'q' | b'Q' | CTRL_C | CTRL_D => return ControlFlow::Break(()),
            b's' => self.view.sort = self.view.sort.next(),
            b'\t' => self.view.shown = self.view.shown.next(),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Arguments {
    fn view(&self) -> View {
        let shown = if self.hosts { Shown::Hosts } else { Shown::All };
        View { sort: self.sort, shown }
    }
}

/// Looks in the background, so that a key does not wait for a host that is silent; until this is dropped.
struct Looks(mpsc::Receiver<Result<Seen, Failure>>);

impl Looks {
    fn start(arguments: &Arguments, nats: &Nats) -> Self {
        let mut observer = Observer::new(nats, arguments.tenant.clone());
        let mut again = tokio::time::interval(arguments.interval);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (looked, seen) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                again.tick().await;
                if looked.send(observer.look().await).await.is_err() {
                    return;
                }
            }
        });
        Self(seen)
    }

    async fn next(&mut self) -> Result<Seen, Failure> {
        match self.0.recv().await {
            Some(seen) => seen,
            None => Err(Failure::new(Kind::Internal, "nobody looks any more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_one_that_people_can_wait_for_and_hosts_bear() {
        assert_eq!(parse_interval("1s"), Ok(Duration::from_secs(1)));
        for bad in ["1ms", "2h", "soon"] {
            assert!(parse_interval(bad).is_err(), "{bad}");
        }
    }
}
