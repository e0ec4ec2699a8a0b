//! Which rows are exported: conditions such as `status=active; age>=18`, all of which must hold.
//!
//! Two numbers are compared as numbers, anything else as text. Nothing and null are the empty text to `=`, `!=` and
//! `~`; an order they have none.

use std::cmp::Ordering;

use crate::row::{Cell, Fault, Row};

#[derive(Debug, Default, PartialEq)]
pub struct Filter {
    conditions: Vec<Condition>,
}

#[derive(Debug, PartialEq)]
struct Condition {
    path: String,
    operator: Operator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// As they are written. The two-character ones come first, or `<=` would be read as `<`.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

impl Filter {
    /// Reads conditions joined by semicolons; the condition that is none is given back.
    pub fn parse(text: &str) -> Result<Self, &str> {
        let conditions = text.split(';').map(|part| Condition::parse(part).ok_or(part.trim()));
        Ok(Self { conditions: conditions.collect::<Result<_, _>>()? })
    }

    /// Whether the row is exported. Fails for a string in the row that no JSON parser could read.
    pub fn keeps<'a>(&self, row: &Row<'a>) -> Result<bool, Fault<'a>> {
        for condition in &self.conditions {
            if !condition.holds(row.cell(&condition.path)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Condition {
    /// The operator is the one that begins first; so `note=a<b` asks for the text `a<b`.
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['!', '<', '>', '=', '~'])?;
        let (path, rest) = text.split_at(at);
        let (word, operator) = OPERATORS.into_iter().find(|(word, _)| rest.starts_with(word))?;
        let path = path.trim();
        let value = rest[word.len()..].trim();
        (!path.is_empty()).then(|| Self { path: path.to_owned(), operator, value: value.to_owned() })
    }

    fn holds(&self, cell: Option<Cell<'_>>) -> bool {
        let order = cell.as_ref().map(|cell| compare(&cell.text, &self.value));
        let text = cell.as_ref().map_or("", |cell| &cell.text);
        match self.operator {
            Operator::Equal => order.map_or(self.value.is_empty(), Ordering::is_eq),
            Operator::NotEqual => order.map_or(!self.value.is_empty(), Ordering::is_ne),
            Operator::Less => order.is_some_and(Ordering::is_lt),
            Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
            Operator::Greater => order.is_some_and(Ordering::is_gt),
            Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            Operator::Contains => text.contains(&self.value),
        }
    }
}

/// Whole numbers are compared exactly as far as 38 digits go: ids that differ in the last of 20 digits are two.
fn compare(one: &str, other: &str) -> Ordering {
    if let (Ok(one), Ok(other)) = (one.parse::<i128>(), other.parse::<i128>()) {
        return one.cmp(&other);
    }
    let numbers = one.parse::<f64>().ok().zip(other.parse::<f64>().ok());
    numbers.and_then(|(one, other)| one.partial_cmp(&other)).unwrap_or_else(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, json: &str, expected: bool) {
        let filter = Filter::parse(filter).unwrap();
        let kept = Row::read(json).and_then(|row| filter.keeps(&row));
        assert_eq!(kept.ok(), Some(expected), "{filter:?} on {json}");
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        check("age>=18", r#"{"age":100}"#, true);
        check("age >= 18", r#"{"age":"9"}"#, false);
        check("price=1.1", r#"{"price":1.10}"#, true);
        check("price<2", r#"{"price":1.5e1}"#, false);
    }

    #[test]
    fn ids_of_twenty_digits_are_told_apart() {
        check("id=12345678901234567890", r#"{"id":12345678901234567891}"#, false);
        check("id<12345678901234567891", r#"{"id":12345678901234567890}"#, true);
    }

    #[test]
    fn text_is_compared_as_text_which_orders_dates() {
        check("day>2026-01-31", r#"{"day":"2026-02-01"}"#, true);
        check("name~an", r#"{"name":"Johanna"}"#, true);
        check("name~An", r#"{"name":"Johanna"}"#, false);
        check("active=true", r#"{"active":true}"#, true);
    }

    #[test]
    fn all_conditions_must_hold() {
        check("a=1; b!=1", r#"{"a":1,"b":2}"#, true);
        check("a=1; b!=1", r#"{"a":1,"b":1}"#, false);
    }

    #[test]
    fn nothing_and_null_are_empty_and_have_no_order() {
        for json in ["{}", r#"{"a":null}"#] {
            check("a=", json, true);
            check("a!=", json, false);
            check("a!=1", json, true);
            check("a<1", json, false);
            check("a>=0", json, false);
        }
    }

    #[test]
    fn the_first_operator_counts() {
        check("note=a<b", r#"{"note":"a<b"}"#, true);
        check("note~=", r#"{"note":"a=b"}"#, true);
    }

    #[test]
    fn what_is_no_condition_is_given_back() {
        assert_eq!(Filter::parse("a=1; active"), Err("active"));
        assert_eq!(Filter::parse("=1"), Err("=1"));
        assert_eq!(Filter::parse("a!1"), Err("a!1"));
    }
}
