//! The signature of Standard Webhooks: an HMAC-SHA256 over id, time and body.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// A key shorter than this could be found by trying.
const KEY_MIN_BYTES: usize = 24;

/// The keys that an event is signed with: one, or the old and the new while an endpoint changes over.
pub struct Secret(Vec<Vec<u8>>);

/// What goes into the headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    pub timestamp: String,
    pub signature: String,
}

impl Secret {
    /// Reads `whsec_…` with base64 behind it; several are parted by spaces. The error says nothing of the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let key = |part: &str| {
            let encoded = part.strip_prefix("whsec_").ok_or("must begin with `whsec_`")?;
            let key = STANDARD.decode(encoded).map_err(|_| "must be base64 after `whsec_`")?;
            if key.len() < KEY_MIN_BYTES { Err("must hold at least 24 bytes") } else { Ok(key) }
        };
        let keys = text.split_whitespace().map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err("is empty") } else { Ok(Self(keys)) }
    }

    /// Signs a body at a time.
    pub fn sign(&self, id: &str, now: SystemTime, body: &[u8]) -> Signed {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let timestamp = seconds.to_string();
        let sign = |key: &Vec<u8>| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                mac.update(part);
            }
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let signature = self.0.iter().map(sign).collect::<Vec<_>>().join(" ");
        Signed { timestamp, signature }
    }
}
