//! The list of attacks is kept: each row names where it is tried, and there it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// A row: the numbers it is about, and where they are tried.
struct Row {
    numbers: Vec<String>,
    tried: Vec<String>,
}

fn rows(page: &str) -> Vec<Row> {
    let cells = |line: &str| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let numbered = |line: &&str| {
        line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let row = |line: &str| {
        let cells = cells(line);
        let split = |cell: &str| cell.split(", ").map(|part| part.trim().to_owned()).collect::<Vec<_>>();
        Row { numbers: split(&cells[0]), tried: split(&cells[cells.len() - 1]) }
    };
    page.lines().filter(numbered).map(row).collect()
}

/// The text and the target of each link.
fn links(text: &str) -> Vec<(String, String)> {
    let link = |rest: &str| {
        let (text, rest) = rest.split_once("](")?;
        Some((text.to_owned(), rest.split_once(')')?.0.to_owned()))
    };
    text.split('[').skip(1).filter_map(link).collect()
}

fn has_tests(file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    ["#[test]", "#[tokio::test", "proptest!"].iter().any(|mark| text.contains(mark))
}

#[test]
fn every_row_of_the_attacks_names_a_test_that_exists() {
    let page = std::fs::read_to_string(docs().join("attacks.md")).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 60, "they are read");
    let known: BTreeSet<String> = rows.iter().flat_map(|row| row.numbers.clone()).collect();
    let named: BTreeSet<String> = links(&page).into_iter().map(|(text, _)| text).collect();
    let folder = docs().join("../host/conformance/src/attacks");
    let programs: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    for Row { numbers, tried } in &rows {
        for place in tried {
            let exists = match (links(place).first(), place.as_str()) {
                (Some((_, target)), _) => has_tests(&docs().join(target)),
                (None, "pack") => numbers.iter().all(|number| programs.contains(&format!("\"{number}-"))),
                (None, place) if place.starts_with("`saggar bench ") => true,
                (None, place) => match place.strip_prefix("as ") {
                    Some(number) => known.contains(number),
                    None => named.contains(place),
                },
            };
            assert!(exists, "attack {numbers:?} is not tried in {place}");
        }
    }
}
