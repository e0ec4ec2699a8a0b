//! Where NATS is and who we are there: flags, then the environment, then the selected `nats` context, then
//! `nats://127.0.0.1:4222`.
//!
//! The first of these that names an address also decides about credentials: a context's are sent to the context's
//! servers only, while flags and environment complete each other.

use std::path::{Path, PathBuf};

use saggar_model::config::NatsConfig;

use crate::Fault;
use crate::context::{Context, ContextError};

/// What everything else falls back to.
pub const URL_DEFAULT: &str = "nats://127.0.0.1:4222";

/// How to reach NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Addresses of servers, at least one.
    pub servers: Vec<String>,
    /// Who we are.
    pub identity: Identity,
    /// File with the authorities to trust, besides the system's.
    pub ca: Option<PathBuf>,
    /// Files with our certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where answers are to arrive, if the account prescribes it.
    pub inbox_prefix: Option<String>,
    /// Who named the address.
    pub source: Source,
}

/// Who we are to NATS.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// Nobody.
    #[default]
    None,
    /// User and password.
    User(String, String),
    /// A token.
    Token(String),
    /// File with a JWT and its key.
    Creds(PathBuf),
    /// File with the seed of a key.
    NKey(PathBuf),
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::User(user, _) => write!(f, "User({user})"),
            Self::Token(_) => f.write_str("Token"),
            Self::Creds(path) => write!(f, "Creds({})", path.display()),
            Self::NKey(path) => write!(f, "NKey({})", path.display()),
        }
    }
}

/// Who named the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag or the configuration file.
    Flags,
    /// `NATS_URL`.
    Environment,
    /// The `nats` context of this name.
    Context(String),
    /// Nobody.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flags => f.write_str("given by flag or file"),
            Self::Environment => f.write_str("from NATS_URL"),
            Self::Context(name) => write!(f, "from the nats context {name}"),
            Self::Default => f.write_str("the default; set NATS_URL to use another"),
        }
    }
}

/// Why nothing can be said about where NATS is.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A `nats` context cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// No address is left after splitting.
    #[error("`{given}` holds no server address; write for example nats://127.0.0.1:4222")]
    NoServer {
        /// What was given.
        given: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("{have} is set and {missing} is not; a client certificate needs both")]
    HalfCertificate {
        /// The variable that is set.
        have: &'static str,
        /// The variable that is missing.
        missing: &'static str,
    },
}

impl TargetError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

impl Target {
    /// A target at one address, without credentials.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            servers: vec![url.to_owned()],
            identity: Identity::None,
            ca: None,
            certificate: None,
            inbox_prefix: None,
            source: Source::Flags,
        }
    }

    /// Decides where NATS is.
    ///
    /// `flags` come from the command line or a file. `env` answers for environment variables, by name.
    /// `config_home` is where programs keep their configuration, usually `~/.config`; without it no context is
    /// looked for, unless `NATS_CONTEXT` names one by its path.
    ///
    /// # Errors
    /// The context that applies cannot be read, or the variables do not go together.
    pub fn resolve(
        flags: &NatsConfig,
        env: impl Fn(&str) -> Option<String>,
        config_home: Option<&Path>,
    ) -> Result<Self, TargetError> {
        let var = |name: &str| env(name).filter(|value| !value.is_empty());
        let named = flags
            .url
            .clone()
            .map(|url| (url, Source::Flags))
            .or_else(|| var("NATS_URL").map(|url| (url, Source::Environment)));
        let home = var("HOME").map(PathBuf::from);
        let context = match &named {
            Some(_) => Context::default(),
            None => Context::selected(var("NATS_CONTEXT").as_deref(), config_home, home.as_deref())?
                .unwrap_or_default(),
        };
        let (url, source) = named.unwrap_or_else(|| match &context.url {
            Some(url) => (url.clone(), Source::Context(context.name.clone())),
            None => (URL_DEFAULT.to_owned(), Source::Default),
        });
        let servers: Vec<String> =
            url.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
        if servers.is_empty() {
            return Err(TargetError::NoServer { given: url });
        }
        let path = |name: &str| var(name).map(PathBuf::from);
        let ours = flags.creds.clone().map_or_else(|| identity(&var), Identity::Creds);
        let identity = [ours, context.identity, in_address(&servers[0])]
            .into_iter()
            .find(|identity| *identity != Identity::None)
            .unwrap_or_default();
        Ok(Self {
            servers,
            identity,
            ca: flags.ca.clone().or_else(|| path("NATS_CA")).or(context.ca),
            certificate: both(path("NATS_CERT"), path("NATS_KEY"))?.or(context.certificate),
            inbox_prefix: var("NATS_INBOX_PREFIX").or(context.inbox_prefix),
            source,
        })
    }

    /// The addresses without passwords, for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.servers.iter().map(|server| without_password(server)).collect::<Vec<_>>().join(",")
    }
}

