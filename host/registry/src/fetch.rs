//! From a reference to a component: manifest, layer, and the way past a registry's door.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use saggar_model::{Digest, escape_and_cut};
use serde::Deserialize;
use url::Url;

use crate::bounds::Bounds;
use crate::challenge::{Challenge, TOKEN_MAX_BYTES};
use crate::error::{Astray, RegistryError, astray};
use crate::line::{Answer, Question, ask};
use crate::manifest::{self, MANIFEST};
use crate::origin::{Home, Reach};
use crate::reference::{Reference, Wanted};

/// What a registry knows us by.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The component's bytes, compared with `digest`.
    pub component: Bytes,
    /// The component's digest, as the manifest has it.
    pub digest: Digest,
    /// The reference with the manifest's digest, which will mean the same tomorrow.
    pub source: String,
}

/// Fetches artifacts.
#[derive(Debug, Clone)]
pub struct Registry {
    bounds: Bounds,
    credentials: Option<Credentials>,
}

/// One fetch from one registry.
struct Visit<'a> {
    bounds: &'a Bounds,
    credentials: Option<&'a Credentials>,
    home: Home,
    repository: &'a str,
    /// What opened the door, once it was asked for.
    authorization: Option<HeaderValue>,
}

impl Registry {
    /// A way to registries that takes no more than these bounds, and shows these credentials to one that asks.
    #[must_use]
    pub fn new(bounds: Bounds, credentials: Option<Credentials>) -> Self {
        Self { bounds, credentials }
    }

    /// Fetches a component.
    ///
    /// # Errors
    /// The registry cannot be reached, has no such thing, serves something else, or wants too much of us.
    pub async fn fetch(&self, reference: &Reference) -> Result<Artifact, RegistryError> {
        let home = Home::of(&reference.host)
            .ok_or_else(|| RegistryError::Host(escape_and_cut(&reference.host, 128)))?;
        let host = home.to_string();
        let visit = Visit {
            bounds: &self.bounds,
            credentials: self.credentials.as_ref(),
            home,
            repository: &reference.repository,
            authorization: None,
        };
        tokio::time::timeout(self.bounds.total, visit.fetch(reference)).await.unwrap_or_else(|_| {
            Err(RegistryError::Slow { host, doing: "fetching", after: self.bounds.total })
        })
    }
}

