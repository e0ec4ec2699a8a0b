//! The client's first word. It shows that it is this process's own client, by a secret in place of its name.

use std::hint::black_box;

use serde_json::Value;

/// Reads the secret out of a `CONNECT` line without its end, and gives the line with the client's name in its place;
/// nothing if whoever wrote it does not know the secret.
pub(crate) fn introduced(line: &[u8], secret: &str, name: &str, over_tls: bool) -> Option<Vec<u8>> {
    let json = line.strip_prefix(b"CONNECT ")?;
    let Value::Object(mut said) = serde_json::from_slice(json).ok()? else { return None };
    if !is_same(said.get("name")?.as_str()?.as_bytes(), secret.as_bytes()) {
        return None;
    }
    said.insert("name".to_owned(), name.into());
    said.insert("tls_required".to_owned(), over_tls.into());
    Some(format!("CONNECT {}\r\n", Value::Object(said)).into_bytes())
}

/// Compares in a time that does not tell how much agrees.
fn is_same(said: &[u8], secret: &[u8]) -> bool {
    let differences = said.iter().zip(secret).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    said.len() == secret.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_the_secret_is_introduced_by_name_and_everything_else_stays() {
        let line = br#"CONNECT {"name":"s3cret","jwt":"j","sig":"s","tls_required":false,"verbose":false}"#;
        let line = introduced(line, "s3cret", "saggar host \"a\"", true).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "CONNECT {\"jwt\":\"j\",\"name\":\"saggar host \\\"a\\\"\",\"sig\":\"s\",\"tls_required\":true,\"verbose\":false}\r\n"
        );
    }

    #[test]
    fn who_does_not_is_nobody() {
        for line in [
            "CONNECT {\"name\":\"s3creT\"}",
            "CONNECT {\"name\":\"s3c\"}",
            "CONNECT {}",
            "CONNECT x",
            "PING",
            "SUB > 1",
        ] {
            assert_eq!(introduced(line.as_bytes(), "s3cret", "n", false), None, "{line}");
        }
    }
}
