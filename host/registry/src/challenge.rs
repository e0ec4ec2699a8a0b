//! How a registry asks for credentials: a Basic password, or a token from somebody who knows it.

use saggar_model::escape_and_cut;

/// Longest header that is read, and longest token that is passed on.
pub(crate) const TOKEN_MAX_BYTES: usize = 16 << 10;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from this URL.
    Bearer {
        /// Who gives tokens.
        realm: String,
        /// What the token is for, as the registry calls itself.
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header.
    ///
    /// # Errors
    /// It cannot be read; the text says why.
    pub(crate) fn parse(header: &str) -> Result<Self, String> {
        let shown = || escape_and_cut(header, 128);
        if header.len() > TOKEN_MAX_BYTES {
            return Err("the header is too long".to_owned());
        }
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(format!("`{}` is neither Basic nor Bearer", shown()));
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in parameters(rest).ok_or_else(|| format!("`{}` cannot be read", shown()))? {
            let place = match name.to_ascii_lowercase().as_str() {
                "realm" => &mut realm,
                "service" => &mut service,
                // A scope as well: we know what we want, and it is not for the registry to want more.
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(format!("`{}` says it twice", shown()));
            }
        }
        let realm = realm.ok_or_else(|| format!("`{}` names no realm", shown()))?;
        Ok(Self::Bearer { realm, service })
    }
}

/// `a="b",c=d` as pairs; nothing if it is something else.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            // Escaped characters are in no URL and in no service's name.
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        pairs.push((name.trim().to_owned(), value.trim().to_owned()));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let header = r#"Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:a:pull""#;
        assert_eq!(
            Challenge::parse(header),
            Ok(Challenge::Bearer {
                realm: "https://auth.example.com/token".to_owned(),
                service: Some("registry.example.com".to_owned()),
            })
        );
        let header = "bearer realm=https://auth.example.com , error=\"x, y\"";
        assert_eq!(
            Challenge::parse(header),
            Ok(Challenge::Bearer { realm: "https://auth.example.com".to_owned(), service: None })
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Ok(Challenge::Basic));
        assert_eq!(Challenge::parse("basic"), Ok(Challenge::Basic));
    }

    #[test]
    fn attack_51_challenges_that_are_none_are_refused() {
        let long = format!("Bearer realm=\"{}\"", "x".repeat(TOKEN_MAX_BYTES));
        for header in [
            "",
            "Bearer",
            "Bearer x",
            "Bearer realm=\"x",
            "Bearer service=\"x\"",
            "Bearer realm=\"a\",realm=\"b\"",
            "Bearer realm=\"a\"b=\"c\"",
            "Negotiate",
            &long,
        ] {
            assert!(Challenge::parse(header).is_err(), "{header:.40}");
        }
    }
}
