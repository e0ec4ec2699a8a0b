//! A task header as people write it on a command line: `Name: value`.

use std::str::FromStr;

use saggar_model::escape_and_cut;

/// How much of an offending text an error repeats.
const SHOWN_BYTES: usize = 128;

/// One header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header(pub String, pub String);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = escape_and_cut(text, SHOWN_BYTES);
        let (name, value) =
            text.split_once(':').ok_or_else(|| format!("`{shown}` has no colon; write 'Name: value'"))?;
        let (name, value) = (name.trim(), value.trim());
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("`{shown}` has no header name before its colon; write 'Name: value'"));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("`{shown}` holds a control character, which no header can"));
        }
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// Headers as a task carries them, the media type first.
#[must_use]
pub fn with_content_type(content_type: Option<&str>, headers: &[Header]) -> Vec<(String, String)> {
    let content_type =
        content_type.map(|value| (saggar_model::header_name::CONTENT_TYPE.to_owned(), value.to_owned()));
    content_type
        .into_iter()
        .chain(headers.iter().map(|Header(name, value)| (name.clone(), value.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        let header = |text: &str| text.parse::<Header>();
        assert_eq!(header("X-Size: 200x200"), Ok(Header("X-Size".into(), "200x200".into())));
        assert_eq!(header("a:b:c"), Ok(Header("a".into(), "b:c".into())));
        assert_eq!(header("a:"), Ok(Header("a".into(), String::new())));
        for bad in ["", "a", ": b", "a b: c", "ä: b", "a: b\r\nc: d"] {
            assert!(header(bad).is_err(), "{bad:?}");
        }
    }
}
