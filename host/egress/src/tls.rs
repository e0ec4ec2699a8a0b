//! Who the other end is: its certificate has to be valid for the name that was granted.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, RootCertStore};
use saggar_model::{HttpFailure, HttpHost};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub enum Roots {
    /// Those that this machine's programs believe.
    #[default]
    System,
    /// These and no others.
    Only(Vec<CertificateDer<'static>>),
}

impl Roots {
    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        match self {
            Self::Only(certificates) => drop(store.add_parsable_certificates(certificates.iter().cloned())),
            Self::System => {
                let loaded = rustls_native_certs::load_native_certs();
                for error in &loaded.errors {
                    tracing::warn!(%error, "some of this machine's root certificates cannot be read");
                }
                store.add_parsable_certificates(loaded.certs);
            }
        }
        store
    }
}

/// Does handshakes. The roots are read at the first one: most hosts have tasks before they have requests.
pub(crate) struct Tls {
    roots: Roots,
    connector: OnceLock<TlsConnector>,
}

impl Tls {
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots, connector: OnceLock::new() }
    }

    fn connector(&self) -> &TlsConnector {
        self.connector.get_or_init(|| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("the provider has suites for the default versions")
                .with_root_certificates(self.roots.store())
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        })
    }

    /// Encrypts a connection, and makes sure whom it is with.
    pub(crate) async fn handshake(
        &self,
        host: &HttpHost,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HttpFailure> {
        let name = match host {
            HttpHost::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| HttpFailure::Certificate)?
            }
            HttpHost::Address(address) => ServerName::IpAddress(IpAddr::from(*address)),
        };
        self.connector().connect(name, stream).await.map_err(|error| failure_of(&error))
    }
}

fn failure_of(error: &io::Error) -> HttpFailure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            HttpFailure::Certificate
        }
        Some(_) => HttpFailure::Tls,
        None => HttpFailure::Terminated,
    }
}
