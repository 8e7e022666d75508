//! The front end on Kubernetes.

pub mod gate;
