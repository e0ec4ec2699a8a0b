//! This crate against a real nats-server, one for each test.

mod dead;
mod hosts;
mod leases;
mod plugins;
mod poison;
mod provision;
mod publish;
mod pull;
mod results;
mod server;
mod state;
mod tenants;
mod world;
