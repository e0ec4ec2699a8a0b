//! Files in TOML, read so that every mistake is reported at once, with its line and the key it is about.

mod allowance;
mod case;
mod grants;
mod host;
mod http_grant;
mod plugin;
mod problem;
mod reader;
mod schedule;
mod secrets;
mod tenant;
mod value;
mod write;

pub use case::{CaseFile, CaseInput, Expectation};
pub use grants::parse_grants;
pub use host::{AdminConfig, HostConfig, LogFormat, NatsConfig, PluginsConfig, WorkerConfig};
pub use plugin::PluginFile;
pub use problem::{Problem, Problems};
pub use reader::{Document, Overrides, Section};
pub use tenant::{PluginLines, TenantFile, parse_tenant};
pub use value::FromToml;
pub use write::write_tenant;
