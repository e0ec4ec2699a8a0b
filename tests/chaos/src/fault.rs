//! What can be broken.

use std::fmt;
use std::time::Duration;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that leads a tenant's tasks at that moment; the only one if there is but one.
    LeaderOf(&'static str),
    /// This one.
    Node(usize),
}

/// Something that goes wrong for a while, or is done to a running system on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing at all, so that recovery is seen as well.
    Nothing,
    /// A host is killed, and started again when the fault ends.
    KillHost(usize),
    /// A host is stopped with SIGSTOP, and goes on when the fault ends.
    FreezeHost(usize),
    /// A host is told to stop, leaves in good order, and is started again.
    DrainHost(usize),
    /// All hosts are, one after another.
    RollHosts,
    /// A host's wall clock is so many seconds ahead, or behind.
    ShiftClock(usize, i64),
    /// A tenant's queues get a new version of their plugin.
    UpdatePlugin(&'static str),
    /// A server is killed.
    KillServer(Which),
    /// A server is told to stop.
    StopServer(Which),
    /// A server is stopped with SIGSTOP.
    FreezeServer(Which),
    /// A host's connections are closed, and none can be made.
    Cut(usize),
    /// Nothing passes on a host's connections, and none of them is closed.
    Silence(usize),
    /// Whatever passes on a host's connections takes longer.
    Delay(usize, Duration),
    /// The disk of the only server is full.
    FullDisk,
}

impl Fault {
    /// What it is called in the table.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::KillHost(_) => "host killed",
            Self::FreezeHost(_) => "host frozen",
            Self::DrainHost(_) => "host drained",
            Self::RollHosts => "hosts restarted in turn",
            Self::ShiftClock(..) => "clock set",
            Self::UpdatePlugin(_) => "plugin updated",
            Self::KillServer(_) => "server killed",
            Self::StopServer(_) => "server restarted",
            Self::FreezeServer(_) => "server frozen",
            Self::Cut(_) => "line cut",
            Self::Silence(_) => "line silent",
            Self::Delay(..) => "line slow",
            Self::FullDisk => "disk full",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Nothing | Self::RollHosts | Self::FullDisk => f.write_str(name),
            Self::KillHost(host)
            | Self::FreezeHost(host)
            | Self::DrainHost(host)
            | Self::Cut(host)
            | Self::Silence(host) => write!(f, "{name}: host {host}"),
            Self::Delay(host, by) => write!(f, "{name}: host {host}, by {} ms", by.as_millis()),
            Self::ShiftClock(host, seconds) => write!(f, "{name}: host {host}, by {seconds} s"),
            Self::UpdatePlugin(tenant) => write!(f, "{name}: {tenant}"),
            Self::KillServer(which) | Self::StopServer(which) | Self::FreezeServer(which) => match which {
                Which::LeaderOf(tenant) => write!(f, "{name}: leader of {tenant}"),
                Which::Node(node) => write!(f, "{name}: node {node}"),
            },
        }
    }
}
