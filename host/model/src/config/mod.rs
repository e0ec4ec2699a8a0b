//! Files in TOML, read so that every mistake is reported at once, with its line and the key it is about.

mod case;
mod grants;
mod host;
mod http_grant;
mod plugin;
mod problem;
mod reader;
mod secrets;
mod tenant;
mod value;

pub use case::{CaseFile, CaseInput, Expectation};
pub use grants::parse_grants;
pub use host::{AdminConfig, HostConfig, LogFormat, NatsConfig, PluginsConfig, WorkerConfig};
pub use plugin::PluginFile;
pub use problem::{Problem, Problems};
pub use reader::{Document, Overrides, Section};
pub use tenant::parse_tenant;
pub use value::FromToml;
