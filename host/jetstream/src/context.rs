//! The contexts of the `nats` command line: a file with an address and credentials, one of them selected.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::target::{Identity, user_or_token};

/// A context, as far as it matters here.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) url: Option<String>,
    pub(crate) identity: Identity,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) inbox_prefix: Option<String>,
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The context that was named or selected has no file.
    #[error("there is no nats context {name} at {}; see `nats context ls`", .path.display())]
    Missing {
        /// The context.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Its file cannot be read.
    #[error("the nats context {name} at {} cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The context.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It finds its credentials in a way that is not supported here.
    #[error("the nats context {name} uses `{key}`, which is not supported here; set NATS_URL and NATS_CREDS")]
    Unsupported {
        /// The context.
        name: String,
        /// What it uses.
        key: &'static str,
    },
}

/// The file, as `nats context save` writes it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    url: String,
    user: String,
    password: String,
    token: String,
    creds: String,
    nkey: String,
    ca: String,
    cert: String,
    key: String,
    inbox_prefix: String,
    nsc: String,
    user_jwt: String,
}

impl Context {
    /// The context called `named`, or else the selected one, if there is any.
    pub(crate) fn selected(
        named: Option<&str>,
        config_home: Option<&Path>,
        home: Option<&Path>,
    ) -> Result<Option<Self>, ContextError> {
        let name = match (named, config_home) {
            (Some(name), _) => name.to_owned(),
            (None, Some(config)) => match std::fs::read_to_string(config.join("nats/context.txt")) {
                Ok(name) if !name.trim().is_empty() => name.trim().to_owned(),
                _ => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        let path = if Path::new(&name).is_absolute() {
            PathBuf::from(&name)
        } else {
            config_home.unwrap_or(Path::new("")).join("nats/context").join(format!("{name}.json"))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ContextError::Missing { name: name.clone(), path: path.clone() },
            _ => {
                ContextError::Unreadable { name: name.clone(), path: path.clone(), reason: error.to_string() }
            }
        })?;
        let file: File = serde_json::from_str(&text).map_err(|error| ContextError::Unreadable {
            name: name.clone(),
            path,
            reason: error.to_string(),
        })?;
        file.into_context(name, home).map(Some)
    }
}

impl File {
    fn into_context(self, name: String, home: Option<&Path>) -> Result<Context, ContextError> {
        for (key, value) in [("nsc", &self.nsc), ("user_jwt", &self.user_jwt)] {
            if !value.is_empty() && self.creds.is_empty() {
                return Err(ContextError::Unsupported { name, key });
            }
        }
        let path = |text: String| given(text).map(|text| expanded(&text, home));
        let identity = if let Some(creds) = path(self.creds) {
            Identity::Creds(creds)
        } else if let Some(seed) = path(self.nkey) {
            Identity::NKey(seed)
        } else if let Some(token) = given(self.token) {
            Identity::Token(token)
        } else {
            user_or_token(given(self.user), given(self.password))
        };
        Ok(Context {
            name,
            url: given(self.url),
            identity,
            ca: path(self.ca),
            certificate: path(self.cert).zip(path(self.key)),
            inbox_prefix: given(self.inbox_prefix),
        })
    }
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A path as people write it into such a file, with `~` for the home directory.
fn expanded(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}
