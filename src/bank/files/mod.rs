//! Walking and hashing file trees.
