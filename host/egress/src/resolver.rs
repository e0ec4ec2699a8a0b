//! Looks up names, itself and in bounded time: what is connected to is what was checked, so that no library in between
//! may look a second time.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use saggar_model::HttpFailure;

/// For one question to one server; there is a second try.
const QUESTION: Duration = Duration::from_secs(2);

/// Answers kept, each for as long as its record says, and at the most for [`KEPT`].
const CACHED: u64 = 4096;

/// No answer is believed for longer, whatever its record says.
const KEPT: Duration = Duration::from_mins(1);

/// A name that is not there may be there soon.
const KEPT_ABSENT: Duration = Duration::from_secs(5);

/// Looks up names at these servers, or at those of the system.
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    /// Made at the first question; absent if the system's configuration cannot be used.
    resolver: OnceLock<Option<TokioResolver>>,
}

impl Resolver {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, resolver: OnceLock::new() }
    }

    /// All addresses of a name, at least one.
    ///
    /// # Errors
    /// There are none, or no answer in time.
    pub(crate) async fn addresses(&self, name: &str, within: Duration) -> Result<Vec<IpAddr>, HttpFailure> {
        let Some(resolver) = self.resolver.get_or_init(|| self.make()) else {
            return Err(HttpFailure::LookupFailed);
        };
        // With the dot the name is whole: no search domain of this machine's is added to a guest's words.
        let looking_up = resolver.lookup_ip(format!("{name}."));
        match tokio::time::timeout(within, looking_up).await {
            Err(_) | Ok(Err(NetError::Timeout)) => Err(HttpFailure::LookupTimedOut),
            Ok(Err(_)) => Err(HttpFailure::LookupFailed),
            Ok(Ok(found)) => {
                let addresses: Vec<_> = found.iter().collect();
                if addresses.is_empty() { Err(HttpFailure::LookupFailed) } else { Ok(addresses) }
            }
        }
    }

    fn make(&self) -> Option<TokioResolver> {
        let provider = TokioRuntimeProvider::default();
        let builder = if self.servers.is_empty() {
            TokioResolver::builder(provider)
        } else {
            let servers = self.servers.iter().map(|server| {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                NameServerConfig::new(server.ip(), true, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Ok(TokioResolver::builder_with_config(config, provider))
        };
        let made = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = QUESTION;
            options.attempts = 1;
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            options.use_hosts_file = ResolveHosts::Always;
            options.cache_size = CACHED;
            options.positive_max_ttl = Some(KEPT);
            options.negative_max_ttl = Some(KEPT_ABSENT);
            builder.build()
        });
        made.inspect_err(|error| tracing::error!(%error, "names cannot be looked up on this machine")).ok()
    }
}
