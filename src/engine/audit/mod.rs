//! Audit rules.

pub mod leak;
