//! Names that guests choose, written as part of a subject.
//!
//! What a person would call a harmless key stays as it is, so that `nats kv ls` can be read; every other byte becomes
//! `=` and two digits, and nothing becomes a lone `=`. Different names stay different, and each can be read back. No
//! wildcard, no blank and no empty token comes out of here, whatever goes in.

/// Bytes that mean nothing to NATS and that its command line accepts in a key.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')
}

/// One token of a subject, in which nothing but itself is left of the name.
pub(crate) fn token(name: &str) -> String {
    encoded(name, |_, byte| is_plain(byte) && byte != b'/')
}

/// One or more tokens of a subject: a dot between two other characters stays one.
pub(crate) fn tokens(key: &str) -> String {
    let bytes = key.as_bytes();
    encoded(key, |at, byte| match byte {
        b'.' => {
            let beside =
                |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| *byte != b'.');
            beside(at.checked_sub(1)) && beside(Some(at + 1))
        }
        _ => is_plain(byte),
    })
}

fn encoded(text: &str, keep: impl Fn(usize, u8) -> bool) -> String {
    if text.is_empty() {
        return "=".to_owned();
    }
    let mut encoded = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        if keep(at, byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("={byte:02X}"));
        }
    }
    encoded
}

/// The name that was written so; nothing if none was.
pub(crate) fn decoded(written: &str) -> Option<String> {
    if written == "=" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'=' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmless_keys_stay_as_they_are() {
        for key in ["user", "user.42", "2026/11/cat-1_a", "a.b.c"] {
            assert_eq!(tokens(key), key);
        }
        assert_eq!(token("sessions"), "sessions");
    }

    #[test]
    fn attack_63_what_means_something_to_nats_means_nothing_here() {
        for (key, written) in [
            ("", "="),
            ("*", "=2A"),
            (">", "=3E"),
            ("a.*", "a.=2A"),
            ("../x", "=2E=2E/x"),
            (".a.", "=2Ea=2E"),
            ("a..b", "a=2E=2Eb"),
            ("a b\r\nPUB x", "a=20b=0D=0APUB=20x"),
            ("\0", "=00"),
            ("=", "=3D"),
            ("=2A", "=3D2A"),
            ("$KV", "=24KV"),
            ("é", "=C3=A9"),
        ] {
            assert_eq!(tokens(key), written);
        }
        assert_eq!(token("a.b/c"), "a=2Eb=2Fc", "a bucket is one token, and no part of a path");
    }

    /// Texts made of what is likely to go wrong.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[.*>=/ a0\r\n\0é$]{0,40}"]
    }

    proptest! {
        #[test]
        fn every_name_reads_back(name in hostile()) {
            prop_assert_eq!(decoded(&tokens(&name)), Some(name.clone()));
            prop_assert_eq!(decoded(&token(&name)), Some(name));
        }

        #[test]
        fn what_is_written_is_tokens_of_a_subject(name in hostile()) {
            for written in [tokens(&name), token(&name)] {
                prop_assert!(written.len() <= (3 * name.len()).max(1));
                prop_assert!(written.split('.').all(|token| !token.is_empty()), "{}", written);
                prop_assert!(written.bytes().all(|byte| is_plain(byte) || byte == b'=' || byte == b'.'));
            }
            prop_assert!(!token(&name).contains(['.', '/']));
        }

        #[test]
        fn different_names_stay_different(one in hostile(), other in hostile()) {
            prop_assert_eq!(one == other, tokens(&one) == tokens(&other));
            prop_assert_eq!(one == other, token(&one) == token(&other));
        }

        #[test]
        fn what_nobody_wrote_is_no_name_or_one(written in "[=.a-f0-9GZ]{0,12}") {
            let _ = decoded(&written);
        }
    }
}
