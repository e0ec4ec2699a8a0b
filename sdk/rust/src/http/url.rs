//! A URL in the parts that the world wants it in. What they are worth is the host's to judge.

use super::Failure;

/// Scheme, authority, and path with query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) tls: bool,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(url: &'a str) -> Result<Self, Failure> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| Failure::Invalid(format!("`{url}` is no absolute URL")))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(Failure::Invalid(format!("`{scheme}` is neither https nor http"))),
        };
        // What stands after `#` is for whoever reads the answer.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return Err(Failure::Invalid(format!("`{url}` names no host")));
        }
        Ok(Self { tls, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_three_parts() {
        let parts = |url| Parts::of(url).map(|parts| (parts.tls, parts.authority, parts.path));
        assert_eq!(parts("https://a.example/b?c#d"), Ok((true, "a.example", "/b?c")));
        assert_eq!(parts("HTTP://a.example:8080?c=/d"), Ok((false, "a.example:8080", "?c=/d")));
        assert_eq!(parts("https://a.example"), Ok((true, "a.example", "")));
        for bad in ["", "a.example", "/path", "ftp://a.example/", "https://", "https:///path", "https://#x"] {
            assert!(matches!(Parts::of(bad), Err(Failure::Invalid(_))), "{bad}");
        }
    }
}