impl Visit<'_> {
    async fn fetch(mut self, reference: &Reference) -> Result<Artifact, RegistryError> {
        // The tag is looked up once; from here on there are only digests.
        let wanted = match &reference.wanted {
            Wanted::Tag(tag) => tag.clone(),
            Wanted::Manifest(digest) => digest.to_string(),
        };
        let answer = self.get(&format!("manifests/{wanted}"), MANIFEST).await?;
        let served_as = answer.header(CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
        let claimed = answer.header("docker-content-digest").map(str::to_owned);
        let bytes = answer.read("manifest", self.bounds.manifest, self.bounds).await?;
        let digest = Digest::of(&bytes);
        if let Wanted::Manifest(wanted) = reference.wanted {
            same("manifest", wanted, digest)?;
        }
        if let Some(claimed) = claimed.and_then(|claimed| claimed.parse().ok()) {
            same("manifest", claimed, digest)?;
        }
        let layer = manifest::component(&bytes, &digest, &served_as)?;
        if layer.size > self.bounds.component {
            return Err(RegistryError::TooLarge { what: "component", most: self.bounds.component });
        }
        let answer = self.get(&format!("blobs/{}", layer.digest), "*/*").await?;
        // Not a byte more than was announced.
        let component = answer.read("component", layer.size, self.bounds).await?;
        if component.len() as u64 != layer.size {
            let found = component.len() as u64;
            return Err(RegistryError::WrongSize { what: "component", wanted: layer.size, found });
        }
        same("component", layer.digest, Digest::of(&component))?;
        Ok(Artifact { component, digest: layer.digest, source: reference.pinned(digest).to_string() })
    }

    /// Asks the registry for something of the repository's, follows where it leads, and opens its door if there is one.
    async fn get(&mut self, what: &str, accept: &'static str) -> Result<Answer, RegistryError> {
        let path = format!("/v2/{}/{what}", self.repository);
        let mut url =
            self.home.at(&path).ok_or_else(|| astray(&self.home.to_string(), &path, Astray::NoUrl))?;
        let (mut led, mut asked) = (0, false);
        loop {
            let reach = self.reach(&url)?;
            // Nobody else learns what opens the registry's door.
            let authorization = self.authorization.clone().filter(|_| self.home.is(&url));
            let answer = ask(Question { url: &url, reach, accept, authorization }, self.bounds).await?;
            let host = url.authority().to_owned();
            match answer.status {
                StatusCode::OK => return Ok(answer),
                status if status.is_redirection() => {
                    led += 1;
                    let to = answer.header(LOCATION.as_str()).unwrap_or_default();
                    if led > self.bounds.redirects {
                        return Err(astray(&host, to, Astray::Often(self.bounds.redirects)));
                    }
                    url = url.join(to).map_err(|_| astray(&host, to, Astray::NoUrl))?;
                }
                StatusCode::UNAUTHORIZED if !asked && self.home.is(&url) => {
                    asked = true;
                    self.authorization = Some(self.open(&answer).await?);
                }
                StatusCode::NOT_FOUND => {
                    let what = format!("{what} in {}", self.repository);
                    return Err(RegistryError::NotFound { host, what });
                }
                status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                    return Err(RegistryError::Denied { host, status: status.as_u16() });
                }
                status => return Err(RegistryError::Status { host, status: status.as_u16() }),
            }
        }
    }

    fn reach(&self, url: &Url) -> Result<Reach, RegistryError> {
        self.home.reach(url).map_err(|why| astray(&self.home.to_string(), url.as_str(), why))
    }

    /// What opens the door that the registry shows.
    async fn open(&self, answer: &Answer) -> Result<HeaderValue, RegistryError> {
        let host = self.home.to_string();
        let challenge = |reason: String| RegistryError::Challenge { host: host.clone(), reason };
        let header = answer.header(WWW_AUTHENTICATE.as_str()).unwrap_or_default();
        match Challenge::parse(header).map_err(challenge)? {
            Challenge::Basic => self.basic().ok_or_else(|| RegistryError::Denied {
                host: host.clone(),
                status: StatusCode::UNAUTHORIZED.as_u16(),
            }),
            Challenge::Bearer { realm, service } => {
                let token = self.token(&realm, service.as_deref()).await?;
                secret(&format!("Bearer {token}"))
                    .ok_or_else(|| challenge("the token cannot be sent in a header".to_owned()))
            }
        }
    }

    /// A token that lets us pull. Whoever gives it is asked once, and leads nowhere else.
    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Granted {
            token: Option<String>,
            access_token: Option<String>,
        }
        let home = self.home.to_string();
        let mut url = Url::parse(realm).map_err(|_| astray(&home, realm, Astray::NoUrl))?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &format!("repository:{}:pull", self.repository));
        }
        let question = Question {
            url: &url,
            reach: self.reach(&url)?,
            accept: "application/json",
            authorization: self.basic(),
        };
        let answer = ask(question, self.bounds).await?;
        let host = url.authority().to_owned();
        match answer.status {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                let to = answer.header(LOCATION.as_str()).unwrap_or_default();
                return Err(astray(&host, to, Astray::Often(0)));
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(RegistryError::Denied { host, status: status.as_u16() });
            }
            status => return Err(RegistryError::Status { host, status: status.as_u16() }),
        }
        let bytes = answer.read("token", self.bounds.manifest, self.bounds).await?;
        serde_json::from_slice::<Granted>(&bytes)
            .ok()
            .and_then(|granted| granted.token.or(granted.access_token))
            .filter(|token| (1..=TOKEN_MAX_BYTES).contains(&token.len()))
            .ok_or_else(|| RegistryError::Challenge { host, reason: "it gives no token".to_owned() })
    }

    fn basic(&self) -> Option<HeaderValue> {
        let Credentials { user, password } = self.credentials?;
        secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }
}

/// A header that is not shown in any log.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn same(what: &'static str, wanted: Digest, found: Digest) -> Result<(), RegistryError> {
    if wanted == found { Ok(()) } else { Err(RegistryError::WrongDigest { what, wanted, found }) }
}
