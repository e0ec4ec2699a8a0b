//! What a publisher asks of hosts about large payloads: to store one part by part, to make an object of the parts, to
//! read an object part by part, or to remove it. Each request is one message, and any host can answer each.

use serde::{Deserialize, Serialize};

use crate::header::name;
use crate::{Digest, NameError, PayloadName, TenantName, escape_and_cut};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadRequest {
    /// Store the next part; without a name it is the first of a new payload.
    Put {
        /// The payload, once the first part has been answered.
        name: Option<PayloadName>,
        /// Where the part before it lies, as its answer said; 0 before the first.
        after: u64,
    },
    /// All parts are there: make an object of them.
    Finish {
        /// The payload.
        name: PayloadName,
        /// The digest that the whole must have, if its publisher says so.
        digest: Option<Digest>,
    },
    /// Read the next part.
    Get {
        /// The payload.
        name: PayloadName,
        /// Where the part before it lies, as its answer said; 0 before the first.
        after: u64,
    },
    /// Remove it, finished or not.
    Remove {
        /// The payload.
        name: PayloadName,
    },
}

/// Why a request cannot be understood. The text is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPayloadRequest {
    /// It was put right on its way, so that nobody knows what it said.
    #[error("the message cannot be read as it was published: {0}")]
    Malformed(String),
    /// It does not say what to do.
    #[error("header Saggar-Blob must be `put`, `finish`, `get` or `remove`, and is `{0}`")]
    Operation(String),
    /// It does not say what it is about.
    #[error("header Saggar-Payload is missing; it says which object is meant")]
    Unnamed,
    /// The name can be none, the tenant's or the payload's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The place of the part before is no number.
    #[error("header Saggar-After: `{0}` is not a number; repeat what the last answer said")]
    After(String),
    /// The digest is none.
    #[error("header Saggar-Digest: `{0}` is not a digest; write `sha256:` and 64 hexadecimal digits")]
    Digest(String),
}

impl PayloadRequest {
    /// Where all of them are published.
    pub const SUBJECTS: &'static str = "saggar.*.control.blob";

    /// Where a tenant publishes them.
    #[must_use]
    pub fn subject(tenant: &TenantName) -> String {
        format!("saggar.{tenant}.control.blob")
    }

    /// Whose request it is that was published to this subject.
    ///
    /// # Errors
    /// No tenant can be called so.
    pub fn tenant(subject: &str) -> Result<TenantName, NameError> {
        let rest = subject.strip_prefix("saggar.").unwrap_or(subject);
        rest.strip_suffix(".control.blob").unwrap_or(rest).parse()
    }

    /// Reads a request from its headers.
    ///
    /// # Errors
    /// See [`BadPayloadRequest`].
    pub fn read<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, BadPayloadRequest> {
        let shown = |text: &str| escape_and_cut(text, 256);
        if let Some(what) = header(name::MALFORMED) {
            return Err(BadPayloadRequest::Malformed(shown(what)));
        }
        let name = || header(name::PAYLOAD).map(PayloadName::from_header).transpose();
        let named = || name()?.ok_or(BadPayloadRequest::Unnamed);
        let after = || match header(name::AFTER) {
            None => Ok(0),
            Some(text) => text.parse().map_err(|_| BadPayloadRequest::After(shown(text))),
        };
        match header(name::BLOB).unwrap_or_default() {
            "put" => Ok(Self::Put { name: name()?, after: after()? }),
            "finish" => {
                let digest = header(name::DIGEST)
                    .map(|text| text.parse().map_err(|_| BadPayloadRequest::Digest(shown(text))));
                Ok(Self::Finish { name: named()?, digest: digest.transpose()? })
            }
            "get" => Ok(Self::Get { name: named()?, after: after()? }),
            "remove" => Ok(Self::Remove { name: named()? }),
            other => Err(BadPayloadRequest::Operation(shown(other))),
        }
    }

    /// The headers of a request, as name and value.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let (operation, object, after, digest) = match self {
            Self::Put { name, after } => ("put", name.as_ref(), Some(*after), None),
            Self::Finish { name, digest } => ("finish", Some(name), None, digest.as_ref()),
            Self::Get { name, after } => ("get", Some(name), Some(*after), None),
            Self::Remove { name } => ("remove", Some(name), None, None),
        };
        let mut headers = vec![(name::BLOB, operation.to_owned())];
        headers.extend(object.map(|object| (name::PAYLOAD, object.header())));
        headers.extend(after.filter(|after| *after > 0).map(|after| (name::AFTER, after.to_string())));
        headers.extend(digest.map(|digest| (name::DIGEST, digest.to_string())));
        headers
    }
}

/// The answer to a part that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartAnswer {
    /// The object that the parts will be.
    pub object: PayloadName,
    /// What the next request says as `Saggar-After`.
    pub after: u64,
}

/// The answer to a payload that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeAnswer {
    /// The object.
    pub object: PayloadName,
    /// What the task says as `Saggar-Payload`.
    pub header: String,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// The answer to a payload that was to be removed. It is not there any more, whether it was or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedAnswer {
    /// The object.
    pub object: PayloadName,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Result<PayloadRequest, BadPayloadRequest> {
        PayloadRequest::read(|wanted| {
            headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
        })
    }

    #[test]
    fn a_request_reads_back_from_its_headers() {
        let name = PayloadName::input(7);
        for request in [
            PayloadRequest::Put { name: None, after: 0 },
            PayloadRequest::Put { name: Some(name), after: 9 },
            PayloadRequest::Finish { name, digest: Some(Digest::of(b"x")) },
            PayloadRequest::Finish { name, digest: None },
            PayloadRequest::Get { name: PayloadName::output(1), after: u64::MAX },
            PayloadRequest::Remove { name },
        ] {
            let headers = request.headers();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(read(&headers), Ok(request));
        }
        let acme = "acme".parse().unwrap();
        assert_eq!(PayloadRequest::tenant(&PayloadRequest::subject(&acme)), Ok(acme));
    }

    #[test]
    fn what_cannot_be_understood_says_why() {
        let name = PayloadName::input(7).header();
        let (object, put) = ((name::PAYLOAD, name.as_str()), (name::BLOB, "put"));
        let long = "9".repeat(5000);
        for (headers, part) in [
            (vec![], "`put`, `finish`, `get` or `remove`"),
            (vec![(name::BLOB, "PUT\r\n")], "PUT\\r\\n"),
            (vec![(name::BLOB, "get")], "Saggar-Payload is missing"),
            (vec![(name::BLOB, "finish")], "Saggar-Payload is missing"),
            (vec![put, (name::PAYLOAD, "object:../../x")], "../../x"),
            (vec![put, object, (name::AFTER, "-1")], "`-1` is not a number"),
            (vec![put, object, (name::AFTER, &long)], "is not a number"),
            (vec![(name::BLOB, "finish"), object, (name::DIGEST, "md5:1")], "`md5:1` is not a digest"),
        ] {
            let error = read(&headers).unwrap_err().to_string();
            assert!(error.contains(part) && error.len() < 600, "{part} in {error}");
        }
        for subject in ["", "saggar..control.blob", "saggar.A.control.blob", "saggar.a.b.control.blob"] {
            assert!(PayloadRequest::tenant(subject).is_err(), "{subject}");
        }
    }
}
