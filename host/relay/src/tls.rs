//! Whom the relay believes to be its server, and who it is itself. Read anew for each handshake, so that a certificate
//! that was replaced is used from the next connection on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The files for encrypted connections.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// The authorities to believe; without, those that this machine's programs believe.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Encrypts a connection to `host`, and makes sure whom it is with.
    pub(crate) async fn handshake(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let files = self.clone();
        let config =
            tokio::task::spawn_blocking(move || files.config()).await.map_err(io::Error::other)??;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn config(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(self.roots()?);
        match &self.certificate {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(io::Error::other)
            }
        }
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.authorities else {
            let loaded = rustls_native_certs::load_native_certs();
            for error in &loaded.errors {
                tracing::warn!(%error, "some of this machine's root certificates cannot be read");
            }
            roots.add_parsable_certificates(loaded.certs);
            return Ok(roots);
        };
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| unusable(path, &error))?;
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{} cannot be used: {error}", path.display()))
}