fn identity(var: &impl Fn(&str) -> Option<String>) -> Identity {
    if let Some(creds) = var("NATS_CREDS") {
        Identity::Creds(creds.into())
    } else if let Some(seed) = var("NATS_NKEY") {
        Identity::NKey(seed.into())
    } else if let Some(token) = var("NATS_TOKEN") {
        Identity::Token(token)
    } else {
        user_or_token(var("NATS_USER"), var("NATS_PASSWORD"))
    }
}

/// As the `nats` command line has it, a user without a password is a token.
pub(crate) fn user_or_token(user: Option<String>, password: Option<String>) -> Identity {
    match (user, password) {
        (Some(user), Some(password)) => Identity::User(user, password),
        (Some(token), None) => Identity::Token(token),
        (None, _) => Identity::None,
    }
}

/// Who `nats://user:password@host` or `nats://token@host` says we are.
fn in_address(server: &str) -> Identity {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let after_scheme = server.split_once("://").map_or(server, |(_, rest)| rest);
    match after_scheme.rsplit_once('@').map(|(who, _)| who.split_once(':').ok_or(who)) {
        Some(Ok((user, password))) => Identity::User(decoded(user), decoded(password)),
        Some(Err(token)) => Identity::Token(decoded(token)),
        None => Identity::None,
    }
}

fn both(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, TargetError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(TargetError::HalfCertificate { have: "NATS_CERT", missing: "NATS_KEY" }),
        (None, Some(_)) => Err(TargetError::HalfCertificate { have: "NATS_KEY", missing: "NATS_CERT" }),
    }
}

