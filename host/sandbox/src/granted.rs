//! What an attempt may do beyond computing: the operator's grants, with the values of the secrets they name.

use std::collections::BTreeMap;

use rand::Rng as _;
use saggar_model::{Grants, HostPattern, SecretName, SecretValue};

use crate::redact::Redactor;

/// The grants of a queue, ready for use. Made once for many attempts.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    pub(crate) grants: Grants,
    pub(crate) hidden: Vec<HiddenSecret>,
    pub(crate) redactor: Redactor,
    settings: BTreeMap<String, Setting>,
}

/// What a guest reads under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setting {
    /// A value of the configuration, or a placeholder.
    Plain(String),
    /// A secret's value.
    Secret(SecretValue),
    /// A secret that this host does not know.
    Unknown,
}

impl Setting {
    /// The text, if there is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Secret(value) => Some(value.reveal()),
            Self::Unknown => None,
        }
    }
}

/// A secret that the guest never sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HiddenSecret {
    /// What the guest has in its place.
    pub(crate) placeholder: String,
    pub(crate) value: SecretValue,
    /// The hosts that it is sent to.
    pub(crate) only_to: Vec<HostPattern>,
}

impl Granted {
    /// Nothing but computing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// These grants, with the values of secrets that `values` knows.
    #[must_use]
    pub fn new(grants: Grants, values: &BTreeMap<SecretName, SecretValue>) -> Self {
        let mut settings: BTreeMap<String, Setting> = grants
            .config
            .iter()
            .map(|(key, value)| (key.to_string(), Setting::Plain(value.clone())))
            .collect();
        let mut hidden = Vec::new();
        for grant in &grants.secrets {
            let setting = match values.get(&grant.name) {
                None => Setting::Unknown,
                Some(value) if grant.is_hidden() => {
                    // Nobody can guess it, so that it stands in a header only where the guest put it.
                    let placeholder = format!("saggar-secret-{:032x}", rand::rng().random::<u128>());
                    let (value, only_to) = (value.clone(), grant.only_to.clone());
                    hidden.push(HiddenSecret { placeholder: placeholder.clone(), value, only_to });
                    Setting::Plain(placeholder)
                }
                Some(value) => Setting::Secret(value.clone()),
            };
            settings.insert(grant.name.to_string(), setting);
        }
        // Also those that the guest never sees: whoever they are sent to may send them back.
        let known = grants.secrets.iter().filter_map(|grant| values.get(&grant.name));
        let redactor = Redactor::new(known);
        Self { grants, hidden, redactor, settings }
    }

    /// The grants themselves.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The granted secrets that have no value.
    pub fn unknown_secrets(&self) -> impl Iterator<Item = &SecretName> {
        let unknown = |name: &&SecretName| self.settings.get(name.as_str()) == Some(&Setting::Unknown);
        self.grants.secrets.iter().map(|grant| &grant.name).filter(unknown)
    }

    /// What there is under a key of the configuration.
    pub(crate) fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// All keys, with what there is under them.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(key, setting)| (key.as_str(), setting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Granted {
        let grants = serde_json::from_str(
            r#"{"config": {"size": "10"}, "secrets": ["A", "LOST", {"name": "B", "only_to": ["example.com"]}]}"#,
        );
        let values = [("A", "value-of-a"), ("B", "value-of-b"), ("C", "value-of-c")]
            .map(|(name, value)| (name.parse().unwrap(), SecretValue::from_file(value.as_bytes()).unwrap()));
        Granted::new(grants.unwrap(), &values.into())
    }

    #[test]
    fn a_guest_reads_what_was_granted_and_no_other_secret() {
        let granted = granted();
        assert_eq!(granted.setting("size").unwrap().text(), Some("10"));
        assert_eq!(granted.setting("A").unwrap().text(), Some("value-of-a"));
        assert_eq!(granted.setting("C"), None);
        assert_eq!(granted.setting("LOST"), Some(&Setting::Unknown));
        assert_eq!(granted.unknown_secrets().map(SecretName::as_str).collect::<Vec<_>>(), ["LOST"]);
    }

    #[test]
    fn a_hidden_secret_reads_as_a_placeholder() {
        let granted = granted();
        let [hidden] = &granted.hidden[..] else { panic!("one is hidden") };
        assert_eq!(granted.setting("B").unwrap().text(), Some(hidden.placeholder.as_str()));
        assert_eq!(hidden.value.reveal(), "value-of-b");
        assert_eq!(granted.redactor.text("it was value-of-b"), "it was ***");
    }

    #[test]
    fn nothing_of_a_secret_is_formatted() {
        let text = format!("{:?}", granted().settings);
        assert!(!text.contains("value-of"), "{text}");
    }
}
