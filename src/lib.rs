//! The guardian of AI-memory stores: it checks, audits and alerts, on Kubernetes or beside Docker Compose.
//!
//! The floors, from the ground up; a module imports only from floors below it (`tests/floors.rs`):
//! [`domain`] vocabulary, [`engine`] pure logic, [`resources`] custom resources and [`plan`] over them,
//! [`bank`] and [`store`] effects, [`delivery`] what a Job and the operator agree on, [`runner`] executes, [`sampler`]
//! asks over the network, [`local`], [`operator`] and [`server`] front ends, [`cli`].

pub mod bank;
pub mod board;
pub mod cli;
pub mod delivery;
pub mod discover;
pub mod domain;
pub mod engine;
pub mod local;
pub mod operator;
pub mod plan;
pub mod resources;
pub mod runner;
pub mod sample;
pub mod sampler;
pub mod server;
pub mod store;
