//! Reads a TOML document key by key and remembers everything that is wrong with it.
//!
//! A section knows which keys were asked for; when it ends, whatever is left over is an unknown key, reported with
//! the nearest known one. Nothing is silently ignored.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};
use super::value::FromToml;

/// Below this similarity (0 to 1) a suggestion would be a guess.
const SIMILAR_ENOUGH: f64 = 0.7;

/// A value and the line it stands on.
#[derive(Debug, Clone)]
pub struct Node {
    /// Line from 1; absent for a value that came from a variable.
    pub line: Option<usize>,
    /// The value.
    pub item: Item,
}

/// A value of TOML.
#[derive(Debug, Clone)]
pub enum Item {
    /// `"…"`
    String(String),
    /// `17`
    Integer(i64),
    /// `1.5`
    Float(f64),
    /// `true`
    Boolean(bool),
    /// `2030-01-31`
    Datetime(String),
    /// `[…]`
    Array(Vec<Node>),
    /// `{…}` or `[…]`
    Table(Vec<(String, Node)>),
}

impl Item {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Values that take the place of a file's, by `section` and `key`.
#[derive(Debug, Clone, Default)]
pub struct Overrides(BTreeMap<(String, String), (String, String)>);

impl Overrides {
    /// Takes `SAGGAR_<SECTION>__<KEY>` out of an environment.
    #[must_use]
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let read = |(name, value): (String, String)| {
            let (section, key) = name.strip_prefix("SAGGAR_")?.split_once("__")?;
            Some(((section.to_lowercase(), key.to_lowercase()), (name, value)))
        };
        Self(variables.into_iter().filter_map(read).collect())
    }
}

/// A document being read.
pub struct Document {
    file: String,
    problems: Rc<RefCell<Vec<Problem>>>,
    root: Vec<(String, Node)>,
    overrides: Overrides,
}

impl Document {
    /// Parses `text`; `file` is how the document is called in messages.
    ///
    /// # Errors
    /// The text is no TOML. The line and the reason are in the problem.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        Self::parse_with(file, text, Overrides::default())
    }

    /// [`Self::parse`], with values that take precedence over the file's.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_with(file: &str, text: &str, overrides: Overrides) -> Result<Self, Problems> {
        let table = DeTable::parse(text).map_err(|error| Problems {
            file: file.to_owned(),
            problems: vec![Problem {
                line: error.span().map(|span| line_at(text, span.start)),
                key: String::new(),
                message: error.message().to_owned(),
            }],
        })?;
        Ok(Self {
            file: file.to_owned(),
            problems: Rc::default(),
            root: table_entries(text, table.get_ref()),
            overrides,
        })
    }

    /// The whole document as a section.
    pub fn root(&mut self) -> Section {
        let mut sections: Vec<_> = std::mem::take(&mut self.root);
        for ((section, key), (variable, value)) in std::mem::take(&mut self.overrides.0) {
            let node = Node { line: None, item: item_from_variable(&value) };
            let at = sections.iter().position(|(name, _)| *name == section).unwrap_or_else(|| {
                sections.push((section.clone(), Node { line: None, item: Item::Table(Vec::new()) }));
                sections.len() - 1
            });
            if let Item::Table(entries) = &mut sections[at].1.item {
                entries.retain(|(name, _)| *name != key);
                entries.push((key, node));
            } else {
                self.problem(None, &section, format!("is no section, so {variable} has no meaning"));
            }
        }
        Section {
            path: String::new(),
            line: None,
            entries: sections,
            known: Vec::new(),
            lines: Vec::new(),
            problems: self.problems.clone(),
        }
    }

    fn problem(&self, line: Option<usize>, key: &str, message: String) {
        self.problems.borrow_mut().push(Problem { line, key: key.to_owned(), message });
    }

    /// The value, if there was nothing wrong with the document.
    ///
    /// # Errors
    /// Everything that was wrong, in the order of the lines.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let mut problems = self.problems.take();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(Problems { file: self.file, problems }),
        }
    }
}

/// A table of a document, being read. Call [`Section::finish`] when all known keys have been asked for.
pub struct Section {
    path: String,
    line: Option<usize>,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
    /// Where the keys stand that have been asked for.
    lines: Vec<(&'static str, Option<usize>)>,
    problems: Rc<RefCell<Vec<Problem>>>,
}

impl Section {
    fn full_key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        let node = self.entries.remove(at).1;
        self.lines.push((key, node.line));
        Some(node)
    }

