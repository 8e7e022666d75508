//! Both sides of a bank against each other, on real databases: a healthy one is never accused, and each single fault
//! is told as what it is, with the id that has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/postgres_bank.rs"]
mod postgres_bank;
#[path = "../common/qdrant/mod.rs"]
mod qdrant;

mod baseline;
mod bed;
mod entities;
mod faults;
mod order;
mod races;
mod run;
mod server;
