//! A case of a plugin: what goes in, what should come out, and how the two differ.

use std::path::Path;

use bytes::Bytes;
use saggar_model::config::{CaseFile, CaseInput};
use saggar_model::{TaskResult, escape_and_cut, format_bytes, header_name};
use saggar_sandbox::Granted;

use crate::failure::Failure;
use crate::local::LocalTask;

/// How much of two texts that differ is shown.
const SHOWN_BYTES: usize = 200;

/// Characters shown before the place where two texts begin to differ.
const CONTEXT: usize = 20;

/// A case, with the files that it names.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    file: CaseFile,
    payload: Bytes,
    /// The whole output that is wanted, where it is said.
    output: Option<Bytes>,
}

impl Case {
    /// Reads the files that a case in `directory` names.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn load(name: String, directory: &Path, file: CaseFile) -> Result<Self, Failure> {
        let read = |path: &Path| {
            let path = directory.join(path);
            std::fs::read(&path).map(Bytes::from).map_err(|error| {
                Failure::file(&path, "read", &error).advice(format!("The case {name} names it."))
            })
        };
        let payload = match &file.input {
            CaseInput::Text(text) => Bytes::from(text.clone()),
            CaseInput::File(path) => read(path)?,
        };
        let output = match (&file.expect.output_file, &file.expect.output) {
            (Some(path), _) => Some(read(path)?),
            (None, Some(text)) => Some(Bytes::from(text.clone())),
            (None, None) => None,
        };
        Ok(Self { name, file, payload, output })
    }

    /// The task to run.
    #[must_use]
    pub fn task(&self) -> LocalTask {
        let content_type = self.file.content_type.iter();
        let headers = content_type
            .map(|value| (header_name::CONTENT_TYPE.to_owned(), value.clone()))
            .chain(self.file.headers.iter().map(|(name, value)| (name.clone(), value.clone())))
            .collect();
        let granted = Granted::new(self.file.grants.clone(), &self.file.secrets);
        LocalTask {
            payload: self.payload.clone(),
            headers,
            limits: self.file.limits,
            granted: granted.into(),
        }
    }
}

/// Everything in which a result is not what the case wants, one line each; nothing if it passed.
#[must_use]
pub fn differences(case: &Case, result: &TaskResult) -> Vec<String> {
    let expect = &case.file.expect;
    let mut differences = Vec::new();
    if result.outcome != expect.outcome {
        differences.push(format!("outcome: {}, and should be {}", result.outcome, expect.outcome));
    }
    if let Some(wanted) = &expect.content_type
        && *wanted != result.content_type
    {
        differences.push(format!(
            "content type: {}, and should be {}",
            quoted(&result.content_type),
            quoted(wanted)
        ));
    }
    if let Some(wanted) = &case.output
        && *wanted != result.payload
    {
        differences.push(between(&result.payload, wanted));
    }
    if let Some(part) = &expect.output_contains
        && !contains(&result.payload, part.as_bytes())
    {
        differences.push(format!("output: {}, and should contain {}", said(&result.payload), quoted(part)));
    }
    if let Some(part) = &expect.reason_contains {
        let reason = result.reason();
        if !reason.as_ref().is_some_and(|reason| reason.contains(part.as_str())) {
            let got = reason.map_or("none".to_owned(), |reason| quoted(&reason));
            differences.push(format!("reason: {got}, and should contain {}", quoted(part)));
        }
    }
    differences
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

fn quoted(text: &str) -> String {
    format!("`{}`", escape_and_cut(text, SHOWN_BYTES))
}

fn said(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => quoted(text),
        Err(_) => format_bytes(bytes.len() as u64),
    }
}

/// Two outputs from shortly before the place where they begin to differ.
fn between(got: &[u8], wanted: &[u8]) -> String {
    let (Ok(got_text), Ok(wanted_text)) = (std::str::from_utf8(got), std::str::from_utf8(wanted)) else {
        let at = got.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        let (got, wanted) = (got.len(), wanted.len());
        return format!("output: {got} bytes, and should be {wanted}; they differ from byte {at} on");
    };
    let same = got_text.chars().zip(wanted_text.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(CONTEXT);
    let tail = |text: &str| {
        let tail: String = text.chars().skip(from).collect();
        if from == 0 { quoted(&tail) } else { quoted(&format!("…{tail}")) }
    };
    format!("output: {}\nshould be {}", tail(got_text), tail(wanted_text))
}

#[cfg(test)]
mod tests {
    use saggar_model::{Ending, Failure as TaskFailure, Outcome, Output, Receipt};

    use super::*;

    fn case(expect: &str) -> Case {
        let file = CaseFile::parse("case.toml", &format!("[expect]\n{expect}")).unwrap();
        Case::load("case".into(), Path::new("."), file).unwrap()
    }

    fn result(ending: Ending) -> TaskResult {
        TaskResult::new("run/local".parse().unwrap(), 0, ending, Receipt::default(), None)
    }

    fn succeeded(payload: &'static [u8]) -> TaskResult {
        let output = Output { content_type: "text/plain".into(), payload: Bytes::from_static(payload) };
        result(Ending::Succeeded(output))
    }

    #[test]
    fn a_case_that_holds_has_no_differences() {
        let case = case(
            "outcome = 'succeeded'\noutput = 'Hello'\noutput_contains = 'ell'\ncontent_type = 'text/plain'",
        );
        assert!(differences(&case, &succeeded(b"Hello")).is_empty());
    }

    #[test]
    fn every_difference_is_told() {
        let case = case(
            "outcome = 'rejected'\noutput = 'Hello'\noutput_contains = 'x'\ncontent_type = 'a/b'\nreason_contains = 'y'",
        );
        let told = differences(&case, &succeeded(b"Hallo"));
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(told[0], "outcome: succeeded, and should be rejected");
        assert!(told[2].contains("`Hallo`") && told[2].contains("should be `Hello`"), "{}", told[2]);
        assert_eq!(told[4], "reason: none, and should contain `y`");
    }

    #[test]
    fn a_reason_is_looked_into() {
        let case = case("outcome = 'rejected'\nreason_contains = 'ends early'");
        let failure = TaskFailure::new(Outcome::Rejected, "the JPEG ends early");
        assert!(differences(&case, &result(Ending::Failed(failure))).is_empty());
    }

    #[test]
    fn long_texts_are_shown_from_where_they_differ() {
        let long = "x".repeat(100);
        let told = between(format!("{long}a").as_bytes(), format!("{long}b").as_bytes());
        assert!(told.contains("…") && told.contains("xa`") && told.contains("xb`"), "{told}");
        assert!(between(b"\xff\x00", b"\xff\x01").contains("from byte 1 on"));
    }
}
