//! `wasi:config/store`: what the operator configured, secrets among it.

use saggar_model::Capability;

use super::bindings::wasi::config::store::{Error, Host};
use crate::granted::Setting;
use crate::state::State;

impl State {
    /// Whether there is anything to read; if not, why.
    fn may_read_settings(&mut self, key: &str) -> Result<(), Error> {
        let grants = &self.granted.grants;
        if grants.has(Capability::Config) || grants.has(Capability::Secrets) {
            return Ok(());
        }
        Err(Error::Upstream(self.deny(Capability::Config, key)))
    }
}

impl Host for State {
    fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        self.charges.call();
        self.charges.bytes(key.len());
        self.may_read_settings(&key)?;
        let granted = self.granted.clone();
        let value = match granted.setting(&key) {
            None => return Ok(None),
            Some(Setting::Unknown) => {
                return Err(Error::Upstream(format!(
                    "the secret {key} is granted, but this host has no value for it; an operator gives it under \
                     [secrets.{}] of the host's file",
                    self.task.tenant
                )));
            }
            Some(setting) => setting.text().map(str::to_owned),
        };
        self.charges.bytes(value.as_deref().map_or(0, str::len));
        Ok(value)
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        self.charges.call();
        self.may_read_settings("")?;
        let texts = |(key, setting): (&str, &Setting)| Some((key.to_owned(), setting.text()?.to_owned()));
        let all: Vec<_> = self.granted.settings().filter_map(texts).collect();
        self.charges.bytes(all.iter().map(|(key, value)| key.len() + value.len()).sum());
        Ok(all)
    }
}