    /// Records a mistake about `key` of this section: where the key stands, if it was asked for, or else the section.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        let stands = self.lines.iter().find(|(name, _)| *name == key).and_then(|(_, line)| *line);
        self.problem_at(stands.or(self.line), key, message);
    }

    fn problem_at(&self, line: Option<usize>, key: &str, message: impl Into<String>) {
        let problem = Problem { line, key: self.full_key(key), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// Whether `key` is there, whatever its value; it counts as known from then on.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.take(key).is_some()
    }

    /// The line in which `key` stands that nobody has asked for yet.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.entries.iter().find(|(name, _)| name == key)?.1.line
    }

    /// The value of `key` if it can be read, left for whoever asks for it later.
    #[must_use]
    pub fn peek<T: FromToml>(&self, key: &str) -> Option<T> {
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        T::from_toml(node).ok()
    }

    /// The value of `key`, or nothing if it is not there or cannot be read, which is recorded.
    pub fn optional<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        let node = self.take(key)?;
        T::from_toml(&node).map_err(|message| self.problem_at(node.line, key, message)).ok()
    }

    /// The value of `key`, or `default`.
    pub fn or<T: FromToml>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of `key`, which must be there.
    pub fn required<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        if !self.entries.iter().any(|(name, _)| name == key) {
            self.known.push(key);
            self.problem(key, "is missing");
            return None;
        }
        self.optional(key)
    }

    /// The value of `key`, which must be among `least..=most`.
    pub fn within(&mut self, key: &'static str, default: u32, least: u32, most: u32) -> u32 {
        let value = self.or(key, default);
        if !(least..=most).contains(&value) {
            self.problem(key, format!("must be from {least} to {most}"));
        }
        value
    }

    /// The table `key`; an empty one if it is not there.
    #[must_use]
    pub fn section(&mut self, key: &'static str) -> Self {
        let node = self.take(key).unwrap_or(Node { line: self.line, item: Item::Table(Vec::new()) });
        self.child(key, node)
    }

    /// The table `key`, if it is there.
    pub fn optional_section(&mut self, key: &'static str) -> Option<Self> {
        let node = self.take(key)?;
        Some(self.child(key, node))
    }

    /// The list of tables `key`; empty if it is not there.
    pub fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let Item::Array(nodes) = node.item else {
            self.problem_at(node.line, key, format!("must be a list of tables: write [[{key}]]"));
            return Vec::new();
        };
        nodes.into_iter().map(|node| self.child(key, node)).collect()
    }

    fn child(&self, key: &str, node: Node) -> Self {
        let entries = match node.item {
            Item::Table(entries) => entries,
            other => {
                self.problem_at(node.line, key, format!("must be a table, and is {}", other.kind()));
                Vec::new()
            }
        };
        let line = node.line.or(self.line);
        let problems = self.problems.clone();
        Self { path: self.full_key(key), line, entries, known: Vec::new(), lines: Vec::new(), problems }
    }

    /// Ends the section: every key that nobody asked for is a mistake.
    pub fn finish(self) {
        for (name, node) in &self.entries {
            let message = match nearest(name, self.known.iter().copied()) {
                Some(known) => format!("is not known; did you mean `{known}`?"),
                None => format!("is not known; known here: {}", self.known.join(", ")),
            };
            self.problem_at(node.line, name, message);
        }
    }
}

/// What `given` was probably meant to be, if any of `known` is similar to it.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let similar = known.into_iter().map(|known| (strsim::jaro_winkler(given, known), known));
    let (similarity, known) = similar.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similarity >= SIMILAR_ENOUGH).then_some(known)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

fn table_entries(text: &str, table: &DeTable<'_>) -> Vec<(String, Node)> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().to_string(), node(text, value))).collect();
    entries.sort_by_key(|(_, node)| node.line);
    entries
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let item = match value.get_ref() {
        DeValue::String(string) => Item::String(string.to_string()),
        DeValue::Integer(integer) => {
            // Too large for TOML's own range reads as the largest number, which every bound then refuses.
            Item::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX))
        }
        DeValue::Float(float) => Item::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Item::Boolean(*boolean),
        DeValue::Datetime(datetime) => Item::Datetime(datetime.to_string()),
        DeValue::Array(array) => Item::Array(array.iter().map(|value| node(text, value)).collect()),
        DeValue::Table(table) => Item::Table(table_entries(text, table)),
    };
    Node { line: Some(line_at(text, value.span().start)), item }
}

/// A variable holds a TOML value, or, where it is none, a text: `8`, `true`, `30s`.
fn item_from_variable(value: &str) -> Item {
    match DeValue::parse(value) {
        Ok(parsed) => node(value, &parsed).item,
        Err(_) => Item::String(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(u64, String), Problems> {
        let mut document = Document::parse("test.toml", text)?;
        let mut root = document.root();
        let mut host = root.section("host");
        let slots = host.or("slots", 64);
        let name = host.required("name");
        host.finish();
        root.finish();
        document.finish(name.map(|name| (slots, name)))
    }

    #[test]
    fn values_and_defaults_are_read() {
        assert_eq!(read("[host]\nname = 'a'"), Ok((64, "a".to_owned())));
        assert_eq!(read("[host]\nname = 'a'\nslots = 8"), Ok((8, "a".to_owned())));
    }

    #[test]
    fn all_mistakes_are_reported_together_with_their_lines() {
        let problems = read("[host]\nslot = 8\nslots = 'x'\n\n[hots]\n").unwrap_err();
        assert_eq!(
            problems.to_string(),
            "test.toml:\n  line 1: `host.name` is missing\
             \n  line 2: `host.slot` is not known; did you mean `slots`?\
             \n  line 3: `host.slots` must be a whole number, and is a text\
             \n  line 5: `hots` is not known; did you mean `host`?"
        );
    }

    #[test]
    fn a_text_that_is_no_toml_is_reported_with_its_line() {
        assert_eq!(read("[host]\nname = \n").unwrap_err().problems[0].line, Some(2));
    }

    #[test]
    fn variables_take_precedence_and_are_checked_like_keys() {
        let variables = |pairs: &[(&str, &str)]| {
            Overrides::from_environment(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())))
        };
        let read = |overrides| {
            let mut document = Document::parse_with("test.toml", "[host]\nslots = 1", overrides)?;
            let mut root = document.root();
            let mut host = root.section("host");
            let slots: Option<u64> = host.optional("slots");
            host.finish();
            root.finish();
            document.finish(slots)
        };
        assert_eq!(
            read(variables(&[("SAGGAR_HOST__SLOTS", "9"), ("SAGGAR_TENANT", "x"), ("HOME", "/")])),
            Ok(9)
        );
        assert!(
            read(variables(&[("SAGGAR_HOST__SLOTZ", "9")])).unwrap_err().to_string().contains("`host.slotz`")
        );
        assert!(read(variables(&[("SAGGAR_NOPE__X", "9")])).unwrap_err().to_string().contains("`nope`"));
    }
}
