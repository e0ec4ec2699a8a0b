//! Attacks that no single guest is, or whose harm has to be looked for outside of it.

mod border;
mod broken;
mod canary;
mod configuration;
mod flood;
mod secrets;
mod stage;
mod stores;
mod time;
