//! Text that a stranger wrote, made fit for a person's terminal or a header.
//!
//! Control characters, line breaks, and characters that reorder or hide other text are replaced by their escapes,
//! so that what is shown is what is there.

use std::any::Any;

/// `text` with everything a terminal or a header could misread escaped.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        push_escaped(&mut escaped, character);
    }
    escaped
}

/// [`escape`], ended with `…` where the result would be longer than `max_bytes`.
#[must_use]
pub fn escape_and_cut(text: &str, max_bytes: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        let before = escaped.len();
        push_escaped(&mut escaped, character);
        if escaped.len() > max_bytes {
            escaped.truncate(before);
            escaped.push('…');
            break;
        }
    }
    escaped
}

/// What a panic said; panics with a format say a `String`, those without one a `&str`.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it left no message")
}

fn push_escaped(escaped: &mut String, character: char) {
    if character.is_control() || reorders_or_hides(character) {
        escaped.extend(character.escape_default());
    } else {
        escaped.push(character);
    }
}

/// Direction marks, overrides and isolates, zero-width characters, and the byte order mark.
fn reorders_or_hides(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{061c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_could_obey_is_shown_instead() {
        assert_eq!(escape("a\u{1b}[2Jb\r\n\0"), "a\\u{1b}[2Jb\\r\\n\\u{0}");
        assert_eq!(escape("file\u{202e}gnp.exe"), "file\\u{202e}gnp.exe");
        assert_eq!(escape("größe 漢字"), "größe 漢字");
    }

    #[test]
    fn a_panic_says_what_it_was_given() {
        let said = |panic: &(dyn Fn() + std::panic::RefUnwindSafe)| {
            let panic = std::panic::catch_unwind(panic).unwrap_err();
            panic_message(&*panic).to_owned()
        };
        assert_eq!(said(&|| panic!("plain")), "plain");
        assert_eq!(said(&|| panic!("kiln {}", 6 + 1)), "kiln 7");
        assert_eq!(said(&|| std::panic::panic_any(7)), "it left no message");
    }

    #[test]
    fn a_cut_never_splits_a_character_or_an_escape() {
        assert_eq!(escape_and_cut("漢字", 3), "漢…");
        assert_eq!(escape_and_cut("漢字", 6), "漢字");
        assert_eq!(escape_and_cut("ab\u{1b}", 5), "ab…");
        assert_eq!(escape_and_cut("abc", 0), "…");
    }
}