/// `nats://user:secret@host` without its secret, and without its token.
fn without_password(server: &str) -> String {
    match (server.find("://"), server.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}{}", &server[..scheme + 3], &server[at + 1..]),
        (None, Some(at)) => server[at + 1..].to_owned(),
        _ => server.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn flags(url: Option<&str>) -> NatsConfig {
        NatsConfig { url: url.map(str::to_owned), ..NatsConfig::default() }
    }

    /// A directory as `nats context` leaves it, with the context `prod` selected.
    fn contexts() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("nats/context");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(home.path().join("nats/context.txt"), "prod\n").unwrap();
        std::fs::write(
            dir.join("prod.json"),
            r#"{"description":"p","url":"nats://a:1,nats://b:2","creds":"~/p.creds","ca":"/ca.pem","nsc":""}"#,
        )
        .unwrap();
        std::fs::write(dir.join("other.json"), r#"{"url":"tls://c:3","user":"u","password":"p"}"#).unwrap();
        home
    }

    #[test]
    fn an_address_can_say_who_we_are_and_a_variable_says_it_louder() {
        let identity = |url: &str, vars: &[(&str, &str)]| {
            Target::resolve(&flags(Some(url)), env(vars), None).unwrap().identity
        };
        let user = Identity::User("me".to_owned(), "p@ss".to_owned());
        assert_eq!(identity("nats://me:p%40ss@host:4222,nats://other", &[]), user);
        assert_eq!(identity("nats://secret@host", &[]), Identity::Token("secret".to_owned()));
        assert_eq!(identity("host:4222", &[]), Identity::None);
        let vars = [("NATS_CREDS", "/me.creds")];
        assert_eq!(identity("nats://me:p@host", &vars), Identity::Creds("/me.creds".into()));
    }

    #[test]
    fn flags_come_before_the_environment_before_the_context_before_the_default() {
        let home = contexts();
        let vars = [("NATS_URL", "nats://env:4"), ("HOME", "/home/me")];
        let resolve = |flags: &NatsConfig, vars: &[(&str, &str)]| {
            Target::resolve(flags, env(vars), Some(home.path())).unwrap()
        };
        assert_eq!(resolve(&flags(Some("nats://flag:5")), &vars).servers, ["nats://flag:5"]);
        assert_eq!(resolve(&flags(None), &vars).servers, ["nats://env:4"]);
        let selected = resolve(&flags(None), &vars[1..]);
        assert_eq!(selected.servers, ["nats://a:1", "nats://b:2"]);
        assert_eq!(selected.source, Source::Context("prod".to_owned()));
        let nothing = Target::resolve(&flags(None), env(&[]), None).unwrap();
        assert_eq!((nothing.servers, nothing.source), (vec![URL_DEFAULT.to_owned()], Source::Default));
    }

    #[test]
    fn a_contexts_credentials_go_to_its_own_servers_only() {
        let home = contexts();
        let selected =
            Target::resolve(&flags(None), env(&[("HOME", "/home/me")]), Some(home.path())).unwrap();
        assert_eq!(selected.identity, Identity::Creds("/home/me/p.creds".into()));
        assert_eq!(selected.ca, Some("/ca.pem".into()));
        let elsewhere = Target::resolve(&flags(Some("nats://x")), env(&[]), Some(home.path())).unwrap();
        assert_eq!((elsewhere.identity, elsewhere.ca), (Identity::None, None));
    }

    #[test]
    fn another_context_can_be_named() {
        let home = contexts();
        let other =
            Target::resolve(&flags(None), env(&[("NATS_CONTEXT", "other")]), Some(home.path())).unwrap();
        assert_eq!(other.identity, Identity::User("u".into(), "p".into()));
        let missing = Target::resolve(&flags(None), env(&[("NATS_CONTEXT", "nope")]), Some(home.path()));
        assert!(missing.unwrap_err().to_string().contains("nope"));
    }

    #[test]
    fn credentials_are_taken_from_the_variables_of_the_nats_command() {
        let identity = |vars: &[(&str, &str)]| {
            Target::resolve(&flags(Some("nats://x")), env(vars), None).unwrap().identity
        };
        assert_eq!(identity(&[("NATS_CREDS", "/c")]), Identity::Creds("/c".into()));
        assert_eq!(identity(&[("NATS_NKEY", "/n")]), Identity::NKey("/n".into()));
        assert_eq!(identity(&[("NATS_USER", "t")]), Identity::Token("t".into()));
        assert_eq!(
            identity(&[("NATS_USER", "u"), ("NATS_PASSWORD", "p")]),
            Identity::User("u".into(), "p".into())
        );
        let half = Target::resolve(&flags(None), env(&[("NATS_CERT", "/c")]), None);
        assert!(half.unwrap_err().to_string().contains("NATS_KEY"));
    }

    #[test]
    fn passwords_and_tokens_are_not_shown() {
        let target =
            Target { servers: vec!["nats://u:secret@h:1".into(), "tok@h:2".into()], ..Target::at("") };
        assert_eq!(target.address(), "nats://h:1,h:2");
        assert!(!format!("{:?}", Identity::User("u".into(), "secret".into())).contains("secret"));
    }
}
