//! Saggar's streams, consumers, records and stores in NATS JetStream.
//!
//! The only crate that knows the NATS client: what comes out of here are the domain's own words. Every request is
//! bounded, and every error says whose fault it is.

mod api;
mod baseline;
mod bucket;
mod connection;
mod context;
mod dead;
mod delivery;
mod difference;
mod direct;
mod events;
mod fault;
mod headers;
mod hold;
mod hosts;
mod layout;
mod lease;
pub mod local_server;
mod plugins;
mod provision;
mod pull;
mod records;
mod redrive;
mod result_writer;
mod server_binary;
mod state;
mod target;
mod tasks;
mod tenants;
mod version;
mod watch;

pub use api::{ADMIN_TIMEOUT, READ_TIMEOUT, RequestError, STORE_TIMEOUT};
pub use baseline::{RawLoop, RawLoopError, ResultListener};
pub use bucket::Expected;
pub use connection::{CONNECT_TIMEOUT, ConnectError, Nats};
pub use context::ContextError;
pub use dead::{DeadError, DeadLetters, DeadName, DeadPut, StoredDead};
pub use delivery::{Delivery, KEEP_ALIVE_TIMEOUT};
pub use difference::Difference;
pub use events::Events;
pub use fault::Fault;
pub use hosts::{HEARTBEAT, HostInfo, Hosts, JoinError, Membership, SILENCE, Standing};
pub use layout::{ACK_WAIT, DUPLICATE_WINDOW, HOST_TTL, PAYLOAD_RESERVE, task_max_bytes};
pub use lease::Lease;
pub use local_server::{LocalServer, LocalServerError, StartOptions};
pub use plugins::{Declared, PluginInfo, Plugins, PluginsError, Pushed};
pub use provision::{Dangerous, ProvisionError, Provisioner};
pub use pull::{GUARD, Pull, PullError, PullMode, QueueDepth, TaskQueue};
pub use records::{Put, RecordsError, ResultMessage, Results, StoredResult};
pub use redrive::Redriven;
pub use result_writer::{Answers, ResultWriter};
pub use state::{StateError, States, StoredHistory};
pub use target::{Identity, Source, Target, TargetError, URL_DEFAULT};
pub use tasks::{NewTask, PublishError, Published, QueuedTask, TaskState, Tasks};
pub use tenants::{TenantEntry, Tenants, TenantsError};
pub use version::{OLDEST as OLDEST_SERVER, ServerVersion};
pub use watch::TenantChange;
