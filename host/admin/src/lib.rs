//! Health and metrics of a host over HTTP: `/livez`, `/readyz` and `/metrics`.
//!
//! It only reads. Nothing a tenant wrote is shown here, and nothing can be changed from here.

mod routes;
mod server;

pub use server::{AdminError, AdminServer, serve};
