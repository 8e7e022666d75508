//! Manifests, Merkle roots and the differences between two states of a file tree.
