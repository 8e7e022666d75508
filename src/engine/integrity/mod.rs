//! What makes stored data intact: judgements over bytes and rows that others read.

pub mod files;
pub mod sqlite;
pub mod vectors;
