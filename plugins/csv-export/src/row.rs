//! One object: its keys, and the cells that paths lead to.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in the order in which they stand there, the values not looked into yet.
pub struct Row<'a> {
    members: Vec<(Text<'a>, &'a RawValue)>,
}

/// What a path leads to, as text.
pub struct Cell<'a> {
    pub text: Cow<'a, str>,
    /// Whether it was a string in the JSON: numbers, `true` and `false` are not.
    pub is_string: bool,
}

/// JSON that cannot be read: a slice of the payload, and what is wrong with it.
pub struct Fault<'a> {
    pub json: &'a str,
    pub error: serde_json::Error,
}

impl<'a> Cell<'a> {
    pub fn of_string(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), is_string: true }
    }
}

/// A JSON string, borrowed from the payload if nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Row<'a> {
    pub fn read(json: &'a str) -> Result<Self, Fault<'a>> {
        read(json)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(key, _)| &*key.0)
    }

    /// The cell at a path such as `address.city`. A key that has the dots in itself comes first. `None` where nothing
    /// is, and for null.
    pub fn cell(&self, path: &str) -> Result<Option<Cell<'a>>, Fault<'a>> {
        if let Some(value) = self.member(path) {
            return cell(value);
        }
        let Some((head, rest)) = path.split_once('.') else { return Ok(None) };
        match self.member(head) {
            Some(value) if value.get().starts_with('{') => Row::read(value.get())?.cell(rest),
            _ => Ok(None),
        }
    }

    /// Of a key that stands there twice the last counts, as in most JSON parsers.
    fn member(&self, key: &str) -> Option<&'a RawValue> {
        self.members.iter().rev().find(|(known, _)| known.0 == key).map(|(_, value)| *value)
    }
}

fn cell(value: &RawValue) -> Result<Option<Cell<'_>>, Fault<'_>> {
    let json = value.get();
    Ok(match json.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => Some(Cell::of_string(read::<Text>(json)?.0)),
        _ => Some(Cell { text: Cow::Borrowed(json), is_string: false }),
    })
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Fault<'a>> {
    serde_json::from_str(json).map_err(|error| Fault { json, error })
}

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Row<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Row { members })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, path: &str, expected: Option<&str>) {
        let cell = Row::read(json).and_then(|row| row.cell(path)).unwrap_or_else(|_| panic!("{json}"));
        assert_eq!(cell.map(|cell| cell.text.into_owned()).as_deref(), expected);
    }

    #[test]
    fn numbers_keep_the_form_in_which_they_were_written() {
        check(r#"{"price":1.10}"#, "price", Some("1.10"));
        check(r#"{"id":12345678901234567890}"#, "id", Some("12345678901234567890"));
    }

    #[test]
    fn strings_lose_their_quotes_and_escapes() {
        check(r#"{"name":"A\n\u00e4\"b\""}"#, "name", Some("A\nä\"b\""));
    }

    #[test]
    fn a_path_reaches_into_nested_objects_and_stops_where_nothing_is() {
        let json = r#"{"address":{"city":{"name":"Graz"}},"tags":["a"]}"#;
        check(json, "address.city.name", Some("Graz"));
        check(json, "address.zip", None);
        check(json, "tags.0", None);
        check(json, "tags", Some(r#"["a"]"#));
    }

    #[test]
    fn a_key_with_dots_comes_before_a_path() {
        check(r#"{"a":{"b":1},"a.b":2}"#, "a.b", Some("2"));
    }

    #[test]
    fn null_is_like_nothing_and_the_last_of_two_counts() {
        check(r#"{"a":null}"#, "a", None);
        check(r#"{"a":1,"a":2}"#, "a", Some("2"));
    }
}
