//! Makes components of attacks.

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, WorldId};

use crate::Guest;

/// What attackers may import, and the handler they export.
const PACKAGES: [(&str, &str); 8] = [
    ("config.wit", include_str!("../../../wit/deps/wasi-config/store.wit")),
    ("io.wit", include_str!("../../../wit/deps/wasi-io/io.wit")),
    ("keyvalue.wit", include_str!("../../../wit/deps/wasi-keyvalue/keyvalue.wit")),
    ("blobstore.wit", include_str!("../../../wit/deps/wasi-blobstore/blobstore.wit")),
    ("logging.wit", include_str!("../../../wit/deps/wasi-logging/logging.wit")),
    ("task.wit", include_str!("../../../wit/task.wit")),
    ("wasi.wit", include_str!("../wit/wasi.wit")),
    ("attacker.wit", include_str!("../wit/attacker.wit")),
];

/// An attack could not be made: its own mistake, not a refusal.
#[derive(Debug, thiserror::Error)]
#[error("the attack cannot be built: {0}")]
pub struct BuildError(String);

impl Guest {
    /// The bytes that a tenant would push.
    ///
    /// # Errors
    /// The text is not well-formed.
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        match self {
            Self::Module(text) => componentise(wat::parse_str(text).map_err(failed)?),
            Self::CoreModule(module) => componentise(module.clone()),
            Self::Component(text) => wat::parse_str(text).map_err(failed),
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }
}

/// The signatures, and which of the worlds is the attackers'.
pub(crate) fn attackers_world() -> Result<(Resolve, WorldId), BuildError> {
    let mut resolve = Resolve::default();
    let mut last = None;
    for (path, text) in PACKAGES {
        last = Some(resolve.push_str(path, text).map_err(failed)?);
    }
    let package = last.ok_or_else(|| BuildError("there is no world".to_owned()))?;
    let world = resolve.select_world(&[package], Some("attacker")).map_err(failed)?;
    Ok((resolve, world))
}

fn componentise(mut module: Vec<u8>) -> Result<Vec<u8>, BuildError> {
    let (resolve, world) = attackers_world()?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(failed)?;
    ComponentEncoder::default().module(&module).map_err(failed)?.encode().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> BuildError {
    BuildError(format!("{error:#}"))
}
