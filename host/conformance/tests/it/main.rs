//! Attacks that no single guest is, or whose harm has to be looked for outside of it.

mod border;
mod broken;
mod canary;
mod flood;
mod stage;
mod time;
