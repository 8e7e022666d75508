//! See docs/architecture.md.
mod folder;
