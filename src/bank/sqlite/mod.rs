//! How a live SQLite bank is copied, and what is read from the copy.
