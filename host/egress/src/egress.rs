//! What all requests of a host share.

use std::net::SocketAddr;
use std::sync::Arc;

use saggar_model::{HttpGrant, TenantName};

use crate::bounds::Bounds;
use crate::outbound::Outbound;
use crate::pool::Pool;
use crate::resolver::Resolver;
use crate::tls::{Roots, Tls};

/// How a host sends requests.
#[derive(Debug, Clone, Default)]
pub struct EgressOptions {
    /// Where names are looked up; none means where the system looks them up.
    pub name_servers: Vec<SocketAddr>,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// What every request keeps to.
    pub bounds: Bounds,
}

/// Sends requests. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub struct Egress(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) bounds: Bounds,
    pub(crate) resolver: Resolver,
    pub(crate) tls: Tls,
    pub(crate) pool: Pool,
}

impl Egress {
    /// Nothing is opened or read before the first request.
    #[must_use]
    pub fn new(options: EgressOptions) -> Self {
        Self(Arc::new(Shared {
            bounds: options.bounds,
            resolver: Resolver::new(options.name_servers),
            tls: Tls::new(options.roots),
            pool: Pool::default(),
        }))
    }

    /// The requests of one attempt of a tenant's task, under these grants.
    #[must_use]
    pub fn outbound(&self, tenant: TenantName, grants: Vec<HttpGrant>) -> Outbound {
        Outbound::new(self.0.clone(), tenant, grants)
    }
}
