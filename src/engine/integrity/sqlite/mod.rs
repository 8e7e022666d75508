//! SQLite file format and OpenMemory invariants.
