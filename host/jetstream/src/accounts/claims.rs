//! Claims about operators, accounts and users, signed as nats-server checks them: version 2, Ed25519.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use saggar_model::Digest;
use serde::Serialize;

use super::NatsKey;

/// No limit.
pub(super) const NO_LIMIT: i64 = -1;

/// The release of the claims' format.
pub(super) const VERSION: u8 = 2;

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
}

#[derive(Serialize)]
struct Claims<'a, T> {
    iss: String,
    sub: &'a str,
    name: &'a str,
    /// Unix seconds.
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    nats: &'a T,
}

/// Signs what `issuer` says about the key `subject`.
pub(super) fn sign<T: Serialize>(
    issuer: &NatsKey,
    subject: &str,
    name: &str,
    now: SystemTime,
    nats: &T,
) -> String {
    let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = Claims { iss: issuer.public(), sub: subject, name, iat, jti: None, nats };
    claims.jti = Some(Digest::of(&json(&claims)).to_string());
    let header = json(&Header { typ: "JWT", alg: "ed25519-nkey" });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(json(&claims)));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers can be written as JSON")
}

/// What an operator is.
#[derive(Serialize)]
pub(super) struct Operator {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) version: u8,
    pub(super) system_account: String,
}

/// What an account is.
#[derive(Serialize)]
pub(super) struct Account {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) version: u8,
    pub(super) limits: AccountLimits,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) exports: Vec<Export>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) imports: Vec<Import>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_permissions: Option<Permissions>,
}

/// How much an account may have. JetStream's are absent for an account without it.
#[derive(Serialize)]
pub(super) struct AccountLimits {
    pub(super) subs: i64,
    pub(super) conn: i64,
    pub(super) leaf: i64,
    pub(super) imports: i64,
    pub(super) exports: i64,
    pub(super) data: i64,
    pub(super) payload: i64,
    pub(super) wildcards: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) jetstream: Option<StoreLimits>,
}

/// How much of JetStream an account may have.
#[derive(Serialize)]
pub(super) struct StoreLimits {
    pub(super) mem_storage: i64,
    pub(super) disk_storage: i64,
    pub(super) streams: i64,
    pub(super) consumer: i64,
}

/// What an account lets those import whom it gives a token.
#[derive(Serialize)]
pub(super) struct Export {
    pub(super) name: String,
    pub(super) subject: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) token_req: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_type: Option<&'static str>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_threshold: Option<u64>,
}

/// What an account imports, with the token that allows it.
#[derive(Serialize)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) local_subject: String,
    pub(super) account: String,
    pub(super) token: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// That an account may import something.
#[derive(Serialize)]
pub(super) struct Activation<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) version: u8,
    pub(super) subject: &'a str,
    #[serde(rename = "kind")]
    pub(super) of: &'static str,
}

/// Where users may publish, and what they may subscribe to.
#[derive(Serialize)]
pub(super) struct Permissions {
    #[serde(rename = "pub")]
    pub(super) publish: Allowed,
    #[serde(rename = "sub")]
    pub(super) subscribe: Allowed,
}

/// A list of what is allowed; nothing else is.
#[derive(Serialize)]
pub(super) struct Allowed {
    pub(super) allow: Vec<String>,
}

/// What a user is. One without permissions of its own has those of its account.
#[derive(Serialize)]
pub(super) struct User {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) version: u8,
    pub(super) subs: i64,
    pub(super) data: i64,
    pub(super) payload: i64,
}
