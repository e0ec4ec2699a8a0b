//! Fetches components from OCI registries.
//!
//! A registry may be anybody's. It can serve what it likes, for as long as it likes, and lead wherever it likes: so that
//! sizes are bounded before and while they are read, a transfer has to keep a pace, every byte is compared with a digest,
//! and nothing but the registry itself is spoken to at an address that is not public. A tag is looked up once, and what
//! it stood for is kept as a digest.
//!
//! ```no_run
//! # async fn fetch() -> Result<(), Box<dyn std::error::Error>> {
//! let reference = "oci://registry.example.com/acme/thumbnail:1.2.0".parse()?;
//! let registry = saggar_registry::Registry::new(saggar_registry::Bounds::default(), None);
//! let artifact = registry.fetch(&reference).await?;
//! println!("{} is {}", artifact.source, artifact.digest);
//! # Ok(())
//! # }
//! ```

mod bounds;
mod challenge;
mod error;
mod fetch;
mod line;
mod manifest;
mod origin;
mod reference;

pub use bounds::Bounds;
pub use error::{Astray, RegistryError};
pub use fetch::{Artifact, Credentials, Registry};
pub use manifest::ManifestError;
pub use reference::{Reference, ReferenceError, Wanted};
