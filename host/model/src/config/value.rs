//! What a single value of a file can be read as.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::{parse_bytes, parse_duration};

use super::reader::{Item, Node};

/// A type that one TOML value can become.
pub trait FromToml: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// The value is of another kind or out of range. The text continues a sentence that begins with the key.
    fn from_toml(node: &Node) -> Result<Self, String>;
}

/// A duration, in a file `"90s"`.
impl FromToml for Duration {
    fn from_toml(node: &Node) -> Result<Self, String> {
        parse_duration(text(node, "a duration such as \"90s\"")?)
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromToml for Bytes {
    fn from_toml(node: &Node) -> Result<Self, String> {
        match &node.item {
            Item::Integer(number) => {
                u64::try_from(*number).map(Bytes).map_err(|_| "must not be negative".to_owned())
            }
            _ => parse_bytes(text(node, "a size such as \"128MiB\"")?).map(Bytes),
        }
    }
}

/// A value that a type reads from text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<T> FromToml for Parsed<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    fn from_toml(node: &Node) -> Result<Self, String> {
        text(node, "a text")?.parse().map(Parsed).map_err(|error: T::Err| format!("cannot be read: {error}"))
    }
}

impl FromToml for String {
    fn from_toml(node: &Node) -> Result<Self, String> {
        text(node, "a text").map(str::to_owned)
    }
}

impl FromToml for PathBuf {
    fn from_toml(node: &Node) -> Result<Self, String> {
        text(node, "a path").map(PathBuf::from)
    }
}

impl FromToml for bool {
    fn from_toml(node: &Node) -> Result<Self, String> {
        match &node.item {
            Item::Boolean(value) => Ok(*value),
            other => Err(wanted("`true` or `false`", other)),
        }
    }
}

impl FromToml for u64 {
    fn from_toml(node: &Node) -> Result<Self, String> {
        match &node.item {
            Item::Integer(number) => Self::try_from(*number).map_err(|_| "must not be negative".to_owned()),
            other => Err(wanted("a whole number", other)),
        }
    }
}

impl FromToml for u32 {
    fn from_toml(node: &Node) -> Result<Self, String> {
        Self::try_from(u64::from_toml(node)?).map_err(|_| format!("must be at most {}", Self::MAX))
    }
}

impl FromToml for u16 {
    fn from_toml(node: &Node) -> Result<Self, String> {
        Self::try_from(u64::from_toml(node)?).map_err(|_| format!("must be at most {}", Self::MAX))
    }
}

impl<T: FromToml> FromToml for Vec<T> {
    fn from_toml(node: &Node) -> Result<Self, String> {
        match &node.item {
            Item::Array(nodes) => nodes.iter().map(T::from_toml).collect(),
            other => Err(wanted("a list", other)),
        }
    }
}

impl FromToml for f64 {
    fn from_toml(node: &Node) -> Result<Self, String> {
        match &node.item {
            #[expect(clippy::cast_precision_loss, reason = "factors are small numbers")]
            Item::Integer(number) => Ok(*number as Self),
            Item::Float(number) if number.is_finite() => Ok(*number),
            Item::Float(_) => Err("must be a finite number".to_owned()),
            other => Err(wanted("a number", other)),
        }
    }
}

impl FromToml for BTreeMap<String, String> {
    fn from_toml(node: &Node) -> Result<Self, String> {
        let Item::Table(entries) = &node.item else {
            return Err(wanted("a table of texts", &node.item));
        };
        entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), text(value, "a table of texts")?.to_owned())))
            .collect()
    }
}

fn text<'a>(node: &'a Node, what: &str) -> Result<&'a str, String> {
    match &node.item {
        Item::String(text) => Ok(text),
        other => Err(wanted(what, other)),
    }
}

fn wanted(what: &str, got: &Item) -> String {
    format!("must be {what}, and is {}", got.kind())
}
