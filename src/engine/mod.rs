//! Pure logic: no clock, no network, no file. Time and bytes come in as arguments.

pub mod audit;
pub mod backup;
pub mod consistency;
pub mod health;
pub mod integrity;
pub mod recovery;
pub mod schedule;
