//! Registries on this machine: one that does as it should, and many that do not.

mod honest;
mod hostile;
mod server;
