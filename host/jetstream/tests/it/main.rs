//! This crate against a real nats-server, one for each test.

#![expect(clippy::unwrap_used, reason = "the panic of a test is its verdict, also in what tests share")]

mod blobs;
mod dead;
mod hosts;
mod kv;
mod leases;
mod payloads;
mod plugins;
mod provision;
mod publish;
mod pull;
mod relay;
mod results;
mod schedules;
mod server;
mod state;
mod tenants;
mod timers;
mod usage;
mod world;
