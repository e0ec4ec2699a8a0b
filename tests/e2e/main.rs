//! The whole system, as its users meet it: the binary, a real nats-server, real plugins.
//!
//! Each test has a server of its own and a tenant of its own. Nothing sleeps; every wait has a bound and says what
//! it waits for.

mod stage;
mod wire;

mod any_client;
mod attacks;
mod bad_input;
mod bench;
mod canary;
mod cancel;
mod checkpoints;
mod children;
mod compile;
mod conformance;
mod crash;
mod dev;
mod doctor;
mod drain;
mod flood;
mod follow;
mod foreign;
mod grants;
mod groups;
mod heal;
mod hostile_headers;
mod house;
mod http;
mod isolation;
mod lease;
mod limits;
mod local;
mod logs;
mod malformed;
mod metering;
mod moving;
mod neighbours;
mod operate;
mod outage;
mod payloads;
mod readme;
mod registry;
mod reload;
mod removal;
mod schedules;
mod settlement;
mod shared_account;
mod shares;
mod signing;
mod stores;
mod suspects;
mod tenant_account;
mod tenant_files;
mod time;
mod top;
mod unique;
mod walls;
