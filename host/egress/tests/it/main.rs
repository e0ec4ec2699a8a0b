//! Requests against servers that misbehave, on this machine. Nothing sleeps to wait for something, and every wait has
//! a bound.

mod stage;

mod bounds;
mod rebinding;
mod redirects;
mod reuse;
mod spellings;
mod tls;
mod wire;
