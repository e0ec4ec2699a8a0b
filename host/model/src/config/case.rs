//! `cases/*.toml`: an input for a plugin, and what should become of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{Ceilings, Grants, Limits, Outcome, SecretName, SecretValue};

use super::grants::read_grants;
use super::problem::Problems;
use super::reader::{Document, Section};
use super::tenant::read_limits;
use super::value::Parsed;

/// One case of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseFile {
    /// The payload.
    pub input: CaseInput,
    /// Media type of the payload.
    pub content_type: Option<String>,
    /// Headers of the task.
    pub headers: BTreeMap<String, String>,
    /// What the attempt may use.
    pub limits: Limits,
    /// What it may do beyond computing.
    pub grants: Grants,
    /// Values for the secrets that are granted: for tests, so that they stand in the case itself.
    pub secrets: BTreeMap<SecretName, SecretValue>,
    /// What should happen.
    pub expect: Expectation,
}

/// Where the payload of a case comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseInput {
    /// The text itself.
    Text(String),
    /// A file, relative to the case.
    File(PathBuf),
}

/// What should become of a case. What is absent is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The outcome.
    pub outcome: Outcome,
    /// Media type of the output.
    pub content_type: Option<String>,
    /// The whole output as text.
    pub output: Option<String>,
    /// A part of the output.
    pub output_contains: Option<String>,
    /// A file, relative to the case, that holds the whole output.
    pub output_file: Option<PathBuf>,
    /// A part of the failure's reason.
    pub reason_contains: Option<String>,
}

impl CaseFile {
    /// Reads a case.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut document = Document::parse(file, text)?;
        let mut root = document.root();
        let mut section = root.section("input");
        let input_text = section.optional("text");
        let input_file = section.optional("file");
        if input_text.is_some() && input_file.is_some() {
            section.problem("file", "stands beside `text`; give one of them");
        }
        let content_type = section.optional("content_type");
        let headers = section.optional("headers").unwrap_or_default();
        section.finish();
        let limits = read_limits(root.section("limits"), &Ceilings::default());
        let grants = read_grants(root.section("grants"), None);
        let secrets = read_secrets(&mut root);
        let mut section = root.section("expect");
        let outcome = section.required::<Parsed<Outcome>>("outcome");
        let expect = outcome.map(|Parsed(outcome)| Expectation {
            outcome,
            content_type: section.optional("content_type"),
            output: section.optional("output"),
            output_contains: section.optional("output_contains"),
            output_file: section.optional("output_file"),
            reason_contains: section.optional("reason_contains"),
        });
        if expect.is_some() {
            section.finish();
        }
        root.finish();
        let input = match (input_text, input_file) {
            (_, Some(file)) => CaseInput::File(file),
            (text, None) => CaseInput::Text(text.unwrap_or_default()),
        };
        document.finish(expect.map(|expect| Self {
            input,
            content_type,
            headers,
            limits,
            grants,
            secrets,
            expect,
        }))
    }
}

fn read_secrets(root: &mut Section) -> BTreeMap<SecretName, SecretValue> {
    let written: BTreeMap<String, String> = root.or("secrets", BTreeMap::new());
    let mut secrets = BTreeMap::new();
    for (name, value) in written {
        match (name.parse(), SecretValue::from_file(value.as_bytes())) {
            (Ok(name), Ok(value)) => drop(secrets.insert(name, value)),
            (Err(error), _) => root.problem("secrets", format!("cannot be read: {error}")),
            (_, Err(unfit)) => root.problem("secrets", format!("cannot be read: {name} {unfit}")),
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_an_input_limits_and_an_expectation() {
        let case = CaseFile::parse(
            "case.toml",
            "[input]\ntext = '{}'\nheaders = { A = 'b' }\n[limits]\nfuel = 7\n[expect]\noutcome = 'out-of-fuel'\n",
        )
        .unwrap();
        assert_eq!(case.input, CaseInput::Text("{}".to_owned()));
        assert_eq!(case.limits.fuel, 7);
        assert_eq!(case.expect.outcome, Outcome::OutOfFuel);
    }

    #[test]
    fn a_case_may_grant_what_the_plugin_asks_for() {
        let text = "[grants]\nsecrets = ['TOKEN']\nconfig.size = '10'\n[secrets]\nTOKEN = 'a-test-token'\n\
                    [expect]\noutcome = 'succeeded'\n";
        let case = CaseFile::parse("case.toml", text).unwrap();
        assert_eq!(case.grants.summary(), ["config: size", "secrets: TOKEN"]);
        assert_eq!(case.secrets[&"TOKEN".parse().unwrap()].reveal(), "a-test-token");
        let text = "[secrets]\nTOKEN = 'short'\n[expect]\noutcome = 'succeeded'\n";
        let problems = CaseFile::parse("case.toml", text).unwrap_err().to_string();
        assert!(problems.contains("TOKEN is shorter than 6 bytes"), "{problems}");
    }

    #[test]
    fn a_case_must_say_how_it_ends() {
        assert!(
            CaseFile::parse("case.toml", "").unwrap_err().to_string().contains("`expect.outcome` is missing")
        );
        let wrong = CaseFile::parse("case.toml", "[expect]\noutcome = 'fine'").unwrap_err().to_string();
        assert!(wrong.contains("`fine` is not an outcome"), "{wrong}");
    }
}
